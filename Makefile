# Groundfog's commands. `make` alone lists them.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
JOBS   ?= 2
# Preparing a machine and running guests take root.
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env)

HOST_PACKAGES := $(shell sed 's/\#.*//' engine/host/packages.txt) python3-venv
CEPH_PACKAGES := $(shell sed 's/\#.*//' engine/host/packages-ceph.txt) ceph-mon ceph-mgr ceph-osd ceph-common
LVM_PACKAGES  := $(shell sed 's/\#.*//' engine/host/packages-lvm.txt)
TEST_PACKAGES := $(HOST_PACKAGES) $(CEPH_PACKAGES) $(LVM_PACKAGES) tgt postgresql mmdebstrap debian-archive-keyring
BENCH_PACKAGES := $(HOST_PACKAGES) wrk

APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq -o DPkg::Lock::Timeout=300

.DEFAULT_GOAL := help
.PHONY: help up down test test-guests test-others test-long check bench packages test-packages bench-packages

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: packages $(VENV)/.kvm ## make this machine an EC2 endpoint: install, prepare, start, and say how to use it
	@$(SUDO) $(BIN)/groundfog up --detach

down: ## stop what `make up` started, guests too; `make down KEEP_GUESTS=1` lets those run on
	@if [ -x $(BIN)/groundfog ]; then $(SUDO) $(BIN)/groundfog down $(if $(KEEP_GUESTS),--keep-guests); \
	else echo "nothing is installed here, so nothing is up"; fi

test: test-packages $(VENV)/.test ## run every test: with real guests, and beside them on SQLite, with drivers, on PostgreSQL
	@echo "testing two things at a time, for about 20 minutes: what each command says is shown when it ends"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-guests test-others

# Real guests are waited for: more than half of the processors' time is free meanwhile.
test-guests:
	$(SUDO) $(BIN)/python -m pytest -q -m "acceptance and not long" -rs tests/acceptance

# Those who wait for guests go first (nice).
test-others:
	nice $(BIN)/python -m pytest -q -n $(JOBS) -m "not acceptance"
	nice $(SUDO) $(BIN)/python -m pytest -q -m "acceptance and not long" -rs --ignore=tests/acceptance
	nice $(BIN)/python -m tests.postgres $(BIN)/python -m pytest -q -n $(JOBS) -m "not acceptance"

test-long: test-packages $(VENV)/.test ## what takes minutes: disks in Ceph whose makers are killed at every moment
	$(SUDO) $(BIN)/python -m pytest -q -m long -rs

check: packages $(VENV)/.test ## what must hold before a commit: format, lint, types, tests without guests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not acceptance"

bench: bench-packages $(VENV)/.test ## measure the API against moto, a large VPC against bare OVSDB, a launch against bare QEMU
	$(SUDO) $(BIN)/python -m benchmarks

packages: ; @$(call ensure_packages,$(HOST_PACKAGES))
test-packages: ; @$(call ensure_packages,$(TEST_PACKAGES))
bench-packages: ; @$(call ensure_packages,$(BENCH_PACKAGES))

# Asks dpkg, which takes milliseconds, and apt only for what is missing.
define ensure_packages
	command -v dpkg-query > /dev/null || { \
	  echo "cannot install packages: this is neither Debian nor Ubuntu; use one of them, or the Dockerfile" >&2; exit 1; }; \
	present=$$(dpkg-query --show --showformat='$${db:Status-Status} $${Package}\n' $(1) 2> /dev/null | sed -n 's/^installed //p'); \
	missing=$$(for package in $(1); do echo "$$present" | grep -qx "$$package" || echo "$$package"; done); \
	if [ -n "$$missing" ]; then \
	  [ "$$(id -u)" = 0 ] || command -v sudo > /dev/null || { echo "cannot install" $$missing": run it as root" >&2; exit 1; }; \
	  echo "installing" $$missing; \
	  $(APT) update && $(APT) install --yes --no-install-recommends $$missing > /dev/null; \
	fi
endef

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cannot use $$($(PYTHON) --version 2>&1): Groundfog needs Python 3.11 or newer;" \
	       "name one: make up PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.kvm: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[kvm]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[kvm,dev]'
	@touch $(VENV)/.kvm $@

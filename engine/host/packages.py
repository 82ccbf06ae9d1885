"""Installs the Debian or Ubuntu packages of a host, and only when one is missing."""

import shutil
import time
from pathlib import Path

from engine.host.commands import HostError, Report, attempt, run

LIST = Path(__file__).with_name("packages.txt")
CEPH_LIST = Path(__file__).with_name("packages-ceph.txt")
LVM_LIST = Path(__file__).with_name("packages-lvm.txt")
# Seconds to wait for another apt-get, such as the unattended upgrades of a machine that has just booted.
LOCK_LIMIT = 300
INSTALL_LIMIT = 1800.0


def names_in(list: Path) -> list[str]:
    """The names in a list of packages, which the Makefile reads too."""
    lines = (line.partition("#")[0].strip() for line in list.read_text().splitlines())
    return [line for line in lines if line]


def wanted_packages(ceph: bool = False, lvm: bool = False) -> list[str]:
    """The names of all packages of a host; those for disks on Ceph and in thin pools too, where it has them."""
    return [*names_in(LIST), *(names_in(CEPH_LIST) if ceph else ()), *(names_in(LVM_LIST) if lvm else ())]


def missing_packages(ceph: bool = False, lvm: bool = False) -> list[str]:
    """Wanted packages that are not fully installed. Raises HostError where dpkg does not keep the packages."""
    if shutil.which("dpkg-query") is None:
        raise HostError(
            "cannot look for packages: this is neither Debian nor Ubuntu; run Groundfog on one of them, "
            "or in its container image"
        )
    wanted = wanted_packages(ceph, lvm)
    # Fails when one is unknown, and still prints the others.
    listed = attempt(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted]).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in installed]


def install_command(packages: list[str]) -> list[str]:
    """Asks nothing, adds nothing that is only recommended, restarts none of the machine's other services."""
    return [
        "env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l",
        "apt-get", "install", "--yes", "--quiet", "--no-install-recommends",
        f"--option=DPkg::Lock::Timeout={LOCK_LIMIT}", *packages,
    ]  # fmt: skip


def ensure_packages(report: Report, ceph: bool = False, lvm: bool = False) -> None:
    """Install what is missing. Raises HostError with what apt-get said."""
    missing = missing_packages(ceph, lvm)
    if not missing:
        return
    report(f"installing {', '.join(missing)}")
    try:
        run(install_command(missing), timeout=INSTALL_LIMIT)
    except HostError:
        # A machine's lists may be missing or older than the archive.
        _update()
        run(install_command(missing), timeout=INSTALL_LIMIT)


def _update() -> None:
    """Fetch the lists. apt-get does not wait for the lock of the lists, as it does for dpkg's."""
    until = time.monotonic() + LOCK_LIMIT
    while True:
        try:
            run(["apt-get", "update", "--quiet"], timeout=INSTALL_LIMIT)
        except HostError as failed:
            if "lists/lock" not in str(failed) or time.monotonic() > until:
                raise
            time.sleep(2)
        else:
            return

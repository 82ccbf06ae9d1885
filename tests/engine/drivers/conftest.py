"""Fixtures: OVN's driver on a northbound database of its own, and hosts of each kind with machines."""

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from engine.drivers.base import Machine
from engine.drivers.ovn import Ovn
from tests.acceptance.deployment import alone
from tests.engine.drivers import northbound, thin_pools
from tests.engine.drivers.hosts import Host, a_host
from tests.engine.drivers.networks import EXTERNAL
from tests.engine.drivers.northbound import NorthboundServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NorthboundServer]:
    if reason := northbound.missing():
        pytest.skip(reason)
    with northbound.serving(tmp_path) as server:
        yield server


@pytest.fixture
def ovn(server: NorthboundServer) -> Iterator[Ovn]:
    driver = Ovn(server.remote, EXTERNAL)
    yield driver
    driver.close()


@pytest.fixture
def prepared_host(prepared_host: None) -> Iterator[None]:
    """This machine with its daemons, which no test that runs beside this one kills meanwhile."""
    with alone("daemons", fcntl.LOCK_SH):
        yield


@pytest.fixture
def loop_files() -> Iterator[Path]:
    """A directory for files that are block devices; pytest's own may be in memory."""
    if reason := thin_pools.why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="gf-lvm-") as name:
        yield Path(name)


@pytest.fixture(params=["simulated", pytest.param("libvirt", marks=pytest.mark.acceptance)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "libvirt":
        request.getfixturevalue("prepared_host")
    with a_host(request.param) as host:
        yield host


@pytest.fixture
def machine(host: Host) -> Machine:
    return host.machine(f"i-contract{uuid4().hex[:8]}")


@pytest.fixture
def plugged(host: Host) -> Machine:
    """A machine that runs, whose guest lets go of what it is asked to."""
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", disks=2, cards=2, clings=False)
    host.compute.ensure_machine(machine)
    return machine

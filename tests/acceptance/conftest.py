"""Fixtures: one real deployment for all tests that need one, and how long each file of real guests took."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.drivers.base import port_uuid
from engine.drivers.networking import Port
from tests.acceptance import ceph
from tests.acceptance.deployment import Deployment, alone, deployed, why_not
from tests.acceptance.two_networks import OUTSIDER, Guests, TwoNetworks
from tests.acceptance.wire import Host, eventually, plugged, settle

_HERE = "tests/acceptance/"
_seconds: Counter[str] = Counter()


@pytest.fixture(scope="session")
def deployment(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Up once for the whole run, gone with everything of it at its end; one of its zones has its disks in Ceph."""
    if reason := why_not():
        pytest.skip(reason)
    assert pytestconfig.cache is not None
    conf = None if ceph.why_not() else request.getfixturevalue("ceph_cluster").conf
    with deployed(Path(pytestconfig.cache.mkdir("images")), conf) as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests with a deployment of their own come first: it would wait for ever for the end of the shared one."""
    items.sort(key=lambda item: "own_deployment" not in getattr(item, "fixturenames", ()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid.startswith(_HERE):
        _seconds[report.nodeid.partition("::")[0].removeprefix(_HERE)] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _seconds:
        each = ", ".join(f"{file} {seconds:.0f} s" for file, seconds in _seconds.most_common())
        terminalreporter.write_line(f"acceptance: {sum(_seconds.values()):.0f} s ({each})")


@pytest.fixture(scope="module")
def cloud(prepared_host: None) -> Iterator[TwoNetworks]:
    # Their VLANs and public addresses are always the same: of two runs of the tests, the second one waits.
    with alone("wires"):
        cloud = TwoNetworks()
        try:
            cloud.make()
            yield cloud
        finally:
            cloud.remove()


@pytest.fixture(scope="module")
def guests(cloud: TwoNetworks) -> Iterator[Guests]:
    guests = Guests()
    with ExitStack() as stack:
        for name in ("web", "app", "shut", "twin"):
            port: Port = getattr(cloud, f"{name}_port")
            host = stack.enter_context(plugged("br-int", port.mac, port_uuid(port.id)))
            setattr(guests, name, host)
            host.take(f"{port.addresses[0]}/24", port.addresses[0].rsplit(".", 1)[0] + ".1")
        for name in ("web", "app", "shut", "twin"):
            port = getattr(cloud, f"{name}_port")
            assert eventually(lambda port=port: cloud.ovn.port_is_up(port.id)), f"{name} does not come up"
        settle()
        for host, ports in (
            (guests.web, (80, 81)),
            (guests.twin, (80,)),
            (guests.app, (80, 5432, 5434)),
            (guests.shut, (80,)),
        ):
            for number in ports:
                host.serve(number)
        yield guests


@pytest.fixture(scope="module")
def outsider() -> Iterator[Host]:
    with plugged("br-ext", "02:ee:00:00:00:01") as host:
        host.take(f"{OUTSIDER}/16")
        host.serve(80)
        yield host

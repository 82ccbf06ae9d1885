"""What every network driver must do."""

import threading
from dataclasses import replace

import pytest

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import Group, Nat, NetworkDriver, Port, Rule
from engine.drivers.ovn import Ovn
from engine.drivers.simulated import Simulated
from tests.engine.drivers.networks import GROUP, NETWORK, PORT, SUBNET, make


@pytest.fixture(params=["simulated", pytest.param("ovn", marks=pytest.mark.acceptance)])
def driver(request: pytest.FixtureRequest) -> NetworkDriver:
    if request.param == "ovn":
        found: Ovn = request.getfixturevalue("ovn")
        return found
    return Simulated().drivers().network


@pytest.fixture
def made(driver: NetworkDriver) -> NetworkDriver:
    return make(driver)


def everything(driver: NetworkDriver) -> tuple[set[str], set[str], set[str]]:
    return driver.list_networks(), driver.list_groups(), driver.list_ports()


# -- any driver ----------------------------------------------------------------


def test_what_was_ensured_is_listed(made: NetworkDriver) -> None:
    assert everything(made) == ({"vpc-1"}, {"sg-1"}, {"eni-1"})


def test_ensuring_again_is_allowed(made: NetworkDriver) -> None:
    assert everything(make(made)) == ({"vpc-1"}, {"sg-1"}, {"eni-1"})


def test_what_was_removed_is_not_listed_and_may_be_removed_again(made: NetworkDriver) -> None:
    for _ in range(2):
        made.remove_port("eni-1")
        made.remove_group("sg-1")
        made.remove_network("vpc-1")
        assert everything(made) == (set(), set(), set())


def test_a_port_with_no_machine_is_not_up(made: NetworkDriver) -> None:
    assert not made.port_is_up("eni-1")


def test_an_unknown_port_is_not_up(driver: NetworkDriver) -> None:
    assert not driver.port_is_up("eni-9")


def test_a_port_needs_its_network_its_subnet_and_its_groups(driver: NetworkDriver) -> None:
    with pytest.raises(DriverError):
        driver.ensure_port(PORT)
    driver.ensure_network(NETWORK)
    with pytest.raises(DriverError):
        driver.ensure_port(PORT)
    driver.ensure_group(GROUP)
    with pytest.raises(DriverError):
        driver.ensure_port(replace(PORT, subnet_id="subnet-9"))
    assert driver.list_ports() == set()
    driver.ensure_port(PORT)
    assert driver.list_ports() == {"eni-1"}


def test_a_group_needs_its_network(driver: NetworkDriver) -> None:
    with pytest.raises(DriverError):
        driver.ensure_group(GROUP)


@pytest.mark.parametrize("change", [{"addresses": ("somewhere",)}, {"groups": ()}, {"addresses": ()}])
def test_a_port_that_cannot_be_is_refused(made: NetworkDriver, change: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(Refused):
        made.ensure_port(replace(PORT, id="eni-2", mac="02:00:00:00:00:02", **change))
    assert made.list_ports() == {"eni-1"}


@pytest.mark.parametrize(
    "rule",
    [
        Rule("in", "tcp", ("0.0.0.0/0",), 10, 9),
        Rule("in", "udp", ("0.0.0.0/0",), 0, 65536),
        Rule("in", "teleport", ("0.0.0.0/0",)),
        Rule("in", "256", ("0.0.0.0/0",)),
    ],
)
def test_a_rule_that_means_nothing_is_refused(made: NetworkDriver, rule: Rule) -> None:
    with pytest.raises(Refused):
        made.ensure_group(replace(GROUP, rules=(rule,)))


@pytest.mark.parametrize(
    "change",
    [{"vlan": 4095}, {"subnets": (replace(SUBNET, cidr="10.0.1.0/33"),)}, {"subnets": (replace(SUBNET, cidr6="x"),)}],
)
def test_a_network_that_cannot_be_is_refused(driver: NetworkDriver, change: dict[str, object]) -> None:
    with pytest.raises(Refused):
        driver.ensure_network(replace(NETWORK, **change))  # type: ignore[arg-type]
    assert driver.list_networks() == set()


def test_a_rule_may_name_a_group_that_does_not_exist_yet(made: NetworkDriver) -> None:
    made.ensure_group(replace(GROUP, rules=(Rule("in", "tcp", "sg-2", 80, 80),)))
    assert made.list_groups() == {"sg-1"}
    made.ensure_group(Group("sg-2", "vpc-1"))
    assert made.list_groups() == {"sg-1", "sg-2"}


def test_two_ports_cannot_have_one_public_address(made: NetworkDriver) -> None:
    nats = (Nat("10.0.1.4", "198.18.1.1"),)
    other = replace(PORT, id="eni-2", mac="02:00:00:00:00:02", addresses=("10.0.1.5",))
    made.ensure_port(replace(PORT, nats=nats))
    with pytest.raises(DriverError):
        made.ensure_port(replace(other, nats=(Nat("10.0.1.5", "198.18.1.1"),)))
    made.ensure_port(PORT)
    made.ensure_port(replace(other, nats=(Nat("10.0.1.5", "198.18.1.1"),)))


def test_many_threads_may_call_at_once(driver: NetworkDriver) -> None:
    driver.ensure_network(NETWORK)
    driver.ensure_group(GROUP)
    failures: list[Exception] = []

    def work(thread: int) -> None:
        try:
            for number in range(10):
                address = f"10.0.2.{4 + thread * 10 + number}"
                mac = f"02:00:00:00:{thread:02x}:{number:02x}"
                port = Port(f"eni-{thread}-{number}", "vpc-1", "subnet-2", mac, (address,), ("sg-1",))
                driver.ensure_port(port)
                driver.list_ports()
                if number % 2:
                    driver.remove_port(port.id)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert driver.list_ports() == {f"eni-{thread}-{number}" for thread in range(8) for number in range(0, 10, 2)}

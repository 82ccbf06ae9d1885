"""What every network driver must do, whatever is behind it; and what OVN's must do to its database."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from statistics import median

import pytest

from engine.drivers.base import (
    DriverError,
    Group,
    Nat,
    Network,
    NetworkDriver,
    Port,
    Refused,
    Route,
    Rule,
    Subnet,
    Uplink,
    port_uuid,
)
from engine.drivers.ovn import External, Ovn
from engine.drivers.ovn_groups import match
from engine.drivers.simulated import Simulated
from tests.engine.drivers import northbound
from tests.engine.drivers.northbound import NorthboundServer

EXTERNAL = External(IPv4Network("198.18.0.0/16"), IPv4Address("198.18.0.1"), ("chassis-1", "chassis-2"))

SUBNET = Subnet(
    "subnet-1", "10.0.1.0/24", "10.0.1.1", (Route("0.0.0.0/0", "uplink"),), ("1.1.1.1", "9.9.9.9"), "ec2.internal"
)
OTHER_SUBNET = Subnet("subnet-2", "10.0.2.0/24", "10.0.2.1", (Route("172.16.0.0/12", "blackhole"),))
NETWORK = Network("vpc-1", ("10.0.0.0/16",), 200, (SUBNET, OTHER_SUBNET), Uplink("198.18.0.9"))
SSH = Rule("in", "tcp", "0.0.0.0/0", 22, 22)
PING = Rule("in", "icmp", "10.0.0.0/16", 8, -1)
OUT = Rule("out", "all", "0.0.0.0/0")
GROUP = Group("sg-1", "vpc-1", (SSH, PING, OUT, Rule("in", "all", "sg-1")))
PORT = Port("eni-1", "vpc-1", "subnet-1", "02:00:00:00:00:01", ("10.0.1.4",), ("sg-1",))

ovn_only = [
    pytest.mark.acceptance,
    pytest.mark.skipif(bool(northbound.missing()), reason=northbound.missing()),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NorthboundServer]:
    with northbound.serving(tmp_path) as server:
        yield server


@pytest.fixture
def ovn(server: NorthboundServer) -> Iterator[Ovn]:
    driver = Ovn(server.remote, EXTERNAL)
    yield driver
    driver.close()


@pytest.fixture(params=["simulated", pytest.param("ovn", marks=ovn_only)])
def driver(request: pytest.FixtureRequest) -> NetworkDriver:
    if request.param == "ovn":
        found: Ovn = request.getfixturevalue("ovn")
        return found
    return Simulated().drivers().network


@pytest.fixture
def made(driver: NetworkDriver) -> NetworkDriver:
    return make(driver)


def make(driver: NetworkDriver) -> NetworkDriver:
    driver.ensure_network(NETWORK)
    driver.ensure_group(GROUP)
    driver.ensure_port(PORT)
    return driver


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
        Rule("in", "tcp", "0.0.0.0/0", 10, 9),
        Rule("in", "udp", "0.0.0.0/0", 0, 65536),
        Rule("in", "teleport", "0.0.0.0/0"),
        Rule("in", "256", "0.0.0.0/0"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(made: NetworkDriver, rule: Rule) -> None:
    with pytest.raises(Refused):
        made.ensure_group(replace(GROUP, rules=(rule,)))


@pytest.mark.parametrize(
    "change",
    [{"vlan": 4095}, {"subnets": (replace(SUBNET, cidr="10.0.1.0/33"),)}, {"subnets": (replace(SUBNET, gateway="x"),)}],
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


# -- OVN's expressions ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expression"),
    [
        (Rule("in", "all", "0.0.0.0/0"), "ip4"),
        (Rule("out", "-1", "10.0.0.0/8"), "ip4 && ip4.dst == 10.0.0.0/8"),
        (Rule("in", "tcp", "10.0.0.1/32", 22, 22), "ip4 && ip4.src == 10.0.0.1/32 && tcp && tcp.dst == 22"),
        (Rule("in", "17", "sg-1", 5, 9), "ip4 && ip4.src == $pg_sg_1_ip4 && udp && udp.dst >= 5 && udp.dst <= 9"),
        (Rule("in", "tcp", "0.0.0.0/0", 0, 65535), "ip4 && tcp"),
        (Rule("in", "icmp", "0.0.0.0/0", -1, -1), "ip4 && icmp4"),
        (Rule("in", "1", "0.0.0.0/0", 3, 4), "ip4 && icmp4 && icmp4.type == 3 && icmp4.code == 4"),
        (Rule("in", "icmpv6", "::/0", 128), "ip6 && icmp6 && icmp6.type == 128"),
        (Rule("out", "50", "2001:db8::/32"), "ip6 && ip6.dst == 2001:db8::/32 && ip.proto == 50"),
    ],
)
def test_a_rule_becomes_an_expression(rule: Rule, expression: str) -> None:
    assert match(rule) == expression


# -- OVN's database ------------------------------------------------------------


def changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> dict[str, int]:
    """Return how many rows of each table were written, made or taken away."""
    counts = {t: len(set(before.get(t, {}).items()) ^ set(after.get(t, {}).items())) for t in before | after}
    return {table: count for table, count in counts.items() if count}


@pytest.fixture
def made_ovn(ovn: Ovn) -> Ovn:
    make(ovn)
    ovn.ensure_port(replace(PORT, nats=(Nat("10.0.1.4", "198.18.1.1"),)))
    return ovn


class TestOvn:
    pytestmark = ovn_only

    def test_ensuring_again_writes_nothing(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        make(made_ovn)
        made_ovn.ensure_port(replace(PORT, nats=(Nat("10.0.1.4", "198.18.1.1"),)))
        after_port_lost_its_address = server.dump()
        assert changed(before, after_port_lost_its_address).keys() == {"Logical_Router", "NAT"}
        before = server.dump()
        made_ovn.ensure_network(NETWORK)
        made_ovn.ensure_group(GROUP)
        made_ovn.ensure_port(replace(PORT, nats=(Nat("10.0.1.4", "198.18.1.1"),)))
        assert server.dump() == before

    def test_a_driver_that_was_just_started_writes_nothing_either(self, ovn: Ovn, server: NorthboundServer) -> None:
        make(ovn)
        before = server.dump()
        restarted = Ovn(server.remote, EXTERNAL)
        make(restarted)
        restarted.close()
        assert server.dump() == before

    def test_removing_leaves_no_row(self, ovn: Ovn, server: NorthboundServer) -> None:
        empty = server.dump()
        make(ovn)
        ovn.ensure_group(replace(GROUP, rules=(Rule("in", "all", "sg-2"),)))
        ovn.remove_port("eni-1")
        ovn.remove_group("sg-1")
        ovn.remove_network("vpc-1")
        assert server.dump() == empty

    def test_removing_the_network_first_leaves_no_row(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.remove_network("vpc-1")
        assert server.dump() == {}
        made_ovn.remove_group("sg-1")
        made_ovn.remove_port("eni-1")

    def test_removing_a_network_leaves_the_others(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        other = replace(NETWORK, id="vpc-2", vlan=201, subnets=(replace(SUBNET, id="subnet-3"),), uplink=None)
        made_ovn.ensure_network(replace(other, uplink=Uplink("198.18.0.10")))
        made_ovn.remove_network("vpc-2")
        # The shared external switch was written: a port came and went.
        assert changed(before, server.dump()).keys() <= {"Logical_Switch"}

    def test_one_rule_more_is_one_row_more(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        made_ovn.ensure_group(replace(GROUP, rules=(*GROUP.rules, Rule("in", "udp", "10.0.0.0/8", 53, 53))))
        assert changed(before, server.dump()) == {"ACL": 1, "Port_Group": 2}

    def test_one_port_more_writes_the_switch_and_its_groups(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        made_ovn.ensure_port(replace(PORT, id="eni-2", mac="02:00:00:00:00:02", addresses=("10.0.1.5",)))
        assert changed(before, server.dump()) == {"Logical_Switch": 2, "Logical_Switch_Port": 1, "Port_Group": 4}

    def test_a_subnet_not_named_any_more_goes(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, subnets=(SUBNET,)))
        assert {row["name"] for row in server.rows("Logical_Router_Port")} == {"lrp-subnet-1", "lrp-external-vpc-1"}
        assert [row["cidr"] for row in server.rows("DHCP_Options")] == ["10.0.1.0/24"]

    def test_without_an_uplink_nothing_is_left_of_it(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, uplink=None))
        assert "Logical_Router_Policy" not in server.dump()
        assert {row["name"] for row in server.rows("Logical_Switch")} == {"vpc-1"}
        assert [r["nexthop"] for r in server.rows("Logical_Router_Static_Route")] == ["discard", "discard"]

    def test_an_overlay_has_no_wire(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, vlan=None, uplink=None))
        assert "localnet" not in {row["type"] for row in server.rows("Logical_Switch_Port")}

    def test_a_network_in_the_external_range_gets_no_uplink(self, ovn: Ovn) -> None:
        with pytest.raises(Refused, match="overlaps"):
            ovn.ensure_network(Network("vpc-1", ("198.18.4.0/24",), 200, (), Uplink("198.18.0.9")))

    def test_a_route_to_a_port_leads_to_its_address(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        through = replace(OTHER_SUBNET, routes=(Route("0.0.0.0/0", "eni-1"),))
        made_ovn.ensure_network(replace(NETWORK, subnets=(SUBNET, through)))
        route = next(r for r in server.rows("Logical_Router_Static_Route") if r["route_table"] == "subnet-2")
        assert route["nexthop"] == "10.0.1.4"
        with pytest.raises(Refused):
            made_ovn.ensure_network(replace(NETWORK, subnets=(replace(SUBNET, routes=(Route("0.0.0.0/0", "eni-9"),)),)))

    def test_a_port_leaves_the_groups_it_is_not_in_any_more(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_group(Group("sg-2", "vpc-1"))
        made_ovn.ensure_port(replace(PORT, groups=("sg-2",)))
        rows = {row["name"]: row["ports"] for row in server.rows("Port_Group")}
        assert rows["pg_sg_1"] == ["set", []]
        assert rows["pg_sg_2"] == rows["pg_vpc_1"] != ["set", []]

    def test_a_group_that_rules_refer_to_stays_as_an_empty_one(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_group(Group("sg-2", "vpc-1", (Rule("in", "all", "sg-1"),)))
        made_ovn.remove_group("sg-1")
        assert made_ovn.list_groups() == {"sg-2"}
        assert {row["name"] for row in server.rows("Port_Group")} == {"pg_sg_1", "pg_sg_2", "pg_vpc_1"}
        made_ovn.remove_group("sg-2")
        assert {row["name"] for row in server.rows("Port_Group")} == {"pg_vpc_1"}

    def test_a_hypervisor_finds_the_port_by_its_uuid(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        assert port_uuid("eni-1") in {row["name"] for row in server.rows("Logical_Switch_Port")}

    def test_a_forwarding_port_may_send_from_any_address(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_port(replace(PORT, forwarding=True))
        row = next(r for r in server.rows("Logical_Switch_Port") if r["name"] == port_uuid("eni-1"))
        assert row["port_security"] == ["set", []]

    def test_text_cannot_reach_an_expression(self, made_ovn: Ovn) -> None:
        for peer in ("0.0.0.0/0 || 1", "sg-2 || ip", "$pg", ""):
            with pytest.raises(Refused):
                made_ovn.ensure_group(replace(GROUP, rules=(Rule("in", "all", peer),)))

    def test_a_restarted_database_is_found_again(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        server.kill()
        time.sleep(0.2)
        with pytest.raises(DriverError):
            made_ovn.list_ports()
        server.start()
        made_ovn.ensure_port(replace(PORT, id="eni-2", mac="02:00:00:00:00:02", addresses=("10.0.1.5",)))
        assert made_ovn.list_ports() == {"eni-1", "eni-2"}
        assert len(server.rows("NAT")) == 1

    def test_a_database_that_does_not_run_is_a_driver_error(self, tmp_path: Path) -> None:
        with pytest.raises(DriverError, match="cannot reach"):
            Ovn(f"unix:{tmp_path}/no.sock", EXTERNAL).list_ports()

    def test_a_hundred_groups_of_fifty_rules_are_changed_quickly(self, ovn: Ovn) -> None:
        ovn.ensure_network(NETWORK)
        rules = tuple(Rule("in", "tcp", f"10.{n}.0.0/16", 1000 + n, 2000 + n) for n in range(50))
        for number in range(100):
            ovn.ensure_group(Group(f"sg-{number}", "vpc-1", rules))
        times = []
        for number in range(0, 100, 10):
            begin = time.monotonic()
            ovn.ensure_group(Group(f"sg-{number}", "vpc-1", (*rules[:-1], SSH)))
            times.append(time.monotonic() - begin)
        assert median(times) < 0.1

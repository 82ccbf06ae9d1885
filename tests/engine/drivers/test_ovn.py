"""What the OVN driver writes into the northbound database: the right rows, and no more than differ."""

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from engine.drivers.base import DriverError, Refused, port_uuid
from engine.drivers.networking import Group, Nat, Network, Route, Rule, Uplink
from engine.drivers.ovn import Ovn
from engine.drivers.ovn_groups import match
from tests.engine.drivers.networks import EXTERNAL, GATEWAY, GROUP, NETWORK, OTHER_SUBNET, PORT, SSH, SUBNET, make
from tests.engine.drivers.northbound import NorthboundServer

# -- OVN's expressions ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expression"),
    [
        (Rule("in", "all", ("0.0.0.0/0",)), "ip4"),
        (Rule("out", "-1", ("10.0.0.0/8",)), "ip4 && ip4.dst == 10.0.0.0/8"),
        (Rule("in", "tcp", ("10.0.0.1/32",), 22, 22), "ip4 && ip4.src == 10.0.0.1/32 && tcp && tcp.dst == 22"),
        (Rule("in", "17", "sg-1", 5), "(ip4.src == $pg_sg_1_ip4 || ip6.src == $pg_sg_1_ip6) && udp && udp.dst >= 5"),
        (
            Rule("in", "udp", ("10.0.0.0/8",), 5, 9),
            "ip4 && ip4.src == 10.0.0.0/8 && udp && udp.dst >= 5 && udp.dst <= 9",
        ),
        (Rule("in", "1", "sg-1"), "ip4.src == $pg_sg_1_ip4 && icmp4"),
        (Rule("out", "icmpv6", "sg-1", 128), "ip6.dst == $pg_sg_1_ip6 && icmp6 && icmp6.type == 128"),
        (Rule("in", "all", ("10.0.0.0/8", "192.0.2.0/24")), "ip4 && ip4.src == {10.0.0.0/8, 192.0.2.0/24}"),
        (Rule("in", "tcp", ("0.0.0.0/0",), 0, 65535), "ip4 && tcp"),
        (Rule("in", "icmp", ("0.0.0.0/0",), -1, -1), "ip4 && icmp4"),
        (Rule("in", "1", ("0.0.0.0/0",), 3, 4), "ip4 && icmp4 && icmp4.type == 3 && icmp4.code == 4"),
        (Rule("in", "icmpv6", ("::/0",), 128), "ip6 && icmp6 && icmp6.type == 128"),
        (Rule("in", "58", ("::/0",), 128, -1), "ip6 && icmp6 && icmp6.type == 128"),
        (Rule("in", "58", ("0.0.0.0/0",), 128, -1), "ip4 && ip.proto == 58"),
        (Rule("in", "1", ("::/0",), 8, 0), "ip6 && ip.proto == 1"),
        (Rule("out", "50", ("2001:db8::/32",)), "ip6 && ip6.dst == 2001:db8::/32 && ip.proto == 50"),
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
    pytestmark = pytest.mark.acceptance

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
        subnets = (replace(SUBNET, id="subnet-3"),)
        gateway = replace(GATEWAY, id="nat-2", subnet_id="subnet-3", nats=())
        other = replace(NETWORK, id="vpc-2", vlan=201, subnets=subnets, nat_gateways=(gateway,))
        made_ovn.ensure_network(replace(other, uplink=Uplink("198.18.0.10")))
        made_ovn.remove_network("vpc-2")
        # The shared external switch and the shared edge were written: ports came and went.
        assert changed(before, server.dump()).keys() <= {"Logical_Switch", "Logical_Router"}

    def test_one_rule_more_is_one_row_more(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        made_ovn.ensure_group(replace(GROUP, rules=(*GROUP.rules, Rule("in", "udp", ("10.0.0.0/8",), 53, 53))))
        assert changed(before, server.dump()) == {"ACL": 1, "Port_Group": 2}

    def test_one_port_more_writes_the_switch_and_its_groups(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        before = server.dump()
        made_ovn.ensure_port(replace(PORT, id="eni-2", mac="02:00:00:00:00:02", addresses=("10.0.1.5",)))
        assert changed(before, server.dump()) == {"Logical_Switch": 2, "Logical_Switch_Port": 1, "Port_Group": 6}

    def test_a_subnet_not_named_any_more_goes(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, subnets=(SUBNET,)))
        assert "lrp-subnet-2" not in {row["name"] for row in server.rows("Logical_Router_Port")}
        assert {row["cidr"] for row in server.rows("DHCP_Options")} == {"10.0.1.0/24", SUBNET.cidr6}
        assert "pg_subnet_2" not in {row["name"] for row in server.rows("Port_Group")}

    def test_without_an_uplink_nothing_is_left_of_it(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, uplink=None))
        assert not [row for row in server.rows("Logical_Router_Policy") if "external" in row["match"]]
        assert {row["name"] for row in server.rows("Logical_Switch")} == {"vpc-1"}
        ways = {r["ip_prefix"]: r["nexthop"] for r in server.rows("Logical_Router_Static_Route")}
        assert [ways[to] for to in ("::/0", "192.0.2.0/24", "172.16.0.0/12")] == ["discard"] * 3
        assert "Address_Set" not in server.dump()

    def test_an_uplink_that_only_leads_out_is_shut_for_every_subnet(
        self, made_ovn: Ovn, server: NorthboundServer
    ) -> None:
        def shut() -> set[str]:
            return {row["match"] for row in server.rows("ACL") if "pkt.mark" in row["match"]}

        from_anywhere = "pkt.mark == 6 && ip6.src == {::/0}"
        assert shut() == {f"outport == @pg_subnet_1 && {from_anywhere}"}
        made_ovn.ensure_network(replace(NETWORK, uplink=Uplink("198.18.0.9", only_out=True)))
        assert shut() == {f"outport == @pg_subnet_{n} && {from_anywhere}" for n in (1, 2)}

    def test_an_overlay_has_no_wire(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_network(replace(NETWORK, vlan=None, uplink=None))
        assert "localnet" not in {row["type"] for row in server.rows("Logical_Switch_Port")}

    def test_a_network_in_the_external_range_gets_no_uplink(self, ovn: Ovn) -> None:
        with pytest.raises(Refused, match="overlaps"):
            ovn.ensure_network(Network("vpc-1", ("198.18.4.0/24",), 200, (), Uplink("198.18.0.9")))

    def test_a_route_to_an_address_leads_there(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        ways = {(r["route_table"], r["ip_prefix"]): r for r in server.rows("Logical_Router_Static_Route")}
        assert ways["subnet-2", "0.0.0.0/0"]["nexthop"] == "10.0.1.200"
        assert ways["subnet-2", "10.0.1.0/25"]["nexthop"] == "10.0.2.9"
        (diverted,) = [row for row in server.rows("Logical_Router_Policy") if row["action"] == "reroute"]
        assert (diverted["match"], diverted["nexthops"]) == (
            'inport == "lrp-out-vpc-1" && ip4.dst == 10.0.2.0/24',
            "10.0.1.4",
        )

    def test_a_route_to_a_whole_subnet_comes_before_the_router_itself(
        self, made_ovn: Ovn, server: NorthboundServer
    ) -> None:
        through = replace(OTHER_SUBNET, routes=(Route("10.0.1.0/24", "10.0.2.9"),))
        made_ovn.ensure_network(replace(NETWORK, subnets=(SUBNET, through)))
        ways = [(r["ip_prefix"], r["nexthop"]) for r in server.rows("Logical_Router_Static_Route")]
        assert {("10.0.1.0/25", "10.0.2.9"), ("10.0.1.128/25", "10.0.2.9")} <= set(ways)

    def test_a_port_leaves_the_groups_it_is_not_in_any_more(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_group(Group("sg-2", "vpc-1"))
        made_ovn.ensure_port(replace(PORT, groups=("sg-2",)))
        rows = {row["name"]: row["ports"] for row in server.rows("Port_Group")}
        assert rows["pg_sg_1"] == ["set", []]
        assert rows["pg_sg_2"] == rows["pg_vpc_1"] == rows["pg_subnet_1"] != ["set", []]

    def test_a_group_that_rules_refer_to_stays_as_an_empty_one(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_group(Group("sg-2", "vpc-1", (Rule("in", "all", "sg-1"),)))
        made_ovn.remove_group("sg-1")
        assert made_ovn.list_groups() == {"sg-2"}
        assert {"pg_sg_1", "pg_sg_2"} <= {row["name"] for row in server.rows("Port_Group")}
        made_ovn.remove_group("sg-2")
        assert not {"pg_sg_1", "pg_sg_2"} & {row["name"] for row in server.rows("Port_Group")}

    def test_a_group_of_a_removed_network_that_others_refer_to_stays_as_an_empty_one(
        self, made_ovn: Ovn, server: NorthboundServer
    ) -> None:
        made_ovn.ensure_network(Network("vpc-2", ("10.9.0.0/16",), None))
        made_ovn.ensure_group(Group("sg-2", "vpc-2", (Rule("in", "all", "sg-1"),)))
        made_ovn.remove_network("vpc-1")
        assert {row["name"] for row in server.rows("Port_Group")} == {"pg_sg_1", "pg_sg_2", "pg_vpc_2"}
        made_ovn.remove_network("vpc-2")
        assert server.dump() == {}

    def test_a_hypervisor_finds_the_port_by_its_uuid(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        assert port_uuid("eni-1") in {row["name"] for row in server.rows("Logical_Switch_Port")}

    def test_a_forwarding_port_may_send_from_any_address(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        made_ovn.ensure_port(replace(PORT, forwarding=True))
        row = next(r for r in server.rows("Logical_Switch_Port") if r["name"] == port_uuid("eni-1"))
        assert row["port_security"] == PORT.mac

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
        assert [row["logical_ip"] for row in server.rows("NAT")].count("10.0.1.4") == 1

    def test_a_database_that_does_not_run_is_a_driver_error(self, tmp_path: Path) -> None:
        with pytest.raises(DriverError, match="cannot reach"):
            Ovn(f"unix:{tmp_path}/no.sock", EXTERNAL).list_ports()

    def test_a_hundred_groups_of_fifty_rules_are_changed_quickly(self, ovn: Ovn) -> None:
        ovn.ensure_network(NETWORK)
        rules = tuple(Rule("in", "tcp", (f"10.{n}.0.0/16",), 1000 + n, 2000 + n) for n in range(50))
        for number in range(100):
            ovn.ensure_group(Group(f"sg-{number}", "vpc-1", rules))
        times = []
        for number in range(0, 100, 10):
            begin = time.monotonic()
            ovn.ensure_group(Group(f"sg-{number}", "vpc-1", (*rules[:-1], SSH)))
            times.append(time.monotonic() - begin)
        assert median(times) < 0.1

    def test_a_logged_network_writes_down_what_its_subnets_keep_in(
        self, made_ovn: Ovn, server: NorthboundServer
    ) -> None:
        before = server.dump()
        made_ovn.ensure_network(replace(NETWORK, is_logged=True))
        ways = {row["match"]: row for row in server.rows("Logical_Router_Policy") if "subnet-1" in row["match"]}
        inner = 'inport == "lrp-subnet-1" &&'
        assert [(ways[f"{inner} ip{v}"]["action"], ways[f"{inner} ip{v}"]["nexthops"]) for v in (4, 6)] == [
            ("reroute", "169.254.255.250"), ("reroute", "fd00:ec2:0:1::2"),
        ]  # fmt: skip
        assert f"{inner} ip" not in ways
        assert {row["name"] for row in server.rows("Logical_Switch")} >= {"sink-vpc-1"}
        # Those of the external switch are no network's.
        silent = {row["_uuid"][1] for row in server.rows("ACL") if row["action"] == "drop" and not row["log"]}
        (outside,) = [row for row in server.rows("Logical_Switch") if row["name"].startswith("external")]
        assert silent <= {uuid for _, uuid in outside["acls"][1]}
        assert {row["name"] for row in server.rows("ACL") if row["log"]} == {"vpc-1"}
        (band,) = server.rows("Meter_Band")
        assert (band["rate"], band["burst_size"]) == (500, 100)
        logged = server.dump()
        made_ovn.ensure_network(replace(NETWORK, is_logged=True))
        assert server.dump() == logged
        made_ovn.ensure_network(NETWORK)
        assert not [row for row in server.rows("Logical_Switch") if row["name"] == "sink-vpc-1"]
        assert not [row for row in server.rows("ACL") if row["log"]]
        assert {table: len(rows) for table, rows in server.dump().items() if not table.startswith("Meter")} == {
            table: len(rows) for table, rows in before.items()
        }

    def test_a_logged_network_without_filters_needs_no_sink(self, made_ovn: Ovn, server: NorthboundServer) -> None:
        subnets = tuple(replace(subnet, filter=None) for subnet in NETWORK.subnets)
        made_ovn.ensure_network(replace(NETWORK, subnets=subnets, is_logged=True))
        assert not [row for row in server.rows("Logical_Switch") if row["name"] == "sink-vpc-1"]
        made_ovn.remove_network("vpc-1")
        assert server.dump().keys() == {"Meter", "Meter_Band"}

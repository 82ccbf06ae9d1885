"""Journeys of packets, and what their hops are in EC2's words, beyond what the API of this region can make yet."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from engine.drivers.networking import Group, Network, NetworkDriver, Port, Route, Rule, Subnet
from engine.drivers.packets import Hop, Kind, Packet, Why
from engine.drivers.simulated import Simulated
from engine.reachability import Atlas, Journey, Waypoint, travel
from engine.reachability.analysis import finding, journeys
from engine.reachability.ends import Unreachable, packets
from engine.reachability.explanations import code_of
from engine.reachability.report import report
from engine.reachability.words import hint, sentence
from engine.state import (
    EgressGateway,
    InsightsPath,
    NatGateway,
    Peering,
    PrefixList,
    PrefixListEntry,
    RouteTableAssociation,
    Vpc,
)
from engine.state import (
    Route as RouteRow,
)
from tests.cloud import OPERATOR, REGION, Cloud
from tests.translators.groups import make
from tests.translators.insights import interface, pair

OWNER = {"account": OPERATOR, "region": REGION}
ANY = ("0.0.0.0/0",)


# -- journeys ----------------------------------------------------------------------


def chain(*forwarding: bool) -> NetworkDriver:
    """A network of three subnets: what the first sends to the third leads through a port in the second."""
    driver = Simulated().network
    subnets = [Subnet(f"subnet-{n}", f"10.0.{n}.0/24", mac_prefix=f"06:00:0{n}") for n in (1, 2, 3)]
    subnets[0] = replace(subnets[0], routes=(Route("10.0.3.0/24", "10.0.2.4"),))
    driver.ensure_network(Network("vpc-1", ("10.0.0.0/16",), None, tuple(subnets)))
    driver.ensure_group(Group("sg-1", "vpc-1", (Rule("in", "all", ANY), Rule("out", "all", ANY))))
    for n in (1, 2, 3):
        card = f"06:00:0{n}:00:00:04"
        port = Port(f"eni-{n}", "vpc-1", f"subnet-{n}", card, (f"10.0.{n}.4",), ("sg-1",), forwarding=n == 2)
        driver.ensure_port(replace(port, forwarding=n == 2 and forwarding[0]))
    return driver


def test_a_journey_goes_on_behind_a_machine_that_forwards() -> None:
    journey = travel(chain(True), Packet("eni-1", "10.0.3.4", "tcp", 80))
    assert [hop.id for hop in journey.there if hop.kind == "port"] == ["eni-1", "eni-2", "eni-2", "eni-3"]
    assert journey.arrives and journey.is_answered
    assert [hop.id for hop in journey.back if hop.kind == "port"] == ["eni-3", "eni-1"], "the answer goes straight"


def test_a_journey_ends_at_a_machine_that_does_not_forward() -> None:
    journey = travel(chain(False), Packet("eni-1", "10.0.3.4", "tcp", 80))
    assert journey.there[-1].why == "not addressed"
    assert not journey.arrives and journey.back == ()


def test_machines_that_forward_to_each_other_are_a_loop() -> None:
    driver = chain(True)
    subnets = [Subnet(f"subnet-{n}", f"10.0.{n}.0/24", mac_prefix=f"06:00:0{n}") for n in (1, 2, 3)]
    round_ = (Route("10.0.3.0/24", "10.0.2.4"),)
    turned = [replace(subnets[0], routes=round_), replace(subnets[1], routes=round_), subnets[2]]
    driver.ensure_network(Network("vpc-1", ("10.0.0.0/16",), None, tuple(turned)))
    assert travel(driver, Packet("eni-1", "10.0.3.4", "tcp", 80)).there[-1].why == "loop"


def test_whose_answer_nobody_knows_counts_as_answered() -> None:
    driver = chain(True)
    journey = travel(driver, Packet("eni-1", "169.254.169.254", "tcp", 80))
    assert journey.there[-1].kind == "services"
    assert journey.back == () and journey.is_answered


# -- the atlas ---------------------------------------------------------------------


@pytest.fixture
def guests(cloud: Cloud) -> tuple[str, str]:
    return pair(cloud, make(cloud.ec2, "one"), make(cloud.ec2, "other"))


def hop(kind: Any, id: str, direction: Any = "out", **more: Any) -> Hop:
    return Hop(kind, id, direction, more.pop("source", "172.31.0.4"), more.pop("destination", "203.0.113.7"), **more)


def table_of(cloud: Cloud) -> dict[str, str]:
    (table,) = cloud.ec2.describe_route_tables()["RouteTables"]
    return {"route_table_id": table["RouteTableId"], "origin": "CreateRoute"}


def test_routes_are_known_by_destination_list_or_as_local(cloud: Cloud, guests: tuple[str, str]) -> None:
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    listed = PrefixList.new_id()
    with cloud.database.write() as db:
        db.add(PrefixList(id=listed, **OWNER, name="offices", family="IPv4", max_entries=2))
        db.flush()
        db.add(PrefixListEntry(prefix_list_id=listed, cidr="198.51.100.0/24", added=1))
        db.add(RouteRow(**table_of(cloud), destination=listed, target="pcx-1"))
    with cloud.database.read() as db:
        atlas = Atlas(db)

        def found(rule: str, **more: Any) -> str:
            (waypoint,) = atlas.waypoints([hop("routes", subnet, rule=rule, **more)])
            return str(waypoint.rule.target) if isinstance(waypoint.rule, RouteRow) else ""

        assert found("0.0.0.0/0").startswith("igw-")
        assert found("198.51.100.0/24") == "pcx-1"
        assert found("local", destination="172.31.9.9") == "local"
        assert found("10.0.0.0/8") == ""


def test_gateways_of_every_kind_are_named(cloud: Cloud, guests: tuple[str, str]) -> None:
    (vpc,), subnets = cloud.ec2.describe_vpcs()["Vpcs"], cloud.ec2.describe_subnets()["Subnets"]
    vpc_id, subnet = vpc["VpcId"], subnets[0]["SubnetId"]
    nat, eigw, pcx = NatGateway.new_id(), EgressGateway.new_id(), Peering.new_id()
    with cloud.database.write() as db:
        place = {"vpc_id": vpc_id, "subnet_id": subnet}
        db.add(NatGateway(id=nat, **OWNER, **place, connectivity="public", interface_id="eni-1"))
        db.add(EgressGateway(id=eigw, **OWNER, vpc_id=vpc_id))
        db.add(RouteRow(**table_of(cloud), destination="::/0", target=eigw))
        db.add(
            RouteTableAssociation(
                id="rtbassoc-1", vpc_id=vpc_id, gateway_id="igw-1", route_table_id=table_of(cloud)["route_table_id"]
            )
        )
        ends = {"requester_vpc_id": vpc_id, "accepter_vpc_id": "vpc-2", "requester_cidrs": [], "accepter_cidrs": []}
        db.add(Peering(id=pcx, **OWNER, **ends, accepter_account=OPERATOR, status="active", expires=""))
    six = {"source": "fd00::1", "destination": "2001:db8::1"}
    (gateway,) = cloud.ec2.describe_internet_gateways()["InternetGateways"]
    with cloud.database.read() as db:
        atlas = Atlas(db)
        routed = [hop("routes", subnet, rule="::/0", **six), hop("uplink", vpc_id, **six)]
        assert atlas.waypoints(routed)[-1].id == eigw, "the way out is what the route names"
        assert atlas.waypoints([hop("uplink", vpc_id, "in")])[0].id == gateway["InternetGatewayId"]
        assert atlas.waypoints([hop("uplink", vpc_id, "in", why="closed")])[0].id == eigw
        (passed,) = atlas.waypoints([hop("nat gateway", nat, "in")])
        assert (passed.id, passed.subnet_id, passed.interface_id) == (nat, subnet, "eni-1")
        assert atlas.waypoints([hop("peering", pcx, "in")])[0].account == OPERATOR
        arriving = atlas.waypoints([hop("routes", vpc_id, "in", rule="0.0.0.0/0")])[0]
        assert arriving.id == table_of(cloud)["route_table_id"]
        for kind, id in (("wire", vpc_id), ("services", vpc_id), ("router", vpc_id), ("router", subnet)):
            assert atlas.waypoints([hop(kind, id, "in")])[0].id == vpc_id


def test_what_is_gone_meanwhile_is_still_told(cloud: Cloud) -> None:
    gone: list[tuple[Any, str]] = [
        ("port", "eni-gone"), ("groups", "eni-gone"), ("filter", "subnet-gone"), ("routes", "subnet-gone"),
        ("nat gateway", "nat-gone"), ("peering", "pcx-gone"), ("uplink", "vpc-gone"), ("nowhere", ""),
    ]  # fmt: skip
    with cloud.database.read() as db:
        for kind, id in gone:
            (waypoint,) = Atlas(db).waypoints([hop(kind, id, "in", outcome="dropped", why="loop")])
            assert waypoint.rule is None


# -- words and codes ---------------------------------------------------------------

ENDS: list[tuple[Any, Any]] = [
    ("port", "spoofed"), ("port", "not addressed"), ("groups", "no rule"), ("filter", "line"), ("filter", "no line"),
    ("routes", "no route"), ("routes", "blackhole"), ("uplink", "no public address"), ("uplink", "spoofed"),
    ("uplink", "closed"), ("peering", "not of the peer"), ("peering", "no other end"), ("nat gateway", "closed"),
    ("nat gateway", "loop"), ("router", "closed"), ("nowhere", "no such address"),
]  # fmt: skip


def test_every_end_has_words_and_a_code() -> None:
    assert {why for _, why in ENDS} | {"", "reply", "served"} == set(get_args(Why))
    packet = Packet("eni-1", "203.0.113.7", "tcp", 80)
    for kind, why in ENDS:
        stopped = hop(kind, "x-1", "in", outcome="dropped", why=why)
        waypoint = Waypoint(
            stopped, "x-1", vpc_id="vpc-1", subnet_id="subnet-1", interface_id="eni-1", groups=("sg-1",)
        )
        assert sentence(waypoint)
        assert "{" not in sentence(waypoint) + hint(waypoint, Journey(packet, (stopped,)), False)
        assert code_of(stopped, from_outside=False).isupper()


def test_everything_that_is_passed_has_words() -> None:
    sides = {"routes": ("in", "out"), "uplink": ("in", "out"), "wire": ("out",)}
    twice = ("port", "groups", "filter")
    for kind in set(get_args(Kind)) - {"nowhere"}:
        for side in sides.get(kind, ("in", "out") if kind in twice else ("in",)):
            assert sentence(Waypoint(hop(kind, "x-1", side), "x-1"))


# -- findings ----------------------------------------------------------------------


def question(db: Any, **columns: Any) -> InsightsPath:
    path = InsightsPath(id=InsightsPath.new_id(), **OWNER, **{"protocol": "tcp", "destination_port": 80, **columns})
    db.add(path)
    db.flush()
    return path


def test_a_path_to_a_peering_ends_there(cloud: Cloud, guests: tuple[str, str]) -> None:
    eni = interface(cloud.ec2, guests[0])
    other = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    vpc = cloud.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    pcx = Peering.new_id()
    with cloud.database.write() as db:
        ends = {"requester_vpc_id": vpc, "accepter_vpc_id": other, "requester_cidrs": [], "accepter_cidrs": []}
        row = Peering(
            id=pcx, **OWNER, **ends, accepter_account=OPERATOR, status="pending-acceptance", expires="", link=1
        )
        db.add(row)
        path = question(db, source=guests[0], destination=pcx)
        with pytest.raises(Unreachable, match="BAD_STATE"):
            packets(db, path)
        row.status = "active"
        db.flush()
        (packet,) = packets(db, path)
        assert (packet.port_id, packet.destination) == (eni, "10.9.0.1")
        there = (
            hop("port", eni),
            hop("peering", pcx, "in"),
            hop("groups", eni, "in", outcome="dropped", why="no rule"),
        )

        class Network_:
            def trace(self, packet: Packet) -> tuple[Hop, ...]:
                return there

        (journey,) = journeys(Network_(), [packet], pcx)  # type: ignore[arg-type]
        assert journey.is_answered and journey.there[-1].kind == "peering"
        found = finding(db, path, {}, [journey])
        assert found.found
        assert found.report["ForwardPathComponents"][-1]["Component"]["Id"] == pcx


def test_an_address_on_the_wire_is_a_destination_if_the_vlan_is_mapped(cloud: Cloud, guests: tuple[str, str]) -> None:
    (vpc,) = cloud.ec2.describe_vpcs()["Vpcs"]
    eni = interface(cloud.ec2, guests[0])
    there = (hop("port", eni), hop("wire", vpc["VpcId"], outcome="delivered", destination="172.31.0.200"))
    journey = Journey(Packet(eni, "172.31.0.200", "tcp", 80), there)
    with cloud.database.write() as db:
        path = question(db, source=guests[0], destination_ip="172.31.0.200")
        (why,) = finding(db, path, {}, [journey]).report["Explanations"]
        assert why["ExplanationCode"] == "NO_POSSIBLE_DESTINATION"
        db.get_one(Vpc, vpc["VpcId"]).vlan_is_mapped = True
        db.flush()
        assert finding(db, path, {}, [journey]).found


def test_a_report_is_plain_json(cloud: Cloud, guests: tuple[str, str]) -> None:
    source, destination = (interface(cloud.ec2, guest) for guest in guests)
    address = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[destination])["NetworkInterfaces"][0]
    journey = travel(cloud.backend.network, Packet(source, address["PrivateIpAddress"], "icmp"))
    with cloud.database.read() as db:
        found = report(Atlas(db), journey, REGION)
    assert json.loads(json.dumps(found)) == found
    assert found["Explanations"][0]["ExplanationCode"] == "ENI_SG_RULES_MISMATCH"
    assert "DestinationPortRanges" not in found["ForwardPathComponents"][0]["OutboundHeader"]

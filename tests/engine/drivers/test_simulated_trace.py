"""What the simulated network says of a packet; that OVN says the same is shown in tests/acceptance/test_trace.py."""

from dataclasses import replace
from typing import Any

import pytest

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import FilterRule, Nat, NetworkDriver, Peering, Port, Route, Rule
from engine.drivers.packets import Hop, Packet, reply_to
from engine.drivers.simulated import Simulated
from tests.engine.drivers.networks import ANY, GROUP, NETWORK, OUT, PORT, make

OTHER = Port("eni-2", "vpc-1", "subnet-2", "06:00:02:00:00:02", ("10.0.2.4",), ("sg-1",))
ABROAD = "203.0.113.7"
SSH = Rule("in", "tcp", ANY, 22, 22, id="sgr-ssh")
LEAVE = FilterRule(90, "out", True, "all", "0.0.0.0/0")


@pytest.fixture
def driver() -> NetworkDriver:
    driver = make(Simulated().drivers().network)
    first, second = NETWORK.subnets
    plain = replace(second, routes=(Route("0.0.0.0/0", "10.0.1.200"),))
    driver.ensure_network(replace(NETWORK, subnets=(first, plain)))
    driver.ensure_group(replace(GROUP, rules=(SSH, OUT)))
    driver.ensure_port(OTHER)
    return driver


def last(driver: NetworkDriver, port: str, destination: str, to: int = 22, **more: Any) -> Hop:
    return driver.trace(Packet(port, destination, "tcp", to, **more))[-1]


def test_a_packet_that_arrives_says_by_which_rules(driver: NetworkDriver) -> None:
    hops = driver.trace(Packet("eni-2", "10.0.1.4", "tcp", 22))
    assert [(hop.kind, hop.id, hop.rule) for hop in hops] == [
        ("port", "eni-2", ""), ("groups", "eni-2", ""), ("filter", "subnet-2", ""), ("routes", "subnet-2", "local"),
        ("filter", "subnet-1", "100"), ("groups", "eni-1", "sgr-ssh"), ("port", "eni-1", ""),
    ]  # fmt: skip
    assert hops[-1].outcome == "delivered"
    assert hops[-2].group == "sg-1"


def test_a_packet_that_is_stopped_says_where(driver: NetworkDriver) -> None:
    stopped = last(driver, "eni-2", "10.0.1.4", 23)
    assert (stopped.kind, stopped.direction, stopped.rule, stopped.why) == ("filter", "in", "*", "no line")
    assert last(driver, "eni-1", "10.0.2.4").why == "no line", "what leaves needs a line, too"
    assert last(driver, "eni-2", "10.0.1.4", source="10.0.2.77").why == "spoofed"


def test_an_answer_needs_a_line_and_no_rule(driver: NetworkDriver) -> None:
    asked = Packet("eni-2", "10.0.1.4", "tcp", 22)
    reply = reply_to(asked, driver.trace(asked))
    assert reply is not None
    assert (reply.port_id, reply.source_port, reply.destination) == ("eni-1", 22, "10.0.2.4")
    assert driver.trace(reply)[-1].why == "no line"
    first, second = NETWORK.subnets
    lines = (*(first.filter or ()), LEAVE)
    driver.ensure_network(replace(NETWORK, subnets=(replace(first, filter=lines), replace(second, routes=()))))
    found = driver.trace(reply)
    assert [hop.why for hop in found if hop.kind == "groups"] == ["reply", "reply"]
    assert found[-1].outcome == "delivered"


def test_nothing_answers_what_did_not_arrive(driver: NetworkDriver) -> None:
    asked = Packet("eni-2", "10.0.1.4", "tcp", 23)
    assert reply_to(asked, driver.trace(asked)) is None


def test_the_way_out_shows_the_address_that_is_seen_outside(driver: NetworkDriver) -> None:
    first, second = NETWORK.subnets
    open_ = replace(first, filter=None)
    driver.ensure_network(
        replace(NETWORK, subnets=(open_, replace(second, routes=(Route("0.0.0.0/0", "10.0.1.200"),))))
    )
    out = last(driver, "eni-2", ABROAD)
    assert (out.kind, out.outcome, out.source) == ("uplink", "delivered", "198.18.2.1")
    assert last(driver, "eni-1", ABROAD).why == "no public address"
    driver.ensure_port(replace(PORT, nats=(Nat("10.0.1.4", "198.18.1.9"),)))
    assert last(driver, "eni-1", ABROAD).source == "198.18.1.9"
    assert last(driver, "", "198.18.1.9", source=ABROAD).id == "eni-1"
    assert last(driver, "", "198.18.1.9", source="10.0.2.4").why == "spoofed"


def test_a_group_may_name_another_by_its_members(driver: NetworkDriver) -> None:
    driver.ensure_network(replace(NETWORK, subnets=tuple(replace(s, filter=None, routes=()) for s in NETWORK.subnets)))
    driver.ensure_group(replace(GROUP, rules=(Rule("in", "6", "sg-1", 80, 80, id="sgr-peer"), OUT)))
    assert last(driver, "eni-2", "10.0.1.4", 80).outcome == "delivered"
    assert last(driver, "eni-2", "10.0.1.4", 81).why == "no rule"


def test_icmp_is_known_by_its_type(driver: NetworkDriver) -> None:
    driver.ensure_network(replace(NETWORK, subnets=tuple(replace(s, filter=None, routes=()) for s in NETWORK.subnets)))
    for kind, code, outcome in ((8, -1, "delivered"), (8, 0, "delivered"), (8, 1, "dropped"), (13, -1, "dropped")):
        driver.ensure_group(replace(GROUP, rules=(Rule("in", "1", ANY, kind, code), OUT)))
        assert driver.trace(Packet("eni-2", "10.0.1.4", "icmp"))[-1].outcome == outcome


def test_a_peering_without_an_other_end_leads_nowhere(driver: NetworkDriver) -> None:
    peering = Peering("pcx-1", "vpc-9", "169.254.128.1", "169.254.128.2", ("10.9.0.0/16",))
    subnets = tuple(replace(s, filter=None, routes=(Route("10.9.0.0/16", "pcx-1"),)) for s in NETWORK.subnets)
    driver.ensure_network(replace(NETWORK, subnets=subnets, peerings=(peering,)))
    assert last(driver, "eni-1", "10.9.0.4").why == "no other end"


def test_packets_do_not_go_round_for_ever(driver: NetworkDriver) -> None:
    first, second = NETWORK.subnets
    looped = replace(first, filter=None, routes=(Route("0.0.0.0/0", "10.0.1.200"),))
    driver.ensure_network(replace(NETWORK, subnets=(looped, second)))
    assert last(driver, "eni-1", ABROAD).why == "loop"


def test_what_does_not_exist_cannot_be_traced(driver: NetworkDriver) -> None:
    with pytest.raises(DriverError, match="there is no port eni-9"):
        driver.trace(Packet("eni-9", "10.0.1.4", "tcp", 22))
    with pytest.raises(Refused, match="has no IPv6 address"):
        driver.trace(Packet("eni-1", "2001:db8::1", "tcp", 22))
    with pytest.raises(Refused, match="needs a source"):
        driver.trace(Packet("", "198.18.2.1", "tcp", 22))
    assert last(driver, "", "192.0.2.1", source=ABROAD).kind == "nowhere"

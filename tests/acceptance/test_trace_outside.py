"""What this host's own OVN says of a packet that leaves: what the simulated network says, and what is true."""

from dataclasses import replace

import pytest

from engine.drivers.networking import Group, Nat, NatGateway, Network, Peering, Port, Route, Rule
from engine.drivers.packets import Packet
from tests.acceptance.two_answers import Both, words
from tests.acceptance.two_networks import (
    ANY,
    APP,
    APP_PUBLIC,
    EVERYWHERE,
    OTHER_PUBLIC,
    OUT,
    OUTSIDER,
    RANGE_6,
    UPLINK,
    WEB,
    WEB_PUBLIC,
    Guests,
    TwoNetworks,
)
from tests.acceptance.wire import Host

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

INNER, ABROAD = "10.77.1.9", "203.0.113.7"


@pytest.fixture
def both(cloud: TwoNetworks) -> Both:
    return Both(cloud)


# -- outside -----------------------------------------------------------------------


def test_without_a_public_address_nobody_gets_out(both: Both, guests: Guests, outsider: Host) -> None:
    for destination in (OUTSIDER, ABROAD):
        hops = both.trace(both.cloud.web_port, destination)
        assert words(hops)[-2:] == ["routes out 0.0.0.0/0", "uplink out no public address x"]
    assert not guests.web.ask(OUTSIDER, 80)


def test_a_public_address_leads_out_and_in(both: Both, guests: Guests, outsider: Host) -> None:
    cloud = both.cloud
    with both.having(replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))):
        for destination in (OUTSIDER, ABROAD):
            asked = Packet(cloud.web_port.id, destination, "tcp", 80)
            last = both.follow(asked)[-1]
            assert (last.kind, last.outcome, last.source, last.id) == (
                "uplink",
                "delivered",
                WEB_PUBLIC,
                cloud.network.id,
            )
            assert words(both.answer(asked)) == ["uplink in", "filter in", "groups in reply", "port in !"]
        assert guests.web.reaches(OUTSIDER, 80)
        asked = Packet("", WEB_PUBLIC, "tcp", 80, source=ABROAD)
        hops = both.follow(asked)
        assert words(hops) == ["uplink in", "filter in", "groups in web-80", "port in !"]
        assert hops[0].destination == WEB
        assert words(both.answer(asked))[-1] == "uplink out !"
        assert words(both.trace(None, WEB_PUBLIC, 81, source=ABROAD))[-1] == "groups in no rule x"
        assert words(both.trace(None, WEB_PUBLIC, source=APP)) == ["uplink in spoofed x"]
    assert words(both.trace(None, WEB_PUBLIC, source=ABROAD)) == ["nowhere in no such address x"]
    assert words(both.trace(None, WEB, source=ABROAD)) == ["nowhere in no such address x"]


def test_guests_may_meet_by_public_addresses(both: Both) -> None:
    cloud = both.cloud
    web, app = (
        replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),)),
        replace(cloud.app_port, nats=(Nat(APP, APP_PUBLIC),)),
    )
    twin = replace(cloud.twin_port, nats=(Nat(WEB, OTHER_PUBLIC),))
    with both.having(web):
        assert words(both.trace(cloud.app_port, WEB_PUBLIC))[-1] == "uplink out no public address x"
        with both.having(app, twin):
            asked = Packet(cloud.app_port.id, WEB_PUBLIC, "tcp", 80)
            hops = both.follow(asked)
            assert words(hops)[-5:] == ["uplink out", "uplink in", "filter in", "groups in web-80", "port in !"]
            assert (hops[-1].source, hops[-1].destination) == (APP_PUBLIC, WEB)
            assert words(both.answer(asked))[-1] == "port in !"
            hops = both.trace(cloud.web_port, OTHER_PUBLIC)
            assert [hop.id for hop in hops if hop.kind == "uplink"] == [cloud.network.id, cloud.twin_network.id]


def test_a_nat_gateway_stands_for_its_guests(both: Both, guests: Guests, outsider: Host) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    gateway = NatGateway(cloud.id("nat"), first.id, (INNER,), (Nat(INNER, OTHER_PUBLIC),))
    subnets = (first, replace(second, routes=(Route(EVERYWHERE, INNER),)))
    with both.having(replace(cloud.network, subnets=subnets, nat_gateways=(gateway,))):
        asked = Packet(cloud.app_port.id, OUTSIDER, "tcp", 80)
        for _ in range(2):
            assert words(both.follow(asked)) == [
                "port out", "groups out all-out", "filter out", "routes out 0.0.0.0/0", "filter in", "nat gateway in",
                "filter out", "routes out 0.0.0.0/0", "uplink out !",
            ]  # fmt: skip
            assert words(both.answer(asked)) == [
                "uplink in", "filter in", "nat gateway in", "filter out", "routes out local", "filter in",
                "groups in reply", "port in !",
            ]  # fmt: skip
            # Afterwards OVN knows the cards, and a trace takes another course.
            assert guests.app.reaches(OUTSIDER, 80)
        assert words(both.trace(None, OTHER_PUBLIC, source=ABROAD))[-1] == "nat gateway in closed x"


def test_several_addresses_of_a_nat_gateway_have_their_shares(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    more = ("10.77.1.10", WEB_PUBLIC)
    gateway = NatGateway(cloud.id("nat"), first.id, (INNER, more[0]), (Nat(INNER, OTHER_PUBLIC), Nat(*more)))
    subnets = (first, replace(second, routes=(Route(EVERYWHERE, INNER),)))
    with both.having(replace(cloud.network, subnets=subnets, nat_gateways=(gateway,))):
        assert both.trace(cloud.app_port, OUTSIDER)[-1].source == OTHER_PUBLIC
        with both.having(replace(cloud.app_port, addresses=("10.77.2.200",))):
            assert both.trace(cloud.app_port, OUTSIDER)[-1].source == WEB_PUBLIC


def test_a_packet_that_goes_round_is_told(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    gateway = NatGateway(cloud.id("nat"), first.id, (INNER,), ())
    looped = replace(first, routes=(Route(EVERYWHERE, INNER),))
    with both.having(replace(cloud.network, subnets=(looped, second), nat_gateways=(gateway,))):
        assert words(both.trace(cloud.web_port, ABROAD))[-1].endswith("loop x")


def test_an_outlet_has_the_routers_address(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    outlet = replace(second, routes=(Route(f"{OUTSIDER}/32", "outlet"),))
    with both.having(replace(cloud.network, subnets=(first, outlet))):
        asked = Packet(cloud.app_port.id, OUTSIDER, "tcp", 80)
        assert both.follow(asked)[-1].source == UPLINK
        assert words(both.answer(asked)) == ["uplink in", "filter in", "groups in reply", "port in !"]


def test_what_arrives_can_be_diverted(both: Both) -> None:
    cloud = both.cloud
    uplink = cloud.network.uplink
    assert uplink is not None
    public = replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))
    for via, expected in ((APP, "groups in no rule x"), ("blackhole", "routes in 10.77.1.0/24 blackhole x")):
        arriving = replace(uplink, arriving=(Route("10.77.1.0/24", via),))
        with both.having(public, replace(cloud.network, uplink=arriving)):
            found = words(both.trace(None, WEB_PUBLIC, source=ABROAD))
            assert found[-1] == expected
            assert any(each.startswith("routes in 10.77.1.0/24") for each in found)


# -- peers and IPv6 ----------------------------------------------------------------


def test_a_peering_is_passed_when_both_ends_are_there(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    mine = Peering("pcx", cloud.id("c"), "169.254.128.1", "169.254.128.2", ("10.88.0.0/16",))
    routed = replace(first, routes=(*first.routes, Route("10.88.0.0/16", "pcx")))
    network = replace(cloud.network, subnets=(routed, second), peerings=(mine,))
    subnet = replace(first, id=cloud.id("c1"), cidr="10.88.1.0/24", mac_prefix="06:cc:01", routes=())
    theirs = Peering("pcx", cloud.network.id, "169.254.128.2", "169.254.128.1", ("10.77.1.0/24",))
    peer = Network(cloud.id("c"), ("10.88.0.0/16",), 3992, (subnet,), peerings=(theirs,))
    group = Group(cloud.id("sg-c"), peer.id, (Rule("in", "all", ANY, id="c-all"), OUT))
    port = Port(cloud.id("c-port"), peer.id, subnet.id, "06:cc:01:00:00:01", ("10.88.1.4",), (group.id,))
    try:
        with both.having(network):
            assert words(both.trace(cloud.web_port, "10.88.1.4"))[-1] == "peering out no other end x"
            with both.having(peer, group, port):
                hops = both.trace(cloud.web_port, "10.88.1.4")
                assert words(hops)[3:] == [
                    "routes out 10.88.0.0/16", "peering in", "filter in", "groups in c-all", "port in !",
                ]  # fmt: skip
                assert words(both.trace(cloud.web_port, "10.88.9.9"))[-1] == "nowhere in no such address x"
                assert words(both.trace(port, WEB))[-1] == "routes out no route x", "no way back"
                wide = replace(network, subnets=(routed, replace(second, routes=(Route("10.88.0.0/16", "pcx"),))))
                with both.having(wide):
                    assert words(both.trace(cloud.app_port, "10.88.1.4"))[-1] == "peering in not of the peer x"
    finally:
        for driver in (cloud.ovn, both.simulated):
            driver.remove_port(port.id)
            driver.remove_group(group.id)
            driver.remove_network(peer.id)


def test_ipv6_is_traced_as_well(both: Both) -> None:
    cloud = both.cloud
    web6, app6 = "fd77:0:77:1::4", "fd77:0:77:2::4"
    subnets = tuple(
        replace(subnet, cidr6=f"fd77:0:77:{n}::/64", routes=(Route("::/0", via),))
        for n, (subnet, via) in enumerate(zip(cloud.network.subnets, ("uplink", "outbound"), strict=True), 1)
    )
    network = replace(cloud.network, cidrs=(*cloud.network.cidrs, RANGE_6), subnets=subnets)
    web = replace(
        cloud.web, rules=(Rule("in", "tcp", ("::/0",), 80, 80, id="six"), Rule("out", "all", ("::/0",), id="out"))
    )
    app = replace(cloud.app, rules=web.rules)
    ports = (replace(cloud.web_port, addresses=(WEB, web6)), replace(cloud.app_port, addresses=(APP, app6)))
    with both.having(network, web, app, *ports):
        assert words(both.trace(cloud.app_port, web6)) == [
            "port out", "groups out out", "filter out", "routes out local", "filter in", "groups in six", "port in !",
        ]  # fmt: skip
        for port in ports:
            asked = Packet(port.id, "2001:db8::1", "tcp", 80)
            assert words(both.follow(asked))[-2:] == ["routes out ::/0", "uplink out !"]
            assert words(both.answer(asked))[-1] == "port in !"
        assert words(both.trace(None, web6, source="2001:db8::1"))[-2:] == ["groups in six", "port in !"]
        assert words(both.trace(None, app6, source="2001:db8::1"))[-1] == "uplink in closed x"
        assert words(both.trace(None, web6, source=app6)) == ["uplink in spoofed x"]

"""Packets of IPv6: inside a network, out and in by the edge, and out alone."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from secrets import token_hex

import pytest

from engine.drivers.base import port_uuid
from engine.drivers.networking import FilterRule, Network, Peering, Port, Route, Rule
from tests.acceptance.two_networks import OUTSIDE_6, OUTSIDER_6, RANGE_6, WEB, Guests, TwoNetworks
from tests.acceptance.wire import Host, eventually, heard, plugged, settle

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

WEB_6, APP_6 = "fd77:0:77:1::4", "fd77:0:77:2::4"
ANY_6 = ("::/0",)
PING = Rule("in", "icmpv6", ANY_6, 128, -1)
HTTP, OUT = Rule("in", "tcp", ANY_6, 80, 80), Rule("out", "all", ANY_6)


def dual(cloud: TwoNetworks, *via: str, **changes: object) -> Network:
    """Return the network with a range of IPv6, and a way out of it for each of its two subnets."""
    subnets = tuple(
        replace(subnet, cidr6=f"fd77:0:77:{place}::/64", routes=(*subnet.routes, Route("::/0", way)))
        for (place, subnet), way in zip(enumerate(cloud.network.subnets, 1), via, strict=True)
    )
    return replace(cloud.network, cidrs=(*cloud.network.cidrs, RANGE_6), subnets=subnets, **changes)


@pytest.fixture
def outsider6() -> Iterator[Host]:
    with plugged("br-ext", "02:ee:00:00:00:06") as host:
        host.ip("address", "add", f"{OUTSIDER_6}/64", "dev", host.device, "nodad")
        host.ip("-6", "route", "replace", str(OUTSIDE_6.pool), "via", str(OUTSIDE_6.edge))
        host.serve(80)
        yield host


@pytest.fixture
def six(cloud: TwoNetworks, guests: Guests) -> Iterator[Guests]:
    """The guests with addresses of IPv6 as well, which their groups let ping and HTTP reach."""
    cloud.ovn.ensure_network(dual(cloud, "uplink", "outbound"))
    for group in (cloud.web, cloud.app):
        cloud.ovn.ensure_group(replace(group, rules=(*group.rules, PING, HTTP, OUT)))
    for host, port, address in ((guests.web, cloud.web_port, WEB_6), (guests.app, cloud.app_port, APP_6)):
        cloud.ovn.ensure_port(replace(port, addresses=(*port.addresses, address)))
        host.ip("address", "replace", f"{address}/64", "dev", host.device, "nodad")
        host.ip("-6", "route", "replace", "default", "via", f"{address[:-1]}1")
    settle()
    yield guests
    for host, port, address in ((guests.web, cloud.web_port, WEB_6), (guests.app, cloud.app_port, APP_6)):
        host.ip("address", "delete", f"{address}/64", "dev", host.device)
        cloud.ovn.ensure_port(port)
    for group in (cloud.web, cloud.app):
        cloud.ovn.ensure_group(group)
    cloud.ovn.ensure_network(cloud.network)


def test_subnets_reach_each_other_as_their_groups_allow(six: Guests) -> None:
    assert eventually(lambda: six.app.ask(WEB_6, 80)) == [six.web.name, APP_6]
    assert not six.app.ask(WEB_6, 81)


def test_a_way_out_is_a_way_in_but_one_that_is_outbound_alone(six: Guests, outsider6: Host) -> None:
    assert eventually(lambda: six.web.ask(OUTSIDER_6, 80)) == [outsider6.name, WEB_6]
    assert eventually(lambda: outsider6.ask(WEB_6, 80)) == [six.web.name, OUTSIDER_6]
    assert not outsider6.ask(WEB_6, 81)
    assert eventually(lambda: six.app.ask(OUTSIDER_6, 80)) == [outsider6.name, APP_6]
    assert not outsider6.ask(APP_6, 80)
    assert six.web.reaches(APP_6, 80), "from inside"


def test_an_uplink_that_only_leads_out_lets_nobody_in_whatever_the_routes(
    cloud: TwoNetworks, six: Guests, outsider6: Host
) -> None:
    """Not even a datagram, which nobody needs to answer."""
    uplink = cloud.network.uplink
    assert uplink is not None

    def arrives() -> bool:
        text = token_hex(8).encode()

        def send() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
                udp.sendto(text, (WEB_6, 4000))

        outsider6.inside(send)
        return bool(heard(listener, text))

    closed = dual(cloud, "blackhole", "outbound", uplink=replace(uplink, only_out=True))
    with cloud.group(replace(cloud.web, rules=(Rule("in", "udp", ANY_6, 4000, 4000),))), six.web.packets() as listener:
        assert eventually(arrives)
        cloud.ovn.ensure_network(closed)
        settle()
        assert not arrives()
        assert eventually(lambda: six.app.ask(OUTSIDER_6, 80)) == [outsider6.name, APP_6]


def test_a_subnet_without_a_route_has_no_way_out(cloud: TwoNetworks, six: Guests, outsider6: Host) -> None:
    assert six.web.reaches(OUTSIDER_6, 80)
    cloud.ovn.ensure_network(dual(cloud, "blackhole", "outbound"))
    settle()
    assert not six.web.ask(OUTSIDER_6, 80)
    cloud.ovn.ensure_network(dual(cloud, "uplink", "outbound", uplink=None))
    settle()
    assert not six.app.ask(OUTSIDER_6, 80)


def test_lines_of_filters_are_for_ipv6_too(cloud: TwoNetworks, six: Guests) -> None:
    network = dual(cloud, "uplink", "uplink")
    first, second = network.subnets
    lines = (FilterRule(1, "in", True, "6", "::/0", 80, 80), FilterRule(1, "out", True, "all", "::/0"))
    cloud.ovn.ensure_network(replace(network, subnets=(replace(first, filter=lines), second)))
    settle()
    assert six.app.reaches(WEB_6, 80)
    cloud.ovn.ensure_network(replace(network, subnets=(replace(first, filter=lines[1:]), second)))
    settle()
    assert not six.app.ask(WEB_6, 80)


def test_icmp_of_one_ip_version_says_nothing_of_the_other(cloud: TwoNetworks, six: Guests) -> None:
    network = dual(cloud, "uplink", "uplink")
    first, second = network.subnets
    out = tuple(FilterRule(n, "out", True, "all", cidr) for n, cidr in ((1, "::/0"), (2, "0.0.0.0/0")))

    def lets_ping(protocol: str, cidr: str) -> bool:
        lines = (FilterRule(1, "in", True, protocol, cidr, -1, -1), *out)
        cloud.ovn.ensure_network(replace(network, subnets=(replace(first, filter=lines), second)))
        settle()
        return six.app.ping(WEB)

    assert [lets_ping(*line) for line in (("1", "0.0.0.0/0"), ("58", "0.0.0.0/0"), ("1", "::/0"))] == [
        True,
        False,
        False,
    ]


def test_peers_reach_each_other_by_ipv6(cloud: TwoNetworks, six: Guests) -> None:
    other = "fd77:0:88::/56"
    subnet = replace(cloud.network.subnets[0], id=cloud.id("s6"), cidr="10.89.1.0/24", cidr6="fd77:0:88:1::/64",
                     mac_prefix="06:dd:01", routes=(Route(RANGE_6, "pcx6"),))  # fmt: skip
    ends = ("169.254.128.5", "169.254.128.6")
    theirs = Network(cloud.id("d"), ("10.89.0.0/16", other), 3993, (subnet,),
                     peerings=(Peering("pcx6", cloud.network.id, *ends[::-1], (RANGE_6,)),))  # fmt: skip
    mine = dual(cloud, "uplink", "uplink", peerings=(Peering("pcx6", theirs.id, *ends, (other,)),))
    first, second = mine.subnets
    mine = replace(mine, subnets=(replace(first, routes=(*first.routes, Route(other, "pcx6"))), second))
    group = replace(cloud.web, id=cloud.id("sg-d"), network_id=theirs.id, rules=(HTTP, OUT))
    port = Port(cloud.id("d-port"), theirs.id, subnet.id, "06:dd:01:00:00:01", ("fd77:0:88:1::4",), (group.id,))
    try:
        for network in (theirs, mine):
            cloud.ovn.ensure_network(network)
        cloud.ovn.ensure_group(group)
        cloud.ovn.ensure_port(port)
        with plugged("br-int", port.mac, port_uuid(port.id)) as host:
            host.ip("address", "add", "fd77:0:88:1::4/64", "dev", host.device, "nodad")
            host.ip("-6", "route", "replace", "default", "via", "fd77:0:88:1::1")
            host.serve(80)
            settle()
            assert eventually(lambda: six.web.ask("fd77:0:88:1::4", 80)) == [host.name, WEB_6]
            assert eventually(lambda: host.ask(WEB_6, 80)) == [six.web.name, "fd77:0:88:1::4"]
            assert not host.ask(APP_6, 80), "its subnet has no route back"
    finally:
        cloud.ovn.remove_network(theirs.id)

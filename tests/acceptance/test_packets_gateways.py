"""Packets that leave their network: by NAT gateways, peerings, outlets, and through guests that forward."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from engine.drivers.base import port_uuid
from engine.drivers.networking import Nat, NatGateway, Network, Peering, Route, Rule
from tests.acceptance.two_networks import (
    ANY,
    APP,
    APP_PUBLIC,
    EVERYWHERE,
    OTHER_PUBLIC,
    OUT,
    OUTSIDER,
    UPLINK,
    WEB,
    WEB_PUBLIC,
    Guests,
    TwoNetworks,
)
from tests.acceptance.wire import PATIENCE, Host, eventually, plugged, settle

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

INNER = "10.77.1.9"


def private_second(cloud: TwoNetworks, **changes: object) -> Network:
    """Return the network with a NAT gateway in the first subnet, which the second one's way out leads to."""
    first, second = cloud.network.subnets
    gateway = NatGateway(cloud.id("nat"), first.id, (INNER,), (Nat(INNER, OTHER_PUBLIC),))
    subnets = (first, replace(second, routes=(Route(EVERYWHERE, INNER),)))
    return replace(cloud.network, subnets=subnets, nat_gateways=(gateway,), **changes)


# -- NAT gateways ----------------------------------------------------------------


def test_a_nat_gateway_leads_out_by_its_public_address_and_lets_nobody_in(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    with cloud.network_as(private_second(cloud)):
        assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, OTHER_PUBLIC]
        assert eventually(lambda: guests.app.ping(OUTSIDER))
        assert not outsider.ask(OTHER_PUBLIC, 5432)
        assert not outsider.ping(OTHER_PUBLIC) and not guests.web.ping(INNER) and not guests.app.ping(INNER)
        assert not guests.web.ask(OUTSIDER, 80), "its subnet has no route to the gateway"
    assert not guests.app.ask(OUTSIDER, 80)


def test_a_nat_gateway_goes_by_the_routes_of_its_own_subnet(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    network = private_second(cloud)
    first, second = network.subnets
    with cloud.network_as(replace(network, subnets=(replace(first, routes=()), second))):
        assert not guests.app.ask(OUTSIDER, 80)
    with cloud.network_as(network):
        assert guests.app.reaches(OUTSIDER, 80)


def test_a_private_nat_gateway_shows_its_own_address_inside(cloud: TwoNetworks, guests: Guests) -> None:
    network = private_second(cloud)
    (gateway,) = network.nat_gateways
    first, second = network.subnets
    diverted = replace(second, routes=(Route(f"{WEB}/32", INNER),))
    with cloud.network_as(replace(network, subnets=(first, diverted), nat_gateways=(replace(gateway, nats=()),))):
        assert eventually(lambda: guests.app.ask(WEB, 80)) == [guests.web.name, INNER]
    assert eventually(lambda: guests.app.ask(WEB, 80)) == [guests.web.name, APP]


def test_several_addresses_of_a_nat_gateway_are_all_used(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    network = private_second(cloud)
    (gateway,) = network.nat_gateways
    more = ("10.77.1.10", WEB_PUBLIC)
    several = replace(gateway, addresses=(INNER, more[0]), nats=(*gateway.nats, Nat(*more)))
    upper = replace(cloud.app_port, addresses=("10.77.2.200",))
    with cloud.network_as(replace(network, nat_gateways=(several,))):
        assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, OTHER_PUBLIC]
        try:
            with cloud.port(upper):
                guests.app.become("10.77.2.200/24", "10.77.2.1")
                assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, WEB_PUBLIC]
        finally:
            guests.app.become(f"{APP}/24", "10.77.2.1")


def test_a_draining_address_keeps_its_connections_and_gets_no_new_ones(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    network = private_second(cloud)
    (gateway,) = network.nat_gateways
    more = ("10.77.1.10", WEB_PUBLIC)
    several = replace(gateway, addresses=(INNER, more[0]), nats=(*gateway.nats, Nat(*more)))
    upper = replace(cloud.app_port, addresses=("10.77.2.200",))
    with cloud.network_as(replace(network, nat_gateways=(several,))), cloud.port(upper):
        guests.app.become("10.77.2.200/24", "10.77.2.1")
        try:
            assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, WEB_PUBLIC]
            with connected(guests.app, outsider, 4040) as (near, far):
                assert far.getpeername()[0] == WEB_PUBLIC and hears(near, far) and hears(far, near)
                draining = replace(several, draining=(more[0],))
                with cloud.network_as(replace(network, nat_gateways=(draining,))):
                    assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, OTHER_PUBLIC]
                    assert hears(near, far) and hears(far, near)
                with cloud.network_as(network):
                    assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, OTHER_PUBLIC]
                    assert not hears(near, far, seconds=1)
        finally:
            guests.app.become(f"{APP}/24", "10.77.2.1")


@contextmanager
def connected(client: Host, server: Host, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a TCP connection to a server's address OUTSIDER; yield its two ends."""
    with server.inside(lambda: socket.create_server((OUTSIDER, port))) as listener:
        with client.inside(lambda: socket.create_connection((OUTSIDER, port), timeout=5)) as near:
            far, _ = listener.accept()
            with far:
                yield near, far


def hears(speaker: socket.socket, listener: socket.socket, seconds: float = PATIENCE) -> bool:
    """Say whether what is said at one end of a connection arrives at the other."""
    listener.settimeout(seconds)
    with suppress(OSError):
        speaker.sendall(b"x")
        return listener.recv(1) == b"x"
    return False


# -- peerings --------------------------------------------------------------------


@pytest.fixture
def peer(cloud: TwoNetworks) -> Iterator[tuple[Host, Network]]:
    """A third network, of another range, with one guest."""
    name, mac = cloud.id("c"), "06:cc:01:00:00:01"
    subnet = replace(cloud.network.subnets[0], id=cloud.id("c1"), cidr="10.88.1.0/24", mac_prefix="06:cc:01")
    network = Network(name, ("10.88.0.0/16",), 3992, (subnet,))
    cloud.ovn.ensure_network(network)
    group = replace(cloud.web, id=cloud.id("sg-c"), network_id=name, rules=(Rule("in", "all", ANY), OUT))
    cloud.ovn.ensure_group(group)
    port = replace(
        cloud.web_port, id=cloud.id("c-port"), network_id=name, subnet_id=subnet.id, mac=mac, addresses=("10.88.1.4",),
        groups=(group.id,), nats=(),
    )  # fmt: skip
    cloud.ovn.ensure_port(port)
    with plugged("br-int", mac, port_uuid(port.id)) as host:
        host.take("10.88.1.4/24", "10.88.1.1")
        host.serve(80)
        settle()
        assert eventually(lambda: cloud.ovn.port_is_up(port.id))
        yield host, network
    cloud.ovn.remove_network(name)


def peered(network: Network, other: Network, link: tuple[str, str], to_other: bool = True) -> Network:
    """Return a network with a peering, and a route of its first subnet to the other's range."""
    first, *rest = network.subnets
    route = (Route(other.cidrs[0], "pcx"),) if to_other else ()
    subnets = (replace(first, routes=(*first.routes, *route)), *rest)
    return replace(network, subnets=subnets, peerings=(Peering("pcx", other.id, *link, other.cidrs),))


def test_peers_reach_each_other_when_both_have_routes(
    cloud: TwoNetworks, guests: Guests, peer: tuple[Host, Network]
) -> None:
    host, network = peer
    ends = ("169.254.128.1", "169.254.128.2")
    mine, theirs = peered(cloud.network, network, ends), peered(network, cloud.network, ends[::-1])
    with cloud.network_as(mine, theirs):
        assert eventually(lambda: guests.web.ask("10.88.1.4", 80)) == [host.name, WEB]
        assert eventually(lambda: host.ask(WEB, 80)) == [guests.web.name, "10.88.1.4"]
        assert not host.ask(WEB, 82), "what no group allows"
        assert not guests.app.ask("10.88.1.4", 80), "its subnet has no route"
        one_sided = peered(network, cloud.network, ends[::-1], to_other=False)
        with cloud.network_as(one_sided):
            pass
    with cloud.network_as(mine, one_sided):
        assert not guests.web.ask("10.88.1.4", 80), "no way back"
    cloud.ovn.ensure_network(network)


def test_a_rule_can_name_a_group_of_a_peer(cloud: TwoNetworks, guests: Guests, peer: tuple[Host, Network]) -> None:
    host, network = peer
    ends = ("169.254.128.1", "169.254.128.2")
    mine, theirs = peered(cloud.network, network, ends), peered(network, cloud.network, ends[::-1])
    with cloud.network_as(mine, theirs):
        with cloud.group(replace(cloud.web, rules=(Rule("in", "tcp", cloud.id("sg-c"), 81, 81), OUT))):
            assert host.reaches(WEB, 81)
            assert not host.ask(WEB, 80)
            assert not guests.app.ask(WEB, 81)
    cloud.ovn.ensure_network(network)


def test_nobody_goes_through_a_peer_to_somewhere_else(
    cloud: TwoNetworks, guests: Guests, outsider: Host, peer: tuple[Host, Network]
) -> None:
    host, network = peer
    ends = ("169.254.128.1", "169.254.128.2")
    theirs = peered(network, cloud.network, ends[::-1])
    subnet = theirs.subnets[0]
    everywhere = replace(theirs, subnets=(replace(subnet, routes=(Route(EVERYWHERE, "pcx"),)),))
    with cloud.network_as(peered(cloud.network, network, ends), everywhere):
        assert host.reaches(WEB, 80)
        assert not host.ask(OUTSIDER, 80)
    cloud.ovn.ensure_network(network)


# -- outlets ---------------------------------------------------------------------


def test_an_outlet_leads_to_one_place_alone_by_the_routers_address(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    first, second = cloud.network.subnets
    outlet = replace(second, routes=(Route(f"{OUTSIDER}/32", "outlet"),))
    with cloud.network_as(replace(cloud.network, subnets=(first, outlet))):
        assert eventually(lambda: guests.app.ask(OUTSIDER, 80)) == [outsider.name, UPLINK]
        assert not guests.app.ping("198.18.0.1"), "the external network is not what the outlet is for"
        assert not guests.web.ask(OUTSIDER, 80)
    assert not guests.app.ask(OUTSIDER, 80)


# -- through a guest -------------------------------------------------------------


def test_what_is_inside_can_lead_through_a_guest(cloud: TwoNetworks, guests: Guests) -> None:
    """``app`` stands between ``web`` and a place in the range of its own subnet, which a router would know itself."""
    first, second = cloud.network.subnets
    through = replace(first, routes=(*first.routes, Route("10.77.3.0/24", APP)))
    third = replace(second, id=cloud.id("a3"), cidr="10.77.3.0/24", mac_prefix="06:aa:03", routes=())
    guests.app.ip("address", "replace", "10.77.3.50/32", "dev", "lo")
    icmp = Rule("in", "icmp", ANY, 8, -1)
    with (
        cloud.group(replace(cloud.app, rules=(*cloud.app.rules, icmp))),
        cloud.port(replace(cloud.app_port, forwarding=True)),
    ):
        with cloud.network_as(replace(cloud.network, subnets=(through, second, third))):
            assert eventually(lambda: guests.web.ping("10.77.3.50"))
        with cloud.network_as(replace(cloud.network, subnets=(first, second, third))):
            assert not guests.web.ping("10.77.3.50")
    guests.app.ip("address", "delete", "10.77.3.50/32", "dev", "lo")


def test_what_comes_in_can_lead_through_a_guest(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    """A gateway's route table leads what arrives for one subnet to a guest in the other."""
    uplink = cloud.network.uplink
    assert uplink is not None
    arriving = replace(uplink, arriving=(Route("10.77.1.0/24", APP),))
    public = replace(cloud.web_port, nats=(Nat(WEB, APP_PUBLIC),))
    with cloud.port(public), cloud.port(replace(cloud.app_port, forwarding=True)):
        assert outsider.reaches(APP_PUBLIC, 80)
        with cloud.network_as(replace(cloud.network, uplink=arriving)), guests.app.packets() as listener:
            assert not outsider.ask(APP_PUBLIC, 80), "the guest does not forward, and no group lets it in"
            listener.close()
            everything = replace(cloud.app, rules=(*cloud.app.rules, Rule("in", "tcp", ANY)))
            with cloud.group(everything):
                guests.app.ip("address", "replace", f"{WEB}/32", "dev", "lo")
                assert eventually(lambda: outsider.ask(APP_PUBLIC, 80))[:1] == [guests.app.name]
                guests.app.ip("address", "delete", f"{WEB}/32", "dev", "lo")

"""Packets on this host's own OVN: what must pass passes, and nothing else does."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address
from secrets import token_hex
from socket import SHUT_RDWR, socket

import pytest

from engine.drivers.netns import MetadataListeners
from engine.drivers.networking import METADATA_ADDRESS, Nat, Route, Rule
from tests.acceptance.two_networks import (
    APP,
    APP_PUBLIC,
    EVERYWHERE,
    GATEWAY,
    OTHER_PUBLIC,
    OUT,
    OUTSIDER,
    RESOLVER,
    SHUT,
    UPLINK,
    VLAN,
    WEB,
    WEB_PUBLIC,
    Guests,
    TwoNetworks,
)
from tests.acceptance.wire import Host, eventually, heard, plugged, router_mac, run, settle, source_of

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]


# -- addresses and routes --------------------------------------------------------


def test_a_guest_is_told_its_address_and_its_ways_by_dhcp(guests: Guests) -> None:
    lease = guests.web.lease()
    assert lease.address == WEB
    assert lease.options[1] == bytes([255, 255, 255, 0])
    assert lease.options[3] == bytes([10, 77, 1, 1])
    assert lease.options[6] == IPv4Address(RESOLVER).packed
    assert lease.options[15].rstrip(b"\0") == b"ec2.internal"
    assert int.from_bytes(lease.options[26], "big") == 1442
    assert int.from_bytes(lease.options[51], "big") == 3600
    # RFC 3442: prefix length, destination without its zero octets, router.
    served = [IPv4Address(address).packed for address in ("169.254.169.254", "169.254.169.253", RESOLVER)]
    on_link = b"".join(bytes([32]) + address + bytes(4) for address in served)
    assert lease.options[121] == on_link + bytes([0, 10, 77, 1, 1])


def test_dhcp_works_for_a_guest_whose_groups_allow_nothing(guests: Guests) -> None:
    assert guests.shut.lease().address == SHUT


def test_two_subnets_reach_each_other_through_the_router(guests: Guests) -> None:
    assert eventually(lambda: guests.app.ask(WEB, 80)) == [guests.web.name, APP]
    assert eventually(lambda: guests.web.ask(APP, 5432)) == [guests.app.name, WEB]


def test_a_route_to_a_blackhole_leads_nowhere(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    nats = replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))
    routes = (Route(EVERYWHERE, "uplink"), Route(f"{OUTSIDER}/32", "blackhole"))
    first, second = cloud.network.subnets
    with cloud.port(nats):
        assert guests.web.reaches(OUTSIDER, 80)
        cloud.ovn.ensure_network(replace(cloud.network, subnets=(replace(first, routes=()), second)))
        settle()
        assert not guests.web.ask(OUTSIDER, 80)
        cloud.ovn.ensure_network(replace(cloud.network, subnets=(replace(first, routes=routes), second)))
        settle()
        assert not guests.web.ask("198.51.100.1", 80)
        cloud.ovn.ensure_network(cloud.network)
        settle()
        assert guests.web.reaches(OUTSIDER, 80)


def test_a_route_may_lead_through_a_guest_that_forwards(cloud: TwoNetworks, guests: Guests) -> None:
    first, second = cloud.network.subnets
    first = replace(first, routes=(Route("172.20.0.0/16", APP),))
    cloud.ovn.ensure_network(replace(cloud.network, subnets=(first, second)))
    app = replace(cloud.app, rules=(*cloud.app.rules, Rule("in", "icmp", (EVERYWHERE,), 8, -1)))
    guests.app.ip("address", "replace", "172.20.0.5/32", "dev", "lo")
    with cloud.group(app):
        assert not guests.web.ping("172.20.0.5")
        with cloud.port(replace(cloud.app_port, forwarding=True)):
            assert eventually(lambda: guests.web.ping("172.20.0.5"))
    cloud.ovn.ensure_network(cloud.network)
    settle()


# -- groups ----------------------------------------------------------------------


def test_what_a_group_allows_passes_and_the_rest_does_not(guests: Guests) -> None:
    assert guests.app.reaches(WEB, 80)
    assert not guests.app.ask(WEB, 81)
    assert eventually(lambda: guests.app.ping(WEB))
    assert not guests.web.ping(APP)


def test_a_rule_can_name_a_group(guests: Guests, cloud: TwoNetworks) -> None:
    assert guests.web.reaches(APP, 5432)
    assert not guests.web.ask(APP, 5434)
    with cloud.group(replace(cloud.shut, rules=(OUT,))):
        assert guests.shut.reaches(WEB, 80)
        assert not guests.shut.ask(APP, 5432)
        with cloud.port(replace(cloud.shut_port, groups=(cloud.shut.id, cloud.web.id))):
            assert guests.shut.reaches(APP, 5432)


def test_without_a_rule_nothing_gets_in_or_out(guests: Guests) -> None:
    assert not guests.shut.ask(WEB, 80)
    assert not guests.web.ask(SHUT, 80)


def test_a_rule_for_one_way_out_opens_that_alone(cloud: TwoNetworks, guests: Guests) -> None:
    with cloud.group(replace(cloud.shut, rules=(Rule("out", "tcp", (f"{WEB}/32",), 80, 80),))):
        assert guests.shut.reaches(WEB, 80)
        assert not guests.shut.ask(APP, 80)
        assert not guests.shut.ping(WEB)


def test_icmp_passes_by_type_and_protocols_by_number(cloud: TwoNetworks, guests: Guests) -> None:
    with cloud.group(replace(cloud.web, rules=(Rule("in", "1", (EVERYWHERE,), 13, -1), OUT))):
        assert not guests.app.ping(WEB)
    with cloud.group(replace(cloud.web, rules=(Rule("in", "1", (EVERYWHERE,), 8, 0), OUT))):
        assert eventually(lambda: guests.app.ping(WEB))
    with cloud.group(replace(cloud.web, rules=(Rule("in", "6", (EVERYWHERE,)), OUT))):
        assert guests.app.reaches(WEB, 81)
        assert not guests.app.ping(WEB)


# -- isolation -------------------------------------------------------------------


def test_a_network_with_the_same_addresses_is_another_world(guests: Guests) -> None:
    assert eventually(lambda: guests.app.ask(WEB, 80))[0] == guests.web.name
    assert not guests.twin.ask(APP, 5432)
    assert not guests.twin.ping(SHUT)


@pytest.mark.parametrize(
    ("claim", "passes"),
    [({}, True), ({"source": "10.77.1.99"}, False), ({"from_mac": "06:aa:01:00:00:99"}, False)],
    ids=["its own", "another address", "another card"],
)
def test_a_guest_cannot_claim_to_be_another(guests: Guests, claim: dict[str, str], passes: bool) -> None:
    gateway = router_mac(guests.web, "10.77.1.1")
    text = token_hex(8).encode()
    with guests.app.packets() as listener:
        guests.web.send_datagram(gateway, **{"source": WEB, **claim}, destination=APP, text=text)
        assert bool(heard(listener, text)) is passes


def test_the_vlan_of_the_network_leads_to_it_and_no_other(guests: Guests) -> None:
    with (
        plugged("br-phys", "02:bb:00:00:00:01", tag=VLAN) as metal,
        plugged("br-phys", "02:bb:00:00:00:02", tag=VLAN + 5) as lost,
    ):
        for host in (metal, lost):
            host.take("10.77.1.200/24", "10.77.1.1")
        assert eventually(lambda: metal.ask(WEB, 80)) == [guests.web.name, "10.77.1.200"]
        assert not lost.ask(WEB, 80)


# -- metadata --------------------------------------------------------------------


@pytest.fixture(scope="module")
def metadata(cloud: TwoNetworks) -> Iterator[dict[str, socket]]:
    """A listener for each network that answers with the network's id and the guest's address."""
    listeners = MetadataListeners("br-int", cloud.datapath)
    ids = (cloud.network.id, cloud.twin_network.id)
    sockets: dict[str, socket] = {}
    try:
        for id in ids:
            listeners.ensure_namespace(id)
            sockets[id] = listeners.listen(id, METADATA_ADDRESS, 80)
            threading.Thread(target=_answer, args=(sockets[id], id), daemon=True).start()
        yield sockets
    finally:
        for each in sockets.values():
            each.shutdown(SHUT_RDWR)
            each.close()
        for id in ids:
            listeners.remove_namespace(id)
        assert not set(ids) & listeners.list_namespaces()


def _answer(listener: socket, id: str) -> None:
    with suppress(OSError):
        while True:
            connection, peer = listener.accept()
            with connection:
                connection.sendall(f"{id} {peer[0]}".encode())


@pytest.fixture(scope="module")
def informed(guests: Guests, metadata: dict[str, socket]) -> Guests:
    for host in (guests.web, guests.app, guests.shut, guests.twin):
        host.ip("route", "replace", "169.254.169.254/32", "dev", host.device, "scope", "link")
    return guests


@pytest.mark.usefixtures("metadata")
def test_the_metadata_service_knows_who_asks(cloud: TwoNetworks, informed: Guests) -> None:
    expected = {
        "web": [cloud.network.id, WEB],
        "app": [cloud.network.id, APP],
        "shut": [cloud.network.id, SHUT],
        "twin": [cloud.twin_network.id, WEB],
    }
    answers = {name: eventually(lambda n=name: getattr(informed, n).ask("169.254.169.254", 80)) for name in expected}
    assert answers == expected


def test_a_half_made_namespace_is_repaired(cloud: TwoNetworks, informed: Guests, metadata: dict[str, socket]) -> None:
    id = cloud.network.id
    listeners = MetadataListeners("br-int", cloud.datapath)
    metadata[id].shutdown(SHUT_RDWR)
    metadata[id].close()
    run("ip", "netns", "delete", f"gf-{id}")
    open(f"/run/netns/gf-{id}", "w").close()
    assert id in listeners.list_namespaces()
    for _ in range(2):
        listeners.ensure_namespace(id)
    metadata[id] = listeners.listen(id, METADATA_ADDRESS, 80)
    threading.Thread(target=_answer, args=(metadata[id], id), daemon=True).start()
    assert eventually(lambda: informed.app.ask("169.254.169.254", 80)) == [id, APP]


# -- outside -----------------------------------------------------------------------


def test_a_public_address_works_both_ways(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    with cloud.port(replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))):
        assert eventually(lambda: outsider.ask(WEB_PUBLIC, 80)) == [guests.web.name, OUTSIDER]
        assert eventually(lambda: guests.web.ask(OUTSIDER, 80)) == [outsider.name, WEB_PUBLIC]
        assert not outsider.ask(WEB_PUBLIC, 81)
        assert eventually(lambda: guests.web.ping(str(GATEWAY)))
    assert not outsider.ask(WEB_PUBLIC, 80)


def test_without_a_public_address_nothing_crosses_the_border(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    with cloud.port(replace(cloud.app_port, nats=(Nat(APP, APP_PUBLIC),))), outsider.packets() as listener:
        assert guests.app.reaches(OUTSIDER, 80)
        assert not guests.web.ask(OUTSIDER, 80)
        assert not guests.web.ping(OUTSIDER)
        assert not heard(listener, IPv4Address(WEB).packed)
        # The router itself is asked to lead in: as if the private range were routed to it.
        outsider.ip("route", "replace", "10.77.0.0/16", "via", UPLINK)
        assert not outsider.ask(WEB, 80)
        assert not outsider.ping(WEB)


def test_an_outsider_cannot_claim_to_be_inside(cloud: TwoNetworks, guests: Guests, outsider: Host) -> None:
    honest, claimed = token_hex(8).encode(), token_hex(8).encode()
    allowed = replace(cloud.web, rules=(Rule("in", "udp", (EVERYWHERE,)), *cloud.web.rules))
    nats = replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))
    with cloud.port(nats), cloud.group(allowed), guests.web.packets() as listener:
        assert outsider.reaches(WEB_PUBLIC, 80)
        outer = router_mac(outsider, WEB_PUBLIC)
        outsider.send_datagram(outer, OUTSIDER, WEB_PUBLIC, honest)
        assert heard(listener, honest)
        outsider.send_datagram(outer, APP, WEB_PUBLIC, claimed)
        assert not heard(listener, claimed)


def test_a_guest_that_forwards_cannot_claim_a_public_address(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    own, claimed = token_hex(8).encode(), token_hex(8).encode()
    port = replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),), forwarding=True)
    gateway = router_mac(guests.web, "10.77.1.1")
    with cloud.port(port), outsider.packets() as listener:
        assert guests.web.reaches(OUTSIDER, 80)
        guests.web.send_datagram(gateway, WEB, OUTSIDER, own)
        assert [source_of(frame) for frame in heard(listener, own)] == [WEB_PUBLIC]
        guests.web.send_datagram(gateway, OTHER_PUBLIC, OUTSIDER, claimed)
        assert not heard(listener, claimed)


def test_guests_reach_each_other_by_public_addresses(cloud: TwoNetworks, guests: Guests) -> None:
    with cloud.port(replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))):
        with cloud.port(replace(cloud.app_port, nats=(Nat(APP, APP_PUBLIC),))):
            assert eventually(lambda: guests.app.ask(WEB_PUBLIC, 80)) == [guests.web.name, APP_PUBLIC]
        assert not guests.app.ask(WEB_PUBLIC, 80)
        with cloud.port(replace(cloud.twin_port, nats=(Nat(WEB, OTHER_PUBLIC),))):
            assert eventually(lambda: guests.web.ask(OTHER_PUBLIC, 80)) == [guests.twin.name, WEB_PUBLIC]
            assert eventually(lambda: guests.twin.ask(WEB_PUBLIC, 80)) == [guests.web.name, OTHER_PUBLIC]


def test_a_public_address_has_effect_as_soon_as_there_is_an_uplink(
    cloud: TwoNetworks, guests: Guests, outsider: Host
) -> None:
    with cloud.port(replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))):
        cloud.ovn.ensure_network(replace(cloud.network, uplink=None))
        settle()
        assert not outsider.ask(WEB_PUBLIC, 80)
        cloud.ovn.ensure_network(cloud.network)
        settle()
        assert outsider.reaches(WEB_PUBLIC, 80)

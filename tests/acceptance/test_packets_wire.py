"""What networks are on the wire: a VLAN that other machines are in, too, or an overlay that nobody else sees."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.drivers.networking import Nat, NatGateway, Route, Rule
from engine.drivers.packets import Packet
from tests.acceptance.two_networks import (
    ANY,
    APP,
    EVERYWHERE,
    OTHER_PUBLIC,
    OUT,
    OUTSIDER,
    VLAN,
    WEB,
    WEB_PUBLIC,
    Guests,
    TwoNetworks,
)
from tests.acceptance.wire import Host, eventually, plugged, settle

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

METAL, MAPPED = "10.77.1.200", 3995


@pytest.fixture
def metal(guests: Guests) -> Iterator[Host]:
    """A machine without a hypervisor, in the VLAN of the network: its router is the subnet's first address."""
    with plugged("br-phys", "02:bb:00:00:00:01", tag=VLAN) as host:
        host.take(f"{METAL}/24", "10.77.1.1")
        host.serve(80)
        yield host


# -- a VLAN ------------------------------------------------------------------------


def test_a_machine_in_the_vlan_and_guests_talk_both_ways(cloud: TwoNetworks, guests: Guests, metal: Host) -> None:
    assert eventually(lambda: metal.ask(WEB, 80)) == [guests.web.name, METAL]
    assert eventually(lambda: guests.web.ask(METAL, 80)) == [metal.name, WEB]
    assert not metal.ask(WEB, 81), "what no group allows"


def test_they_talk_across_subnets_by_the_router_of_the_network(cloud: TwoNetworks, guests: Guests, metal: Host) -> None:
    with cloud.group(replace(cloud.app, rules=(Rule("in", "tcp", (f"{METAL}/32",), 80, 80), OUT))):
        assert eventually(lambda: metal.ask(APP, 80)) == [guests.app.name, METAL]
        assert eventually(lambda: guests.app.ask(METAL, 80)) == [metal.name, APP]
        assert not guests.web.ask(APP, 80), "the rule names the machine alone"
    assert not metal.ask(APP, 80)
    assert eventually(lambda: metal.ping("10.77.1.1"))


def test_a_trace_to_a_machine_ends_on_the_wire(cloud: TwoNetworks, guests: Guests, metal: Host) -> None:
    for port in (cloud.web_port, cloud.app_port):
        for _ in range(2):
            last = cloud.ovn.trace(Packet(port.id, METAL, "tcp", 80))[-1]
            assert (last.kind, last.id, last.outcome) == ("wire", cloud.network.id, "delivered")
            # Afterwards OVN knows the machine's card.
            assert guests.app.reaches(METAL, 80)


def test_a_machine_goes_out_by_a_nat_gateway(cloud: TwoNetworks, guests: Guests, metal: Host, outsider: Host) -> None:
    first, second = cloud.network.subnets
    inner = "10.77.2.9"
    gateway = NatGateway(cloud.id("nat"), second.id, (inner,), (Nat(inner, OTHER_PUBLIC),))
    subnets = (replace(first, routes=(Route(EVERYWHERE, inner),)), second)
    assert not metal.ask(OUTSIDER, 80)
    with cloud.network_as(replace(cloud.network, subnets=subnets, nat_gateways=(gateway,))):
        assert eventually(lambda: metal.ask(OUTSIDER, 80)) == [outsider.name, OTHER_PUBLIC]


def test_guests_follow_their_network_to_another_vlan(cloud: TwoNetworks, guests: Guests, metal: Host) -> None:
    assert metal.reaches(WEB, 80)
    with (
        cloud.network_as(replace(cloud.network, vlan=MAPPED)),
        plugged("br-phys", "02:bb:00:00:00:02", tag=MAPPED) as other,
    ):
        other.take("10.77.1.201/24", "10.77.1.1")
        other.serve(80)
        assert eventually(lambda: other.ask(WEB, 80)) == [guests.web.name, "10.77.1.201"]
        assert eventually(lambda: guests.app.ask("10.77.1.201", 80)) == [other.name, APP]
        assert not metal.ask(WEB, 80), "it is in the VLAN of before"
        assert guests.app.reaches(WEB, 80)
    assert metal.reaches(WEB, 80)


# -- an overlay --------------------------------------------------------------------


@pytest.fixture
def overlaid(cloud: TwoNetworks, guests: Guests) -> Iterator[Guests]:
    with cloud.network_as(replace(cloud.network, vlan=None), replace(cloud.twin_network, vlan=None)):
        yield guests


def test_guests_of_an_overlay_talk_and_are_apart_from_others(cloud: TwoNetworks, overlaid: Guests) -> None:
    guests = overlaid
    assert guests.web.lease().address == WEB
    assert eventually(lambda: guests.app.ask(WEB, 80)) == [guests.web.name, APP]
    assert eventually(lambda: guests.web.ask(APP, 5432)) == [guests.app.name, WEB]
    assert not guests.app.ask(WEB, 81)
    assert not guests.twin.ask(APP, 5432)
    with cloud.group(replace(cloud.shut, rules=(Rule("in", "tcp", ANY, 80, 80), OUT))):
        assert guests.shut.reaches(WEB, 80), "a neighbour"


def test_an_overlay_is_on_no_vlan(overlaid: Guests, metal: Host) -> None:
    assert not metal.ask(WEB, 80)
    assert not overlaid.web.ask(METAL, 80)


def test_guests_of_an_overlay_have_public_addresses(cloud: TwoNetworks, overlaid: Guests, outsider: Host) -> None:
    with cloud.port(replace(cloud.web_port, nats=(Nat(WEB, WEB_PUBLIC),))):
        settle()
        assert eventually(lambda: outsider.ask(WEB_PUBLIC, 80)) == [overlaid.web.name, OUTSIDER]
        assert eventually(lambda: overlaid.web.ask(OUTSIDER, 80)) == [outsider.name, WEB_PUBLIC]

"""Packets at the edges of subnets: stateless filters in order, and no way around them."""

import time
from dataclasses import replace
from secrets import token_hex

import pytest

from engine.drivers.networking import FilterRule, Rule
from engine.drivers.ovn_log import AclLog
from tests.acceptance.two_networks import ANY, APP, EVERYWHERE, OUT, WEB, Guests, TwoNetworks
from tests.acceptance.wire import eventually, heard, router_mac, settle

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

IN, OUTWARDS = FilterRule(100, "in", True, "all", EVERYWHERE), FilterRule(100, "out", True, "all", EVERYWHERE)


def filtered(cloud: TwoNetworks, *rules: FilterRule):
    """Return the network with a filter on the subnet of ``web``."""
    first, second = cloud.network.subnets
    return cloud.network_as(replace(cloud.network, subnets=(replace(first, filter=rules), second)))


def test_a_filter_without_lines_lets_nothing_cross_but_what_stays_inside(cloud: TwoNetworks, guests: Guests) -> None:
    with filtered(cloud), cloud.group(replace(cloud.shut, rules=(OUT,))):
        assert not guests.app.ask(WEB, 80)
        assert not guests.web.ask(APP, 5432)
        assert guests.shut.reaches(WEB, 80), "both are in the filtered subnet"
        assert guests.web.lease().address == WEB
    assert guests.app.reaches(WEB, 80)


def test_lines_decide_in_the_order_of_their_numbers(cloud: TwoNetworks, guests: Guests) -> None:
    deny = FilterRule(90, "in", False, "6", f"{APP}/32", 80, 80)
    with filtered(cloud, IN, OUTWARDS, deny):
        assert not guests.app.ask(WEB, 80)
        assert eventually(lambda: guests.app.ping(WEB))
    with filtered(cloud, IN, OUTWARDS, replace(deny, number=110)):
        assert guests.app.reaches(WEB, 80)


def test_replies_need_a_line_of_their_own(cloud: TwoNetworks, guests: Guests) -> None:
    asked = FilterRule(100, "in", True, "6", EVERYWHERE, 80, 80)
    with filtered(cloud, asked):
        assert not guests.app.ask(WEB, 80)
    with filtered(cloud, asked, FilterRule(100, "out", True, "6", EVERYWHERE, 1024, 65535)):
        assert guests.app.reaches(WEB, 80)
        assert not guests.app.ping(WEB)


def test_lines_know_types_of_icmp(cloud: TwoNetworks, guests: Guests) -> None:
    with filtered(cloud, FilterRule(1, "in", True, "1", EVERYWHERE, 13), OUTWARDS):
        assert not guests.app.ping(WEB)
    with filtered(cloud, FilterRule(1, "in", True, "1", EVERYWHERE, 8), OUTWARDS):
        assert eventually(lambda: guests.app.ping(WEB))


def test_a_guest_with_a_wider_netmask_does_not_step_around_the_router(cloud: TwoNetworks, guests: Guests) -> None:
    """It sends to a card of another subnet, or to that subnet's router, as if both were on one link."""
    allowed = replace(cloud.web, rules=(*cloud.web.rules, Rule("in", "udp", ANY, 4000, 4000)))
    near, far = router_mac(guests.app, "10.77.2.1"), router_mac(guests.web, "10.77.1.1")
    with cloud.group(allowed), guests.web.packets() as listener:

        def arrives(to_mac: str) -> bool:
            text = token_hex(8).encode()
            guests.app.send_datagram(to_mac, APP, WEB, text)
            return bool(heard(listener, text))

        assert (arrives(near), arrives(guests.web.mac), arrives(far)) == (True, False, False)
        deny = FilterRule(1, "in", False, "17", EVERYWHERE, 4000, 4000)
        with filtered(cloud, deny, IN, OUTWARDS):
            assert (arrives(near), arrives(guests.web.mac), arrives(far)) == (False, False, False)


def test_a_reply_does_not_step_around_the_router_either(cloud: TwoNetworks, guests: Guests) -> None:
    """``app`` answers what it was asked straight to the card that asked, past the filter of its own subnet."""
    first, second = cloud.network.subnets
    answers = replace(second, filter=(replace(IN, number=1), FilterRule(2, "out", False, "all", EVERYWHERE)))
    guests.app.ip("route", "replace", "10.77.1.0/24", "dev", guests.app.device)
    guests.app.ip("neigh", "replace", WEB, "lladdr", guests.web.mac, "dev", guests.app.device)
    try:
        with cloud.network_as(replace(cloud.network, subnets=(first, answers))):
            assert not guests.web.ask(APP, 5432)
        assert not guests.web.ask(APP, 5432), "without a filter, too, the way is the router"
    finally:
        guests.app.ip("route", "delete", "10.77.1.0/24")
    assert guests.web.reaches(APP, 5432)


def test_a_guest_that_forwards_has_its_own_card_nevertheless(cloud: TwoNetworks, guests: Guests) -> None:
    text = token_hex(8).encode()
    allowed = replace(cloud.web, rules=(*cloud.web.rules, Rule("in", "udp", ANY, 4000, 4000)))
    with (
        cloud.group(allowed),
        cloud.port(replace(cloud.app_port, forwarding=True)),
        guests.web.packets() as listener,
    ):
        guests.app.send_datagram(guests.web.mac, WEB, WEB, text, from_mac="06:aa:01:00:00:77")
        assert not heard(listener, text)
        settle()


def test_a_logged_network_tells_of_what_enters_and_what_leaves_and_lets_the_same_pass(
    cloud: TwoNetworks, guests: Guests
) -> None:
    """A router's policy cannot tell: what it denies goes to where it is told of, and no further."""
    deny_out = FilterRule(90, "out", False, "6", f"{APP}/32", 5432, 5432)
    deny_in = FilterRule(90, "in", False, "6", f"{APP}/32", 80, 80)
    first, second = cloud.network.subnets
    filtered = replace(first, filter=(IN, OUTWARDS, deny_out, deny_in))
    begun = time.time()
    with cloud.network_as(replace(cloud.network, subnets=(filtered, second), is_logged=True)):
        assert not guests.web.ask(APP, 5432)
        assert not guests.app.ask(WEB, 80)
        assert not guests.web.ask(APP, 5434)
        assert eventually(lambda: guests.app.ping(WEB))
    drops = [drop for drop in AclLog().between(begun, time.time()) if drop.network == cloud.network.id]
    told = {(drop.flow.source, drop.flow.destination_port, drop.leaving, drop.kept_in) for drop in drops}
    assert told == {(WEB, 5432, True, True), (APP, 80, True, False), (WEB, 5434, False, False)}
    assert guests.web.reaches(APP, 5432)

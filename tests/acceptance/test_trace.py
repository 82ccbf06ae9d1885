"""What this host's own OVN says of a packet that stays inside: what the simulated network says, and what is true."""

from dataclasses import replace

import pytest

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import FilterRule, Route
from engine.drivers.packets import Packet
from tests.acceptance.two_answers import Both, words
from tests.acceptance.two_networks import (
    APP,
    EVERYWHERE,
    OUT,
    RESOLVER,
    WEB,
    WEB_PUBLIC,
    Guests,
    TwoNetworks,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

INNER, ABROAD = "10.77.1.9", "203.0.113.7"


@pytest.fixture
def both(cloud: TwoNetworks) -> Both:
    return Both(cloud)


# -- inside ------------------------------------------------------------------------


def test_a_packet_between_subnets_passes_groups_filters_and_a_route(both: Both) -> None:
    cloud = both.cloud
    hops = both.trace(cloud.app_port, WEB)
    assert words(hops) == [
        "port out", "groups out all-out", "filter out", "routes out local",
        "filter in", "groups in web-80", "port in !",
    ]  # fmt: skip
    first, second = cloud.network.subnets
    ids = [cloud.app_port.id, cloud.app_port.id, second.id, second.id, first.id, cloud.web_port.id, cloud.web_port.id]
    assert [hop.id for hop in hops] == ids
    assert (hops[1].group, hops[5].group) == (cloud.app.id, cloud.web.id)


def test_what_no_group_allows_is_dropped_by_the_groups(both: Both, guests: Guests) -> None:
    assert words(both.trace(both.cloud.app_port, WEB, 81))[-1] == "groups in no rule x"
    assert not guests.app.ask(WEB, 81)
    assert words(both.trace(both.cloud.shut_port, WEB)) == ["port out", "groups out no rule x"]
    assert words(both.trace(both.cloud.web_port, APP, 5433))[-2:] == ["groups in app-5432", "port in !"]
    assert words(both.trace(both.cloud.app_port, WEB, protocol="icmp"))[-2:] == ["groups in web-ping", "port in !"]
    assert words(both.trace(both.cloud.web_port, APP, protocol="icmp"))[-1] == "groups in no rule x"
    assert words(both.trace(both.cloud.web_port, APP, 4000, protocol="udp"))[-2] == "groups in app-4000"


def test_neighbours_meet_no_router(both: Both) -> None:
    with both.having(replace(both.cloud.shut, rules=(OUT,))):
        assert words(both.trace(both.cloud.shut_port, WEB)) == [
            "port out", "groups out all-out", "groups in web-80", "port in !",
        ]  # fmt: skip


def test_a_filter_names_the_line_that_decides_for_a_packet_and_for_its_answer(both: Both, guests: Guests) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    lines = (
        FilterRule(90, "in", False, "6", EVERYWHERE, 81, 81),
        FilterRule(100, "in", True, "6", EVERYWHERE, 80, 80),
        FilterRule(110, "out", False, "6", f"{APP}/32", 61000, 65535),  # ports that Linux gives no connection
        FilterRule(120, "out", True, "6", EVERYWHERE, 1024, 65535),
    )
    with both.having(replace(cloud.network, subnets=(replace(first, filter=lines), second))):
        asked = Packet(cloud.app_port.id, WEB, "tcp", 80)
        assert "filter in 100" in words(both.follow(asked))
        assert words(both.answer(asked)) == [
            "port out", "groups out reply", "filter out 120", "routes out local", "filter in", "groups in reply",
            "port in !",
        ]  # fmt: skip
        assert words(both.answer(replace(asked, source_port=61555)))[-1] == "filter out 110 line x"
        assert words(both.trace(cloud.app_port, WEB, 81))[-1] == "filter in 90 line x"
        assert words(both.trace(cloud.app_port, WEB, protocol="icmp"))[-1] == "filter in * no line x"
        assert words(both.trace(cloud.web_port, APP, 22))[-1] == "filter out * no line x"
        assert guests.app.reaches(WEB, 80)
        assert not guests.app.ask(WEB, 81)


def test_routes_say_why_they_lead_nowhere(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    routes = (Route("10.9.0.0/16", "blackhole"), Route("10.8.0.0/16", "pcx-gone"))
    with both.having(replace(cloud.network, subnets=(first, replace(second, routes=routes)))):
        assert words(both.trace(cloud.app_port, ABROAD))[-1] == "routes out no route x"
        assert words(both.trace(cloud.app_port, "10.9.1.1"))[-1] == "routes out 10.9.0.0/16 blackhole x"
        assert words(both.trace(cloud.app_port, "10.8.1.1"))[-1] == "routes out 10.8.0.0/16 blackhole x"


def test_a_port_sends_and_takes_what_is_its_own(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    assert words(both.trace(cloud.web_port, APP, source="10.77.1.77")) == ["port out spoofed x"]
    through = replace(cloud.network, subnets=(first, replace(second, routes=(Route("10.8.0.0/16", WEB),))))
    with both.having(through):
        hops = both.trace(cloud.app_port, "10.8.1.1")
        assert words(hops)[-4:] == [
            "routes out 10.8.0.0/16",
            "filter in",
            "groups in web-80",
            "port in not addressed x",
        ]
        with both.having(replace(cloud.web_port, forwarding=True)):
            assert words(both.trace(cloud.app_port, "10.8.1.1"))[-1] == "port in"
            assert words(both.trace(cloud.web_port, APP, 5432, source="10.8.1.1"))[-1] == "groups in no rule x"


def test_a_route_to_a_whole_subnet_is_known_by_its_own_name(both: Both) -> None:
    cloud = both.cloud
    first, second = cloud.network.subnets
    third = replace(second, id=cloud.id("a3"), cidr="10.77.3.0/24", mac_prefix="06:aa:03", routes=())
    diverted = replace(first, routes=(*first.routes, Route("10.77.3.0/24", APP)))
    with both.having(replace(cloud.network, subnets=(diverted, second, third))):
        assert "routes out 10.77.3.0/24" in words(both.trace(cloud.web_port, "10.77.3.50"))
    with both.having(replace(cloud.network, subnets=(first, second, third))):
        assert words(both.trace(cloud.web_port, "10.77.3.50"))[-3:] == ["routes out local", "filter in", "wire out !"]


def test_an_address_that_nobody_has_is_on_the_wire_or_nowhere(both: Both) -> None:
    cloud = both.cloud
    assert words(both.trace(cloud.web_port, "10.77.2.99"))[-3:] == ["routes out local", "filter in", "wire out !"]
    assert words(both.trace(cloud.web_port, "10.77.1.99")) == ["port out", "groups out all-out", "wire out !"]
    with both.having(replace(cloud.network, vlan=None)):
        assert words(both.trace(cloud.web_port, "10.77.2.99"))[-1] == "nowhere in no such address x"
        assert words(both.trace(cloud.web_port, "10.77.1.99"))[-1] == "nowhere in no such address x"
        assert words(both.trace(cloud.app_port, WEB))[-1] == "port in !"


def test_the_networks_own_services_and_routers_are_reached(both: Both) -> None:
    cloud = both.cloud
    for address, port, protocol in (("169.254.169.254", 80, "tcp"), (RESOLVER, 53, "udp")):
        hops = both.trace(cloud.shut_port, address, port, protocol=protocol)
        assert words(hops) == ["port out", "groups out served", "services in !"]
    assert words(both.trace(cloud.shut_port, "169.254.169.254", 8080))[-1] == "groups out no rule x"
    assert words(both.trace(cloud.web_port, "10.77.1.1", protocol="icmp"))[-1] == "router in !"
    assert words(both.trace(cloud.web_port, "10.77.2.1", 22))[-1] == "router in closed x"


def test_what_does_not_exist_cannot_be_traced(both: Both) -> None:
    for network in (both.cloud.ovn, both.simulated):
        with pytest.raises(DriverError, match="there is no port"):
            network.trace(Packet("eni-none", WEB, "tcp", 80))
        with pytest.raises(Refused, match="no IPv6 address"):
            network.trace(Packet(both.cloud.web_port.id, "fd77::1", "tcp", 80))
        with pytest.raises(Refused, match="needs a source"):
            network.trace(Packet("", WEB_PUBLIC, "tcp", 80))

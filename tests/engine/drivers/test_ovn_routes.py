"""The routes of a network's router: what of two ways to the same packets counts."""

from engine.drivers.networking import Network, Route, Subnet
from engine.drivers.ovn_routes import static_routes
from tests.engine.drivers.networks import EXTERNAL


def nexthops(*routes: Route) -> dict[str, str]:
    """Return the next router of each range, in the table of a network's first subnet."""
    subnets = (Subnet("subnet-1", "10.0.1.0/24", routes=routes), Subnet("subnet-2", "10.0.100.0/24"))
    rows = static_routes(Network("vpc-1", ("10.0.0.0/16",), 1, subnets), EXTERNAL)
    return {row["ip_prefix"]: row["nexthop"] for row in rows if row["route_table"] == "subnet-1"}


def test_a_route_to_a_whole_subnet_comes_before_the_routers_own() -> None:
    found = nexthops(Route("10.0.100.0/24", "10.0.1.9"))
    assert found["10.0.100.0/25"] == found["10.0.100.128/25"] == "10.0.1.9"
    assert "10.0.100.0/24" not in found


def test_of_two_routes_the_more_specific_one_counts_in_whatever_order_they_are_named() -> None:
    wide, narrow = Route("10.0.96.0/19", "10.0.1.8"), Route("10.0.100.0/24", "10.0.1.9")
    for routes in ((wide, narrow), (narrow, wide)):
        found = nexthops(*routes)
        assert found["10.0.96.0/19"] == "10.0.1.8"
        assert found["10.0.100.0/25"] == found["10.0.100.128/25"] == "10.0.1.9"

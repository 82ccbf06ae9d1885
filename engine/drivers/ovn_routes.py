"""Where a network's router sends packets, and which it does not: routes and filters of each subnet.

A subnet's router port has a route table of its own, named after the subnet. A router knows no order between what it is
in itself and a route but the length of the prefix: a route to a whole subnet is written as its two halves.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from engine.drivers.networking import Network, Peering, Route, Subnet
from engine.drivers.ovn_database import RULE
from engine.drivers.ovn_edges import OUTSIDE_MARK, lines
from engine.drivers.ovn_external import External
from engine.drivers.ovn_names import (
    BORDER_OUTSIDE,
    METADATA_ADDRESS,
    METADATA_ADDRESS_6,
    RESOLVER_ADDRESS,
    RESOLVER_ADDRESS_6,
    SINK,
    SINK_6,
    Range,
    any_address,
    any_network,
    border_link,
    edge_end,
    edge_link,
    link_local_of,
    of_version,
    one_of,
    peering_link,
    router_port,
)

Row = dict[str, Any]

_FIRST = 32767
"""The highest priority of a policy; the lines of filters follow."""
_PEERED = 100

_OUTWARDS = ("uplink", "outbound", "outlet")


# -- routes --------------------------------------------------------------------


def static_routes(network: Network, external: External) -> list[Row]:
    """Return the routes of a network's router."""
    found = [row for subnet in network.subnets for row in _of_subnet(network, subnet, external)]
    return list({(row["route_table"], row["ip_prefix"]): row for row in found}.values())


def _of_subnet(network: Network, subnet: Subnet, external: External) -> Iterator[Row]:
    if subnet.cidr:
        # Who asks the router for what is served on the link finds it there all the same.
        for served in (METADATA_ADDRESS, RESOLVER_ADDRESS, *filter(None, [network.resolver])):
            yield _route(subnet, f"{served}/32", served, router_port(subnet.id))
    if subnet.cidr6:
        for served in (METADATA_ADDRESS_6, RESOLVER_ADDRESS_6):
            yield _route(subnet, f"{served}/128", served, router_port(subnet.id))
    # Parts of two routes may be the same: the last one counts, which is that of the more specific route.
    for route in sorted(subnet.routes, key=lambda route: any_network(route.destination).prefixlen):
        destination = any_network(route.destination)
        nexthop, output = _way(network, route, destination, external)
        for part in _parts(network, destination):
            yield _route(subnet, str(part), nexthop, output) | {"external_ids": {RULE: route.destination}}


def _route(subnet: Subnet, prefix: str, nexthop: str, output: str) -> Row:
    port = [output] if output else []
    columns = {"route_table": subnet.id, "ip_prefix": prefix, "nexthop": nexthop, "output_port": port}
    return {**columns, "external_ids": {}}


def _parts(network: Network, destination: Range) -> Iterator[Range]:
    """Yield what a route is written for, so that it comes before the router's own networks inside of it."""
    inside = False
    for subnet in network.subnets:
        for cidr in filter(None, (subnet.cidr, subnet.cidr6)):
            own = any_network(cidr)
            if _is_inside(network, destination) and own.version == destination.version and _within(own, destination):
                inside = inside or own == destination
                yield from own.subnets(1)
    if not inside:
        yield destination


def _is_inside(network: Network, destination: Range) -> bool:
    return any(_within(destination, any_network(cidr)) for cidr in network.cidrs)


def _within(inner: Range, outer: Range) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _way(network: Network, route: Route, destination: Range, external: External) -> tuple[str, str]:
    """Return the next router's address, and the port to it where that address does not tell."""
    if route.via in _OUTWARDS:
        return _outwards(network, destination.version, external)
    for peering in network.peerings:
        if peering.id == route.via:
            return _to_peer(network, peering, destination.version)
    if route.via == "blackhole" or not _is_address(route.via):
        return "discard", ""
    return any_address(route.via), ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _outwards(network: Network, version: int, external: External) -> tuple[str, str]:
    if network.uplink is None or (version == 6 and external.outside6 is None):
        return "discard", ""
    if version == 4:
        return BORDER_OUTSIDE, router_port(border_link(network.id))
    return link_local_of(router_port(edge_end(network.id))), router_port(edge_link(network.id))


def _to_peer(network: Network, peering: Peering, version: int) -> tuple[str, str]:
    mine = router_port(peering_link(peering.id, network.id))
    if version == 4:
        return any_address(peering.peer_address), mine
    return link_local_of(router_port(peering_link(peering.id, peering.peer_id))), mine


# -- policies ------------------------------------------------------------------


def policies(network: Network, external: External) -> list[Row]:
    """Return what may leave each subnet, and what may come in by the router's other ports."""
    leaving = [row for subnet in network.subnets for row in _leaving(network, subnet)]
    return [*leaving, *_at_peerings(network), *_arriving(network), *_at_edge(network, external)]


def _leaving(network: Network, subnet: Subnet) -> Iterator[Row]:
    """Yield a subnet's filter for what its router carries away; to every port of it, and without regard to replies."""
    if subnet.filter is None:
        return
    inner = f'inport == "{router_port(subnet.id)}"'
    served = one_of([METADATA_ADDRESS, RESOLVER_ADDRESS, *filter(None, [network.resolver])])
    yield _policy(_FIRST, f"{inner} && ip4.dst == {served}", "allow")
    served = one_of([METADATA_ADDRESS_6, RESOLVER_ADDRESS_6])
    yield _policy(_FIRST, f"{inner} && ip6.dst == {served}", "allow")
    for priority, match, allowed, label in lines(subnet, "out"):
        if allowed or not network.is_logged:
            yield _policy(priority, f"{inner} && {match}", "allow" if allowed else "drop", label)
        else:
            yield from _sunk(priority, inner, match, label)


def _sunk(priority: int, inner: str, match: str, label: str) -> Iterator[Row]:
    """Yield what leads denied packets to where they are dropped and written down: a policy drops in silence."""
    own = match.partition(" ")[0]
    for version, nexthop in ((4, SINK), (6, SINK_6)):
        if own in ("ip", f"ip{version}"):
            condition = match.replace(own, f"ip{version}", 1)
            yield _policy(priority, f"{inner} && {condition}", "reroute", label) | {"nexthops": [nexthop]}


def _at_peerings(network: Network) -> Iterator[Row]:
    """Yield what keeps a peering between the two: nobody goes through one of them to a third."""
    for peering in network.peerings:
        port = f'inport == "{router_port(peering_link(peering.id, network.id))}"'
        for version in (4, 6):
            theirs, ours = of_version(version, peering.peer_cidrs), of_version(version, network.cidrs)
            if theirs and ours:
                ends = f"ip{version}.src == {one_of(theirs)} && ip{version}.dst == {one_of(ours)}"
                yield _policy(_PEERED, f"{port} && {ends}", "allow")
        yield _policy(_PEERED - 1, port, "drop")


def _arriving(network: Network) -> Iterator[Row]:
    """Yield what comes in from outside and goes another way than straight to its subnet."""
    for route in network.uplink.arriving if network.uplink else ():
        destination = any_network(route.destination)
        version = destination.version
        inner = router_port(border_link(network.id) if version == 4 else edge_link(network.id))
        condition = f'inport == "{inner}" && ip{version}.dst == {destination}'
        if _is_address(route.via):
            way = {"nexthops": [any_address(route.via)]}
            yield _policy(_FIRST - 200 + destination.prefixlen, condition, "reroute", route.destination) | way
        else:
            yield _policy(_FIRST - 200 + destination.prefixlen, condition, "drop", route.destination)


def _at_edge(network: Network, external: External) -> Iterator[Row]:
    """Yield what may come in by IPv6: nobody outside may pretend to be inside."""
    own = of_version(6, network.cidrs)
    if network.uplink is None or external.outside6 is None or not own:
        return
    edge = f'inport == "{router_port(edge_link(network.id))}"'
    yield _policy(_FIRST, f"{edge} && ip6.src == {one_of(own)}", "drop")
    allowed = _policy(_PEERED, f"{edge} && ip6.dst == {one_of(own)}", "allow")
    yield allowed | {"options": {"pkt_mark": str(OUTSIDE_MARK)}}
    yield _policy(_PEERED - 1, edge, "drop")


def _policy(priority: int, match: str, action: str, label: str = "") -> Row:
    ids = {RULE: label} if label else {}
    columns = {"priority": priority, "match": match, "action": action, "external_ids": ids}
    return {**columns, "nexthops": [], "options": {}}

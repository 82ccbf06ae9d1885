"""What was found about a path, as DescribeNetworkInsightsAnalyses shows it."""

from collections.abc import Iterator, Sequence
from typing import Any

from engine.drivers.packets import Packet
from engine.reachability.atlas import Atlas, Waypoint
from engine.reachability.explanations import component, explanation
from engine.reachability.journeys import Journey
from engine.reachability.rules import acl_rule, route_table_route, security_group_rule

Shape = dict[str, Any]

_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1"}


def report(atlas: Atlas, journey: Journey, region: str) -> Shape:
    """Return the components there and back, and why one of the two ends where it does."""
    there, back = atlas.waypoints(journey.there), atlas.waypoints(journey.back)
    found = {
        "ForwardPathComponents": components(there, region, journey.packet),
        "ReturnPathComponents": components(back, region, _turned(journey.packet)),
    }
    explanations = [
        explanation(way[-1], region, from_outside=way is there and not journey.packet.port_id)
        for way in (there, back)
        if way and way[-1].hop.outcome != "delivered"
    ]
    return {**found, "Explanations": explanations}


def _turned(packet: Packet) -> Packet:
    return Packet("", packet.source, packet.protocol, packet.source_port, source_port=packet.destination_port)


def components(way: Sequence[Waypoint], region: str, packet: Packet) -> list[Shape]:
    """Return PathComponents: what the packet came by, up to what dropped it."""
    shown: list[Shape] = []
    for place, waypoint in enumerate(way):
        shown.extend(_shapes(waypoint, region, is_first=place == 0))
    before: tuple[str, str] | None = None
    for sequence, shape in enumerate(shown, 1):
        shape["SequenceNumber"] = sequence
        now: tuple[str, str] = shape.pop("addresses")
        if now != before:
            shape["OutboundHeader"] = _header(now[0], now[1], packet)
        before = now
    if way and way[-1].hop.outcome == "dropped" and shown:
        shown[-1]["Explanations"] = [explanation(way[-1], region)]
    return shown


def _header(source: str, destination: str, packet: Packet) -> Shape:
    ports = {}
    if packet.protocol != "icmp":
        there, here = packet.destination_port, packet.source_port
        ports = {
            "DestinationPortRanges": [{"From": there, "To": there}],
            "SourcePortRanges": [{"From": here, "To": here}],
        }
    length = 128 if ":" in destination else 32
    return {
        "SourceAddresses": [f"{source}/{length}"],
        "DestinationAddresses": [f"{destination}/{length}"],
        "Protocol": _PROTOCOLS[packet.protocol],
        **ports,
    }


def _shapes(waypoint: Waypoint, region: str, is_first: bool) -> Iterator[Shape]:
    """Yield the components of a waypoint: an interface comes with the instance that it is on."""
    hop = waypoint.hop
    instance = waypoint.instance_id if hop.kind == "port" else ""
    ids = [instance, waypoint.id] if is_first or hop.direction == "out" else [waypoint.id, instance]
    for id in filter(None, ids):
        shape: Shape = {"Component": component(id, region, waypoint.account)}
        for name, place in (("Subnet", waypoint.subnet_id), ("Vpc", waypoint.vpc_id)):
            if place:
                shape[name] = component(place, region, waypoint.account)
        if hop.kind == "groups":
            shape["AttachedTo"] = component(waypoint.interface_id, region, waypoint.account)
        rules = {
            **security_group_rule(waypoint.rule),
            **acl_rule(waypoint.rule),
            **route_table_route(waypoint.rule, waypoint.route_state),
        }
        yield {**shape, **rules, "addresses": (hop.source, hop.destination)}

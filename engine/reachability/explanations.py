"""Why a path is not there, by the codes of "Reachability Analyzer explanation codes" (VPC documentation)."""

from typing import Any

from engine.drivers.packets import Hop
from engine.names import arn
from engine.reachability.atlas import Waypoint
from engine.reachability.rules import acl_rule, route_table_route

Shape = dict[str, Any]

_CODES = {
    ("port", "spoofed"): "ENI_SOURCE_DEST_CHECK_RESTRICTION",
    ("port", "not addressed"): "ENI_SOURCE_DEST_CHECK_RESTRICTION",
    ("groups", "no rule"): "ENI_SG_RULES_MISMATCH",
    ("filter", "line"): "SUBNET_ACL_RESTRICTION",
    ("filter", "no line"): "SUBNET_ACL_RESTRICTION",
    ("routes", "no route"): "NO_ROUTE_TO_DESTINATION",
    ("routes", "blackhole"): "BAD_STATE_ROUTE",
    ("uplink", "no public address"): "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
    ("uplink", "spoofed"): "GATEWAY_REJECTS_SPOOFED_TRAFFIC",
    ("peering", "not of the peer"): "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR",
    ("peering", "no other end"): "BAD_STATE",
    ("nat gateway", "closed"): "NO_POSSIBLE_DESTINATION",
    ("router", "closed"): "NO_POSSIBLE_DESTINATION",
    ("nowhere", "no such address"): "NO_POSSIBLE_DESTINATION",
}
"""What else there is has no code of its own: NO_PATH."""


def code_of(hop: Hop, from_outside: bool) -> str:
    """Return the code for a hop that dropped a packet; ``from_outside`` where it had only just come in."""
    if hop.kind == "nowhere" and from_outside:
        return "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"
    return _CODES.get((hop.kind, hop.why), "NO_PATH")


def explanation(waypoint: Waypoint, region: str, from_outside: bool = False) -> Shape:
    """Return EC2's Explanation for the waypoint that dropped a packet."""
    hop = waypoint.hop
    found: Shape = {"ExplanationCode": code_of(hop, from_outside)}
    if hop.kind in ("port", "groups", "filter"):
        found["Direction"] = "egress" if hop.direction == "out" else "ingress"
    places = {"NetworkInterface": waypoint.interface_id, "Subnet": waypoint.subnet_id, "Vpc": waypoint.vpc_id}
    if hop.kind in ("filter", "uplink", "routes"):
        del places["NetworkInterface"]
    for name, id in {**places, **_resource(waypoint)}.items():
        if id:
            found[name] = component(id, region, waypoint.account)
    if hop.kind == "groups":
        found["SecurityGroups"] = [component(id, region, waypoint.account) for id in waypoint.groups]
    if hop.kind in ("port", "nowhere", "uplink"):
        address = hop.source if hop.why in ("spoofed", "no public address") else hop.destination
        found |= {"Addresses": [address], "PacketField": "source" if address == hop.source else "destination"}
    return {**found, **acl_rule(waypoint.rule), **route_table_route(waypoint.rule, waypoint.route_state)}


def _resource(waypoint: Waypoint) -> dict[str, str]:
    names = {"acl": "Acl", "rtb": "RouteTable", "igw": "InternetGateway", "nat": "NatGateway", "pcx": _PEERING}
    name = names.get(waypoint.id.partition("-")[0])
    return {name: waypoint.id} if name else {}


_PEERING = "VpcPeeringConnection"


def component(id: str, region: str, account: str) -> Shape:
    """Return EC2's AnalysisComponent."""
    return {"Id": id, "Arn": arn(region, account, id)}

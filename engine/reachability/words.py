"""A packet's way in words, and what to change so that it arrives."""

from engine.reachability.atlas import Waypoint
from engine.reachability.journeys import Journey
from engine.state import NetworkAclEntry, Route, SecurityGroupRule

_PROTOCOLS = {"-1": "everything", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def sentence(waypoint: Waypoint) -> str:
    """Say in one line what a packet came by and what became of it there."""
    hop = waypoint.hop
    told = _STOPPED.get((hop.kind, hop.why)) if hop.outcome == "dropped" else None
    text = told or _PASSED[hop.kind, hop.direction] + (", and so it goes round" if hop.why == "loop" else "")
    owner = waypoint.interface_id + (f" of {waypoint.instance_id}" if waypoint.instance_id else "")
    return text.format(
        id=waypoint.id, owner=owner, vpc=waypoint.vpc_id, subnet=waypoint.subnet_id, rule=_rule(waypoint),
        groups=" and ".join(waypoint.groups), number=hop.rule, source=hop.source, destination=hop.destination,
    )  # fmt: skip


_PASSED = {
    ("port", "out"): "{owner} sends it as {source}",
    ("port", "in"): "{owner} gets it, for {destination}",
    ("groups", "out"): "{id} lets it out of {owner}: {rule}",
    ("groups", "in"): "{id} lets it into {owner}: {rule}",
    ("filter", "out"): "{id} lets it out of {subnet}: {rule}",
    ("filter", "in"): "{id} lets it into {subnet}: {rule}",
    ("routes", "out"): "{id} has a route from {subnet}: {rule}",
    ("routes", "in"): "{id} diverts what arrives in {vpc}: {rule}",
    ("peering", "in"): "{id} leads to the other VPC",
    ("nat gateway", "in"): "{id} passes it on as {source} to {destination}",
    ("uplink", "out"): "{id} sends it outside as {source}",
    ("uplink", "in"): "{id} brings it in for {destination}",
    ("router", "in"): "the router of {vpc} answers itself",
    ("services", "in"): "{vpc} serves {destination} itself",
    ("wire", "out"): "no interface has {destination}: it goes to the VLAN of {vpc}, where a machine may have it",
}

_STOPPED = {
    ("port", "spoofed"): "{owner} may not send as {source}, which is not its address",
    ("port", "not addressed"): "{owner} is not given what is for {destination}, which is not its address",
    ("groups", "no rule"): "no rule of {groups} allows it at {owner}",
    ("filter", "line"): "{id} stops it at the edge of {subnet}: {rule}",
    ("filter", "no line"): "{id} has no rule that lets it pass the edge of {subnet}",
    ("routes", "no route"): "{id} has no route from {subnet} to {destination}",
    ("routes", "blackhole"): "{id} leads it nowhere: {rule}",
    ("uplink", "no public address"): "{source} has no public address by which {id} could send it outside",
    ("uplink", "spoofed"): "{vpc} does not let {source} cross its border: it is not from that side",
    ("uplink", "closed"): "{id} lets in nothing that begins outside",
    ("peering", "not of the peer"): "{id} leads from one of its two VPCs to the other, and nowhere beyond",
    ("peering", "no other end"): "{id} has no other end: the peer's network is not there",
    ("nat gateway", "closed"): "{id} lets in nothing that begins outside",
    ("router", "closed"): "the router of {vpc} does not answer that",
    ("nowhere", "no such address"): "nobody has {destination}",
}


def _rule(waypoint: Waypoint) -> str:
    hop, rule = waypoint.hop, waypoint.rule
    if hop.why == "reply":
        return "it answers what passed before"
    if hop.why == "served":
        return "the VPC's own services are always reached"
    if isinstance(rule, SecurityGroupRule):
        peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.prefix_list_id or rule.peer_group_id
        which = _ports(rule.protocol, rule.from_port, rule.to_port)
        return f"{rule.id} ({which} {'to' if rule.egress else 'from'} {peer})"
    if isinstance(rule, NetworkAclEntry):
        which = _ports(rule.protocol, rule.from_port, rule.to_port)
        return f"rule {rule.number} ({rule.action} {which} {'to' if rule.egress else 'from'} {rule.cidr})"
    if isinstance(rule, Route):
        return f"{rule.destination} to {rule.target}" + (
            "" if waypoint.route_state == "active" else f", a {waypoint.route_state}"
        )
    return f"rule {hop.rule}" if hop.rule else "nothing is filtered"


def _ports(protocol: str, low: int | None, high: int | None) -> str:
    name = _PROTOCOLS.get(protocol, protocol)
    if protocol not in ("tcp", "udp", "6", "17") or low in (None, -1):
        return name
    return f"{name} {low}" if low == high else f"{name} {low}-{high}"


# -- hints -------------------------------------------------------------------------


def hint(waypoint: Waypoint, journey: Journey, on_the_way_back: bool) -> str:
    """Say what to change so that a packet is not dropped here; empty where nothing helps."""
    text = _HINTS.get((waypoint.hop.kind, waypoint.hop.why), "")
    hop, packet = waypoint.hop, journey.packet
    out = hop.direction == "out"
    port = packet.source_port if on_the_way_back else packet.destination_port
    which = packet.protocol if packet.protocol == "icmp" else f"{packet.protocol} {port}"
    wider = " (or the whole range of ports that clients use, 1024-65535)" if on_the_way_back and port else ""
    return text.format(
        which=which, wider=wider if hop.kind == "filter" else "", peer=_single(hop.destination if out else hop.source),
        side="egress" if out else "ingress", groups=" or ".join(waypoint.groups), id=waypoint.id or "the VPC",
        subnet=waypoint.subnet_id, destination=hop.destination, source=hop.source, owner=waypoint.interface_id,
        rule=waypoint.rule.number if isinstance(waypoint.rule, NetworkAclEntry) else hop.rule,
        to="to" if out else "from",
    )  # fmt: skip


def _single(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


_HINTS = {
    ("port", "spoofed"): "give {owner} the address {source}, or switch its source/destination check off",
    ("port", "not addressed"): "switch the source/destination check of {owner} off, if it is to forward",
    ("groups", "no rule"): "add an {side} rule to {groups}: {which} {to} {peer}",
    ("filter", "line"): "add an {side} rule to {id} before number {rule}: allow {which} {to} {peer}{wider}",
    ("filter", "no line"): "add an {side} rule to {id}: allow {which} {to} {peer}{wider}. An ACL keeps no "
    "connections: both directions need a rule",
    ("routes", "no route"): "add a route for {destination} to {id}, or associate another route table with {subnet}",
    ("routes", "blackhole"): "replace the route {rule} of {id}: what it leads to is gone",
    ("uplink", "no public address"): "associate an Elastic IP with {source}, or lead the route to a NAT gateway",
    ("uplink", "closed"): "lead the route to an internet gateway instead of an egress-only one",
    ("nat gateway", "closed"): "give the instance itself an Elastic IP: a NAT gateway only leads out",
    ("nowhere", "no such address"): "look whether {destination} is right, and whether its instance runs",
    ("peering", "no other end"): "launch something in the other VPC: until then its network is not made",
}

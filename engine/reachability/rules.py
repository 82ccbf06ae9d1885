"""The rows that decided over a packet, as Reachability Analyzer shows them."""

from typing import Any

from engine.state import NetworkAclEntry, Route, SecurityGroupRule

Shape = dict[str, Any]
Rule = SecurityGroupRule | NetworkAclEntry | Route | None

_NAMES = {"-1": "all", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_TARGETS = {
    "eigw": "EgressOnlyInternetGatewayId",
    "eni": "NetworkInterfaceId",
    "i": "InstanceId",
    "nat": "NatGatewayId",
    "pcx": "VpcPeeringConnectionId",
}
"""What a route's target is called, by the beginning of its id; any other is a GatewayId."""


def security_group_rule(rule: Rule) -> Shape:
    """Return AnalysisSecurityGroupRule as a member, or nothing for a row that is none."""
    if not isinstance(rule, SecurityGroupRule):
        return {}
    shown = {
        "Cidr": rule.cidr_ipv4 or rule.cidr_ipv6 or None,
        "Direction": "egress" if rule.egress else "ingress",
        "SecurityGroupId": rule.peer_group_id or None,
        "PortRange": _ports(rule.from_port, rule.to_port) if rule.protocol in ("tcp", "udp") else None,
        "PrefixListId": rule.prefix_list_id or None,
        "Protocol": _NAMES.get(rule.protocol, rule.protocol),
    }
    return {"SecurityGroupRule": _given(shown)}


def acl_rule(rule: Rule) -> Shape:
    """Return AnalysisAclRule as a member, or nothing."""
    if not isinstance(rule, NetworkAclEntry):
        return {}
    shown = {
        "Cidr": rule.cidr,
        "Egress": rule.egress,
        "PortRange": _ports(rule.from_port, rule.to_port) if rule.from_port is not None else None,
        "Protocol": _NAMES.get(rule.protocol, rule.protocol),
        "RuleAction": rule.action,
        "RuleNumber": rule.number,
    }
    return {"AclRule": _given(shown)}


def route_table_route(rule: Rule, state: str) -> Shape:
    """Return AnalysisRouteTableRoute as a member, or nothing."""
    if not isinstance(rule, Route):
        return {}
    listed = rule.destination.startswith("pl-")
    shown = {
        "DestinationPrefixListId" if listed else "DestinationCidr": rule.destination,
        _TARGETS.get(rule.target.rpartition("-")[0], "GatewayId"): rule.target,
        "Origin": rule.origin,
        "State": state,
    }
    return {"RouteTableRoute": shown}


def _ports(low: int | None, high: int | None) -> Shape:
    everything = low in (None, -1)
    return {"From": 0, "To": 65535} if everything else {"From": low, "To": high}


def _given(shape: Shape) -> Shape:
    return {name: value for name, value in shape.items() if value is not None}

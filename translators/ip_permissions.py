"""IpPermissions: how requests and answers write security group rules, several to one structure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from re import compile
from typing import Any, Protocol

from engine.default_vpc import rule_identity
from translators.errors import Ec2Error, combination, missing

ALLOWED = r"a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
"""The characters of names and descriptions, as EC2's messages spell them."""
_PLAIN = compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")

ALL = "-1"
_NAMED = {"-1": ALL, "all": ALL, "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_WITH_PORTS = ("tcp", "udp", "icmp", "icmpv6")
_ALL_TRAFFIC = (("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1))
_CIDR = compile(r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}")

Permission = Mapping[str, Any]
Columns = Mapping[str, str]
"""What a rule has of its other end, by the names of SecurityGroupRule's columns."""


class Peers(Protocol):
    """What turns a request's names of other ends into what is there, or refuses them."""

    def group(self, pair: Permission) -> Columns: ...
    def prefix_list(self, item: Permission) -> Columns: ...


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, normal: its fields are the columns of SecurityGroupRule. For ICMP the ports are type and code."""

    egress: bool
    protocol: str
    from_port: int
    to_port: int
    cidr_ipv4: str = ""
    cidr_ipv6: str = ""
    peer_group_id: str = ""
    peer_account: str = ""
    prefix_list_id: str = ""
    peer_vpc_id: str = ""
    peering_id: str = ""
    description: str = ""

    @property
    def peer(self) -> str:
        return self.cidr_ipv4 or self.cidr_ipv6 or self.prefix_list_id or self.peer_group_id

    @property
    def identity(self) -> str:
        return rule_identity(self.egress, self.protocol, self.from_port, self.to_port, self.peer)

    def __str__(self) -> str:
        """Return EC2's own words for a rule, as InvalidPermission.Duplicate quotes them."""
        name = self.protocol.upper()
        if self.protocol in ("tcp", "udp"):
            what = f"{name}, from port: {self.from_port}, to port: {self.to_port}"
        elif self.protocol in _WITH_PORTS:
            kind, code = ("ALL" if n == -1 else n for n in (self.from_port, self.to_port))
            what = f"{name}, type: {kind}, code: {code}"
        else:
            what = "ALL" if self.protocol == ALL else f"protocol: {self.protocol}"
        return f"peer: {self.peer}, {what}, ALLOW"


@dataclass(frozen=True, slots=True)
class Shown(Rule):
    """A rule as it is described: with what became of a group in another VPC, and of the way to it."""

    peer_name: str | None = None
    peering_status: str | None = None


def pair(rule: Rule) -> dict[str, Any]:
    """Return the group that a rule names, as EC2 shows it: with the way to it where it is in another VPC."""
    if not isinstance(rule, Shown) or not rule.peer_vpc_id:
        return {"GroupId": rule.peer_group_id, "UserId": rule.peer_account}
    return {
        "GroupId": rule.peer_group_id,
        "GroupName": rule.peer_name,
        # "If the referenced security group is deleted, this value is not returned."
        "UserId": rule.peer_account if rule.peer_name else None,
        "VpcId": rule.peer_vpc_id,
        "VpcPeeringConnectionId": rule.peering_id,
        "PeeringStatus": rule.peering_status or "deleted",
    }


def read(permissions: Sequence[Permission], egress: bool, peers: Peers) -> list[Rule]:
    """Return the rules that a request's permissions stand for; refuse what is no rule, and the same rule twice."""
    rules = [rule for permission in permissions for rule in _rules(permission, egress, peers)]
    if len({rule.identity for rule in rules}) < len(rules):
        raise Ec2Error("InvalidParameterValue", "The same permission must not appear multiple times")
    return rules


def _rules(permission: Permission, egress: bool, peers: Peers) -> Iterable[Rule]:
    protocol = _protocol(permission.get("IpProtocol"))
    low, high = _ports(protocol, permission.get("FromPort"), permission.get("ToPort"))
    found: list[tuple[Permission, Columns]] = []
    for item in permission.get("IpRanges") or ():
        found.append((item, {"cidr_ipv4": _network(IPv4Network, item.get("CidrIp"))}))
    for item in permission.get("Ipv6Ranges") or ():
        found.append((item, {"cidr_ipv6": _network(IPv6Network, item.get("CidrIpv6"))}))
    for item in permission.get("PrefixListIds") or ():
        found.append((item, peers.prefix_list(item)))
    for item in permission.get("UserIdGroupPairs") or ():
        found.append((item, peers.group(item)))
    if not found:
        raise Ec2Error(
            "MissingParameter", "Missing source specification: include source security group or CIDR information"
        )
    return [Rule(egress, protocol, low, high, **peer, description=describing(item)) for item, peer in found]


def outside(
    permissions: Sequence[Permission] | None,
    protocol: str | None,
    from_port: int | None,
    to_port: int | None,
    cidr: str | None,
    source: str | None,
    source_owner: str | None,
) -> Sequence[Permission]:
    """Return a request's permissions, or what it gives outside IpPermissions: a range, or all of a group's traffic."""
    one = (protocol, from_port, to_port, cidr)
    alone = one == (None, None, None, None)
    by_group = source is not None or source_owner is not None
    if alone and not by_group:
        return permissions or []
    if permissions:
        raise combination("The parameter ipPermissions cannot be used with parameters that describe a single rule.")
    if not by_group:
        ranges = [] if cidr is None else [{"CidrIp": cidr}]
        return [{"IpProtocol": protocol, "FromPort": from_port, "ToPort": to_port, "IpRanges": ranges}]
    if not alone:
        raise combination(
            "The parameter sourceSecurityGroupName cannot be used with ipProtocol, fromPort, toPort or cidrIp. "
            "Use ipPermissions instead."
        )
    pair = {"GroupName": source, "UserId": source_owner}
    return [
        {"IpProtocol": name, "FromPort": low, "ToPort": high, "UserIdGroupPairs": [pair]}
        for name, low, high in _ALL_TRAFFIC
    ]


def known_as(protocol: str) -> str:
    """Return the name under which we keep a protocol: ``6`` is ``tcp``. What is no protocol stays as it is."""
    text = protocol.lower()
    number = str(int(text)) if text.isascii() and text.isdigit() and len(text) < 4 else text
    return _NAMED.get(number, number)


def _protocol(text: str | None) -> str:
    if not text:
        raise missing("ipProtocol")
    name = known_as(text)
    if name == ALL or name in _WITH_PORTS or (name.isascii() and name.isdigit() and int(name) <= 255):
        return name
    raise Ec2Error("InvalidParameterValue", f"Invalid value '{text}' for IP protocol. Unknown protocol.")


def _ports(protocol: str, low: int | None, high: int | None) -> tuple[int, int]:
    """Return the ports that count: a protocol that has none ignores them, and ICMPv6 may leave them out."""
    if protocol not in _WITH_PORTS or (protocol == "icmpv6" and low is None and high is None):
        return -1, -1
    family = "TCP/UDP" if protocol in ("tcp", "udp") else "ICMP"
    if low is None or high is None:
        text = f"Invalid value 'Must specify both from and to ports with {family}.' for portRange."
        raise Ec2Error("InvalidParameterValue", text)
    if family == "ICMP":
        return _icmp(low, high)
    for port in (low, high):
        if not 0 <= port <= 65535:
            raise Ec2Error("InvalidParameterValue", f"TCP/UDP port ({port}) out of range")
    if low > high:
        raise Ec2Error("InvalidPermission.Malformed", f"Invalid TCP/UDP port range ({low}:{high})")
    return low, high


def _icmp(kind: int, code: int) -> tuple[int, int]:
    for name, number in (("type", kind), ("code", code)):
        if not -1 <= number <= 255:
            raise Ec2Error("InvalidParameterValue", f"ICMP {name} ({number}) out of range")
    if kind == -1 and code != -1:
        raise Ec2Error("InvalidPermission.Malformed", f"ICMP code ({code}) must be -1 if the ICMP type is -1")
    return kind, code


def _network(kind: type[IPv4Network] | type[IPv6Network], text: str | None) -> str:
    """Return a CIDR with its host bits cleared, as EC2 does for rules (and says so in its reference)."""
    try:
        if not _CIDR.fullmatch(text or ""):
            raise ValueError
        return str(kind(text or "", strict=False))
    except ValueError:
        raise Ec2Error("InvalidParameterValue", f"CIDR block {text or ''} is malformed") from None


def describing(item: Permission) -> str:
    """Return the Description of a rule; empty if there is none."""
    text = str(item.get("Description") or "")
    if not is_plain(text):
        raise Ec2Error(
            "InvalidParameterValue",
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following "
            f"set:  {ALLOWED}",
        )
    return text


def is_plain(text: str) -> bool:
    """Say whether a name or description of a security group or a rule is one that EC2 takes."""
    return _PLAIN.fullmatch(text) is not None


def grouped(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return the rules as EC2 shows them: one structure for each protocol and range of ports, in the order given."""
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    for rule in rules:
        key = (rule.protocol, rule.from_port, rule.to_port)
        if key not in found:
            found[key] = heading(rule) | {name: [] for name in _LISTS}
        name, peer = _peer(rule)
        found[key][name].append(peer | ({"Description": rule.description} if rule.description else {}))
    return list(found.values())


_LISTS = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")


def heading(rule: Rule) -> dict[str, Any]:
    """Return what a rule shares with others in one structure."""
    has_ports = rule.protocol in _WITH_PORTS
    return {"IpProtocol": rule.protocol, **({"FromPort": rule.from_port, "ToPort": rule.to_port} if has_ports else {})}


def _peer(rule: Rule) -> tuple[str, dict[str, Any]]:
    if rule.cidr_ipv4:
        return "IpRanges", {"CidrIp": rule.cidr_ipv4}
    if rule.cidr_ipv6:
        return "Ipv6Ranges", {"CidrIpv6": rule.cidr_ipv6}
    if rule.prefix_list_id:
        return "PrefixListIds", {"PrefixListId": rule.prefix_list_id}
    return "UserIdGroupPairs", pair(rule)

"""The entries of network ACLs: added, replaced, removed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select

from engine import tasks
from engine.network_acls import FIRST_RULE, LAST_RULE
from engine.state import NetworkAcl, NetworkAclEntry
from translators.errors import Ec2Error, combination, invalid, missing
from translators.find import find
from translators.ipv6 import network6
from translators.network_acls import PROTOCOLS
from translators.quotas import check_quota
from translators.registry import Call, Result, action
from translators.vpcs import network

_WITH_PORTS = ("6", "17")
_ICMP = ("1", "58")
"""That of IPv4, and that of IPv6."""
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says, normal: its fields are the columns of NetworkAclEntry."""

    protocol: str
    action: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@action
def create_network_acl_entry(
    call: Call,
    *,
    network_acl_id: str,
    rule_number: int,
    protocol: str,
    rule_action: str,
    egress: bool,
    cidr_block: str | None = None,
    ipv6_cidr_block: str | None = None,
    icmp_type_code: dict[str, int] | None = None,
    port_range: dict[str, int] | None = None,
) -> Result:
    _check_number(rule_number)
    entry = _entry(protocol, rule_action, cidr_block, ipv6_cidr_block, icmp_type_code, port_range)
    acl = find(call, NetworkAcl, network_acl_id)
    if call.db.get(NetworkAclEntry, (acl.id, egress, rule_number)):
        text = f"The network acl entry identified by {rule_number} already exists."
        raise Ec2Error("NetworkAclEntryAlreadyExists", text)
    own = (NetworkAclEntry.acl_id == acl.id, NetworkAclEntry.egress.is_(egress), NetworkAclEntry.number <= LAST_RULE)
    check_quota(call, "rules per network ACL", 1 + (call.db.scalar(select(func.count()).where(*own)) or 0))
    call.db.add(NetworkAclEntry(acl_id=acl.id, egress=egress, number=rule_number, **asdict(entry)))
    tasks.start(call.db, acl.vpc_id, "sync_network", call.region)
    return {}


@action
def replace_network_acl_entry(
    call: Call,
    *,
    network_acl_id: str,
    rule_number: int,
    protocol: str,
    rule_action: str,
    egress: bool,
    cidr_block: str | None = None,
    ipv6_cidr_block: str | None = None,
    icmp_type_code: dict[str, int] | None = None,
    port_range: dict[str, int] | None = None,
) -> Result:
    _check_number(rule_number)
    entry = _entry(protocol, rule_action, cidr_block, ipv6_cidr_block, icmp_type_code, port_range)
    acl = find(call, NetworkAcl, network_acl_id)
    row = _find(call, acl, egress, rule_number)
    for column, value in asdict(entry).items():
        setattr(row, column, value)
    tasks.start(call.db, acl.vpc_id, "sync_network", call.region)
    return {}


@action
def delete_network_acl_entry(call: Call, *, network_acl_id: str, rule_number: int, egress: bool) -> Result:
    _check_number(rule_number)
    acl = find(call, NetworkAcl, network_acl_id)
    call.db.delete(_find(call, acl, egress, rule_number))
    tasks.start(call.db, acl.vpc_id, "sync_network", call.region)
    return {}


def _check_number(number: int) -> None:
    """Refuse a number that no entry of a user's can have; the last ones are EC2's own."""
    if not FIRST_RULE <= number <= LAST_RULE:
        why = f"The rule number must be from {FIRST_RULE} to {LAST_RULE}."
        raise invalid("ruleNumber", number, why)


def _find(call: Call, acl: NetworkAcl, egress: bool, number: int) -> NetworkAclEntry:
    row = call.db.get(NetworkAclEntry, (acl.id, egress, number))
    if row is None:
        where = "egress" if egress else "ingress"
        text = f"The network acl entry identified by {number} ({where}) does not exist in network ACL {acl.id}."
        raise Ec2Error("InvalidNetworkAclEntry.NotFound", text)
    return row


def _entry(
    protocol: str,
    rule_action: str,
    cidr_block: str | None,
    ipv6_cidr_block: str | None,
    icmp: Mapping[str, int] | None,
    ports: Mapping[str, int] | None,
) -> Entry:
    """Return what a request's parameters say.

    Protocols without ports match "regardless of any ports or ICMP types or codes that you specify", and so does ICMP of
    the other IP version, which needs no type (reference of CreateNetworkAclEntry).
    """
    number, cidr = _number(protocol), _cidr(cidr_block, ipv6_cidr_block)
    if number in _WITH_PORTS:
        low, high = _ports(ports)
        return Entry(number, rule_action, cidr, from_port=low, to_port=high)
    if number == _ICMP[":" in cidr] or (number in _ICMP and icmp):
        kind, code = _icmp(icmp)
        return Entry(number, rule_action, cidr, icmp_type=kind, icmp_code=code)
    return Entry(number, rule_action, cidr)


def _number(protocol: str) -> str:
    text = PROTOCOLS.get(protocol.lower(), protocol)
    if text == PROTOCOLS["all"] or (text.isascii() and text.isdigit() and int(text) <= 255):
        return str(int(text))
    raise Ec2Error("InvalidParameterValue", f"Invalid value '{protocol}' for IP protocol. Unknown protocol.")


def _cidr(cidr_block: str | None, ipv6_cidr_block: str | None) -> str:
    if cidr_block and ipv6_cidr_block:
        raise combination("The parameter cidrBlock cannot be used with the parameter ipv6CidrBlock")
    if ipv6_cidr_block:
        return str(network6("ipv6CidrBlock", ipv6_cidr_block))
    if not cidr_block:
        raise missing("cidrBlock")
    return str(network("cidrBlock", cidr_block))


def _ports(given: Mapping[str, Any] | None) -> tuple[int, int]:
    low, high = (given or {}).get("From"), (given or {}).get("To")
    if low is None or high is None:
        raise missing("portRange.from" if low is None else "portRange.to")
    if not 0 <= low <= high <= _HIGHEST_PORT:
        raise invalid("portRange", f"{low}-{high}", f"Ports are from 0 to {_HIGHEST_PORT}, the lower one first.")
    return low, high


def _icmp(given: Mapping[str, Any] | None) -> tuple[int, int]:
    kind, code = (given or {}).get("Type"), (given or {}).get("Code")
    if kind is None or code is None:
        raise missing("icmpTypeCode.type" if kind is None else "icmpTypeCode.code")
    if not (-1 <= kind <= 255 and -1 <= code <= 255) or (kind == -1 and code != -1):
        raise invalid("icmpTypeCode", f"{kind}:{code}", "It is not a type and a code of ICMP; -1 stands for all.")
    return kind, code

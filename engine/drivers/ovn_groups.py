"""Security groups as OVN port groups: the match of every rule, and what guests may do whatever their groups say."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import Group, Network, Rule
from engine.drivers.ovn_database import ID, NETWORK, RULE, Edit, Row, holds, rows_of
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    METADATA_ADDRESS_6,
    METER,
    RESOLVER_ADDRESS,
    RESOLVER_ADDRESS_6,
    addresses_of,
    any_network,
    one_of,
    port_group,
)

PEERS = "groundfog:peers"

DROP, ALLOW, ALWAYS = 1000, 1001, 1002
"""Priorities: what no group allows is dropped; what the host itself serves is reached in any case."""

_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "-1": "all"}
_VERSIONS = {"1": 4, "58": 6}
"""Protocols that only one IP version has; in the other one their numbers are nothing but numbers."""
_HIGHEST_PORT = 65535
_NAME_LENGTH = 63

# What ids are made of: anything else must not become part of an expression.
_ID = re.compile(r"[A-Za-z0-9_-]+")

Acl = dict[str, Any]


# -- what may pass -------------------------------------------------------------


def group_acls(group: Group) -> list[Acl]:
    """Return a group's rules as ACL rows, each once. Raise Refused for a rule that means nothing."""
    name = port_group(group.id)
    acls = [
        _acl(rule.direction, name, ALLOW, match(rule), "allow-related", {ID: group.id, RULE: rule.id})
        for rule in group.rules
        if rule.peer != ()
    ]
    return list({(acl["direction"], acl["match"]): acl for acl in reversed(acls)}.values())


def network_acls(network_: Network) -> list[Acl]:
    """Return the ACLs of the port group that holds all ports of a network.

    Security groups do not filter a guest's way to DHCP, the metadata service and the resolver at VPC+2 or
    169.254.169.253 (VPC user guide, "Control traffic to your AWS resources using security groups").
    """
    name, ids = port_group(network_.id), {ID: network_.id}
    resolvers = one_of([RESOLVER_ADDRESS, *filter(None, [network_.resolver])])
    served = (
        "ip4 && udp.src == 68 && udp.dst == 67",
        f"ip4.dst == {METADATA_ADDRESS} && tcp.dst == 80",
        f"ip4.dst == {resolvers} && udp.dst == 53",
        f"ip4.dst == {resolvers} && tcp.dst == 53",
        "ip6 && udp.src == 546 && udp.dst == 547",
        f"ip6.dst == {METADATA_ADDRESS_6} && tcp.dst == 80",
        f"ip6.dst == {RESOLVER_ADDRESS_6} && udp.dst == 53",
        f"ip6.dst == {RESOLVER_ADDRESS_6} && tcp.dst == 53",
    )
    always = [_acl("out", name, ALWAYS, what, "allow-related", ids) for what in served]
    drops = [_acl(direction, name, DROP, "ip", "drop", ids) | dropping(network_) for direction in ("in", "out")]
    return always + drops


def dropping(network_: Network) -> Acl:
    """Return the columns by which an ACL writes to the host's log what it drops, or that it does not."""
    if not network_.is_logged:
        return {"log": False, "name": [], "severity": [], "meter": []}
    return {"log": True, "name": [network_.id[:_NAME_LENGTH]], "severity": ["info"], "meter": [METER]}


def put_meter(edit: Edit) -> None:
    """Make what bounds the log so: packets a second, of all networks together.

    Open vSwitch holds no more than 100 packets for its controller and loses others without a word, while those that a
    meter drops are counted.
    """
    row = edit.named("Meter", METER)
    if row is None:
        edit.insert("Meter", name=METER, unit="pktps", bands=[edit.insert("Meter_Band", **_BAND)])
    for band in rows_of(row, "bands") if row is not None else ():
        edit.put(band, **_BAND)


_BAND = {"action": "drop", "rate": 500, "burst_size": 100}


def _acl(direction: str, group: str, priority: int, condition: str, action: str, ids: dict[str, str]) -> Acl:
    lport, end = ("to-lport", "outport") if direction == "in" else ("from-lport", "inport")
    return {
        "direction": lport,
        "priority": priority,
        "match": f"{end} == @{group} && {condition}",
        "action": action,
        "external_ids": ids,
    }


def match(rule: Rule) -> str:
    """Return a rule as an OVN expression, without the port it applies to."""
    if isinstance(rule.peer, tuple):
        version = _version(rule.peer)
        return " && ".join([f"ip{version}", *_ranges(rule.direction, rule.peer, version), *_protocol(rule, version)])
    if not _ID.fullmatch(rule.peer):
        raise Refused(f"{rule.peer!r} is not a group")
    protocol = _NUMBERS.get(rule.protocol, rule.protocol)
    versions = {"icmp": (4,), "icmpv6": (6,)}.get(protocol, (4, 6))
    sides = [f"{_end(rule.direction, version)} == {addresses_of(rule.peer, version)}" for version in versions]
    peer = sides[0] if len(sides) == 1 else f"({' || '.join(sides)})"
    return " && ".join([peer, *_protocol(rule, versions[0])])


def _version(cidrs: tuple[str, ...]) -> int:
    versions = {any_network(cidr).version for cidr in cidrs}
    if len(versions) != 1:
        raise Refused(f"the ranges {', '.join(cidrs)} are not of one IP version")
    return versions.pop()


def _end(direction: str, version: int) -> str:
    return f"ip{version}." + ("src" if direction == "in" else "dst")


def _ranges(direction: str, cidrs: tuple[str, ...], version: int) -> Iterator[str]:
    ranges = [any_network(cidr) for cidr in cidrs]
    # A rule that names every address says nothing.
    if all(each.prefixlen for each in ranges):
        yield f"{_end(direction, version)} == {one_of(map(str, ranges)) if len(ranges) > 1 else ranges[0]}"


def _protocol(rule: Rule, version: int) -> Iterator[str]:
    protocol = _NUMBERS.get(rule.protocol, rule.protocol)
    if _VERSIONS.get(rule.protocol, version) != version:
        yield f"ip.proto == {rule.protocol}"
    elif protocol in ("tcp", "udp"):
        yield from _ports(protocol, rule)
    elif protocol in ("icmp", "icmpv6"):
        yield from _icmp(version, rule)
    elif protocol.isdecimal() and int(protocol) <= 255:
        yield f"ip.proto == {int(protocol)}"
    elif protocol != "all":
        raise Refused(f"{rule.protocol!r} is not a protocol")


def _ports(protocol: str, rule: Rule) -> Iterator[str]:
    yield protocol
    low, high = _bound(rule.from_port, 0), _bound(rule.to_port, _HIGHEST_PORT)
    if not 0 <= low <= high <= _HIGHEST_PORT:
        raise Refused(f"{low}-{high} is not a range of ports")
    if low == high:
        yield f"{protocol}.dst == {low}"
        return
    if low > 0:
        yield f"{protocol}.dst >= {low}"
    if high < _HIGHEST_PORT:
        yield f"{protocol}.dst <= {high}"


def _icmp(version: int, rule: Rule) -> Iterator[str]:
    kind, code = _bound(rule.from_port, -1), _bound(rule.to_port, -1)
    if not (-1 <= kind <= 255 and -1 <= code <= 255):
        raise Refused(f"{kind}/{code} is not a type and code of ICMP")
    yield f"icmp{version}"
    if kind >= 0:
        yield f"icmp{version}.type == {kind}"
        if code >= 0:
            yield f"icmp{version}.code == {code}"


def _bound(value: int | None, any: int) -> int:
    return any if value is None or value == -1 else value


# -- rows ----------------------------------------------------------------------


def put_group(edit: Edit, group: Group) -> None:
    """Make a group's row and rules; its members stay. Peers that do not exist yet are made empty."""
    if edit.named("Logical_Switch", group.network_id) is None:
        raise DriverError(f"cannot make group {group.id}: there is no network {group.network_id}")
    acls = group_acls(group)
    peers = sorted({rule.peer for rule in group.rules if isinstance(rule.peer, str)})
    name = port_group(group.id)
    before = edit.named("Port_Group", name)
    outdated = before is not None and before.external_ids.get(PEERS, "") != " ".join(peers)
    ids = {ID: group.id, NETWORK: group.network_id, PEERS: " ".join(peers)}
    row = edit.root("Port_Group", name, external_ids=ids)
    edit.children(row, "acls", "ACL", ("direction", "priority", "match", "action"), acls)
    for peer in peers:
        if edit.named("Port_Group", port_group(peer)) is None:
            # Nobody lists it: it only stands in for the address set that a rule refers to.
            edit.insert("Port_Group", name=port_group(peer), external_ids=_STANDING_IN)
    if outdated:
        _drop_stand_ins(edit)


def drop_group(edit: Edit, id: str) -> None:
    """Forget a group; where another group's rules refer to it, an empty one stays, or those rules would be invalid."""
    row = edit.named("Port_Group", port_group(id))
    if row is None or ID not in row.external_ids:
        return
    others = [other for other in edit.all("Port_Group") if other.external_ids.get(ID) != id]
    if port_group(id) in _referred(others):
        edit.put(row, external_ids=_STANDING_IN, ports=[], acls=[])
    else:
        row.delete()
    _drop_stand_ins(edit)


_STANDING_IN = {NETWORK: "", "groundfog:stands-in": "true"}


def _referred(rows: Iterable[Row]) -> set[str]:
    return {port_group(peer) for row in rows for peer in row.external_ids.get(PEERS, "").split()}


def _drop_stand_ins(edit: Edit) -> None:
    rows = edit.all("Port_Group")
    referred = _referred(rows)
    for row in rows:
        if row.external_ids == _STANDING_IN and row.name not in referred:
            row.delete()


def join(edit: Edit, port: Any, wanted: set[str], left: set[str]) -> None:
    """Put a port into the port groups of the ids ``wanted`` and out of those in ``left``. All that is wanted exist."""
    for id in sorted(wanted):
        row = edit.named("Port_Group", port_group(id))
        if row is None:
            raise DriverError(f"there is no group {id}")
        if not holds(row, "ports", port):
            row.addvalue("ports", port)
    for id in sorted(left - wanted):
        row = edit.named("Port_Group", port_group(id))
        if row is not None and holds(row, "ports", port):
            row.delvalue("ports", port)

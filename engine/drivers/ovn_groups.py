"""Security groups as OVN port groups: the match of every rule, and what guests may do whatever their groups say."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from engine.drivers.base import DriverError, Group, Network, Refused, Rule
from engine.drivers.ovn_database import ID, NETWORK, Edit, View, holds
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    addresses_of,
    is_range,
    network,
    one_of,
    port_group,
)

PEERS = "groundfog:peers"

DROP, ALLOW, ALWAYS = 1000, 1001, 1002
"""Priorities: what no group allows is dropped; what the host itself serves is reached in any case."""

_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "-1": "all"}
_HIGHEST_PORT = 65535
# Where the VPC's resolver answers besides the second address of the VPC (VPC user guide, "Amazon DNS server").
_RESOLVER = "169.254.169.253"

# What ids are made of: anything else must not become part of an expression.
_ID = re.compile(r"[A-Za-z0-9_-]+")

Acl = dict[str, Any]


# -- what may pass -------------------------------------------------------------


def group_acls(group: Group) -> list[Acl]:
    """Return a group's rules as ACL rows, each once. Raise Refused for a rule that means nothing."""
    name = port_group(group.id)
    acls = [_acl(rule.direction, name, ALLOW, match(rule), "allow-related", group.id) for rule in group.rules]
    return list({(acl["direction"], acl["match"]): acl for acl in acls}.values())


def network_acls(network_: Network) -> list[Acl]:
    """Return the ACLs of the port group that holds all ports of a network.

    Security groups do not filter a guest's way to DHCP, the metadata service and the resolver at VPC+2 or
    169.254.169.253 (VPC user guide, "Control traffic to your AWS resources using security groups").
    """
    name = port_group(network_.id)
    resolvers = one_of([_RESOLVER, *(str(network(cidr)[2]) for cidr in network_.cidrs[:1])])
    served = (
        "udp.src == 68 && udp.dst == 67",
        f"ip4.dst == {METADATA_ADDRESS} && tcp.dst == 80",
        f"ip4.dst == {resolvers} && udp.dst == 53",
        f"ip4.dst == {resolvers} && tcp.dst == 53",
    )
    always = [_acl("out", name, ALWAYS, f"ip4 && {what}", "allow-related", network_.id) for what in served]
    return always + [_acl(direction, name, DROP, "ip", "drop", network_.id) for direction in ("in", "out")]


def _acl(direction: str, group: str, priority: int, condition: str, action: str, id: str) -> Acl:
    lport, end = ("to-lport", "outport") if direction == "in" else ("from-lport", "inport")
    return {
        "direction": lport,
        "priority": priority,
        "match": f"{end} == @{group} && {condition}",
        "action": action,
        "external_ids": {ID: id},
    }


def match(rule: Rule) -> str:
    """Return a rule as an OVN expression, without the port it applies to."""
    version = 6 if rule.protocol in ("icmpv6", "58") or ":" in rule.peer else 4
    return " && ".join([f"ip{version}", *_peer(rule, version), *_protocol(rule, version)])


def _peer(rule: Rule, version: int) -> Iterator[str]:
    end = f"ip{version}." + ("src" if rule.direction == "in" else "dst")
    if is_range(rule.peer):
        range = ip_network(rule.peer)
        # A rule that names every address says nothing.
        if range.prefixlen:
            yield f"{end} == {range}"
    elif _ID.fullmatch(rule.peer):
        yield f"{end} == {addresses_of(rule.peer, version)}"
    else:
        raise Refused(f"{rule.peer!r} is neither a range of addresses nor a group")


def _protocol(rule: Rule, version: int) -> Iterator[str]:
    protocol = _NUMBERS.get(rule.protocol, rule.protocol)
    if protocol in ("tcp", "udp"):
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
    peers = sorted({rule.peer for rule in group.rules if not is_range(rule.peer)})
    name = port_group(group.id)
    before = edit.named("Port_Group", name)
    outdated = before is not None and before.external_ids.get(PEERS, "") != " ".join(peers)
    ids = {ID: group.id, NETWORK: group.network_id, PEERS: " ".join(peers)}
    row = edit.root("Port_Group", name, external_ids=ids)
    edit.children(row, "acls", "ACL", ("direction", "priority", "match", "action"), acls)
    for peer in peers:
        if edit.named("Port_Group", port_group(peer)) is None:
            # Without groundfog:id nobody lists it: it only stands in for the address set that a rule refers to.
            edit.insert("Port_Group", name=port_group(peer), external_ids={NETWORK: group.network_id})
    if outdated:
        _drop_stand_ins(edit, group.network_id)


def drop_group(edit: Edit, id: str) -> None:
    """Forget a group; where another group's rules refer to it, an empty one stays, or those rules would be invalid."""
    row = edit.named("Port_Group", port_group(id))
    if row is None or ID not in row.external_ids:
        return
    network_id = row.external_ids[NETWORK]
    others = [other for other in groups_of(edit, network_id) if other.external_ids.get(ID) != id]
    if any(id in other.external_ids.get(PEERS, "").split() for other in others):
        edit.put(row, external_ids={NETWORK: network_id}, ports=[], acls=[])
    else:
        row.delete()
    _drop_stand_ins(edit, network_id)


def groups_of(view: View, network_id: str) -> list[Any]:
    """Return the port groups of a network, that of all its ports excepted."""
    return [
        row
        for row in view.all("Port_Group")
        if row.external_ids[NETWORK] == network_id and row.name != port_group(network_id)
    ]


def _drop_stand_ins(edit: Edit, network_id: str) -> None:
    rows = groups_of(edit, network_id)
    wanted = {port_group(peer) for row in rows for peer in row.external_ids.get(PEERS, "").split()}
    for row in rows:
        if ID not in row.external_ids and row.name not in wanted:
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

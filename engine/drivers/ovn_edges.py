"""The edge of a subnet: its stateless filter, and what keeps guests from stepping around it.

Subnets share a switch, which is the VLAN of their network. What enters a subnet comes by its router's port on that
switch, where OVN does not track connections: there stand the lines for what enters. What leaves is the router's own to
filter (``ovn_routes``). A card is kept to its own subnet and its routers, whatever netmask its guest believes in: a
card's address says where it belongs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from engine.drivers.base import Refused
from engine.drivers.networking import FilterRule, NatGateway, Network, Rule, Subnet
from engine.drivers.ovn_database import RULE
from engine.drivers.ovn_groups import dropping, match
from engine.drivers.ovn_names import CARDS, ROUTERS, address, of_version, one_of, port_group, switch_port

_HIGHEST = 32767
"""OVN's highest priority, and the number after the last of a filter."""
_FIRST_LINE = 30000
"""The priority of a filter's first line; the others follow, one by one."""
_GUARD = 1003
"""Above what security groups allow (see ``ovn_groups``)."""
OUTSIDE_MARK = 6
"""The mark of packets that come in by IPv6 from outside (see ``ovn_routes``)."""
_FIRST_BYTE, _THREE_BYTES = "ff:00:00:00:00:00", "ff:ff:ff:00:00:00"

Acl = dict[str, Any]


def lines(subnet: Subnet, direction: str) -> Iterator[tuple[int, str, bool, str]]:
    """Yield priority, match, whether it allows, and a name for each line of a filter, and for what no line names."""
    own = sorted((rule for rule in subnet.filter or () if rule.direction == direction), key=_number)
    for place, rule in enumerate(own):
        peer = Rule(rule.direction, rule.protocol, (rule.cidr,), rule.from_port, rule.to_port)
        yield _FIRST_LINE - place, match(peer), rule.allow, f"{subnet.id} {direction} {rule.number}"
    yield _FIRST_LINE - len(own), "ip", False, f"{subnet.id} {direction} *"


def _number(rule: FilterRule) -> int:
    if not 1 <= rule.number < _HIGHEST:
        raise Refused(f"{rule.number} is not the number of a filter's line")
    return rule.number


def entering_acls(network_: Network) -> list[Acl]:
    """Return the ACLs of a network's switch: what its router brings into its subnets, and what nobody answers."""
    silent = [_silencing(network_, gateway) for gateway in network_.nat_gateways]
    return [*silent, *(acl for subnet in network_.subnets for acl in _entering(network_, subnet))]


def _silencing(network_: Network, gateway: NatGateway) -> Acl:
    """A NAT gateway passes on what others send and answers nothing itself, but OVN's routers answer pings."""
    own = one_of(str(address(each)) for each in gateway.addresses)
    return _acl("from-lport", _HIGHEST, f"ip4.dst == {own} && icmp4.type == 8", "drop", network_)


def _entering(network_: Network, subnet: Subnet) -> Iterator[Acl]:
    if subnet.filter is None:
        return
    port = f'inport == "{switch_port(subnet.id)}"'
    yield _acl("from-lport", _HIGHEST, f"{port} && (nd || nd_rs || nd_ra)", "allow-stateless", network_)
    for priority, condition, allowed, label in lines(subnet, "in"):
        action = "allow-stateless" if allowed else "drop"
        yield _acl("from-lport", priority, f"{port} && {condition}", action, network_) | {"external_ids": {RULE: label}}


def subnet_acls(network_: Network, subnet: Subnet) -> list[Acl]:
    """Return the ACLs of the port group of a subnet's cards: what they never send, and what never reaches them."""
    group = port_group(subnet.id)
    found = []
    for condition in _astray(subnet):
        where = f"inport == @{group} && {condition}"
        found.append(_acl("from-lport", _HIGHEST, where, "drop", network_))
        # Has OVN not track what is dropped: of a tracked connection, replies would pass before any ACL.
        found.append(_acl("from-lport", _HIGHEST - 1, where, "allow-stateless", network_))
    outbound = of_version(6, _only_outwards(network_, subnet))
    if outbound:
        # Replies have passed before, so this is what begins outside.
        where = f"outport == @{group} && pkt.mark == {OUTSIDE_MARK} && ip6.src == {one_of(outbound)}"
        found.append(_acl("to-lport", _GUARD, where, "drop", network_))
    return found


def _only_outwards(network_: Network, subnet: Subnet) -> Iterable[str]:
    """Return where, outside, nobody may begin a connection to a subnet's cards."""
    if network_.uplink is not None and network_.uplink.only_out:
        return ("::/0",)
    return (route.destination for route in subnet.routes if route.via == "outbound")


def _astray(subnet: Subnet) -> Iterator[str]:
    """Yield what leads a card's frames to other subnets without its router."""
    place = subnet.mac_prefix.partition(":")[2]
    for kind in (CARDS, ROUTERS) if place else ():
        yield f"eth.dst == {kind}:00:00:00:00:00/{_FIRST_BYTE} && eth.dst != {kind}:{place}:00:00:00/{_THREE_BYTES}"


def _acl(lport: str, priority: int, condition: str, action: str, network_: Network) -> Acl:
    columns = {"direction": lport, "priority": priority, "match": condition, "action": action, "options": {}}
    return columns | dropping(network_) if action == "drop" else columns

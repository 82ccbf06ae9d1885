"""Which addresses and prefixes an interface shall have: as requests name them, and as subnets and types allow."""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from sqlalchemy import select

from engine.addresses import Exhausted, InUse, usable
from engine.interface_addresses import Extras, Given, Wish, give
from engine.ipv6_addresses import range_of, usable6
from engine.prefixes import LENGTHS
from engine.state import Instance, NetworkInterface
from translators.catalogue import offered
from translators.errors import Ec2Error, combination, invalid, refuse
from translators.registry import Call

HONOURED = frozenset({
    "PrivateIpAddress", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount", "Ipv4Prefixes", "Ipv4PrefixCount",
    "Ipv6Addresses", "Ipv6AddressCount", "Ipv6Prefixes", "Ipv6PrefixCount", "PrimaryIpv6",
})  # fmt: skip
"""The members of an interface's specification that are read here."""


def addresses_asked(given: Mapping[str, Any], assign_ipv6: bool) -> tuple[str, Extras]:
    """Return the primary private address (empty: a free one) and the others that a specification asks for.

    ``assign_ipv6`` is whether the subnet gives an address of IPv6 to who does not ask.
    """
    primary, secondary = _private(given)
    prefixes6 = wish("ipv6Prefixes", _members(given, "Ipv6Prefixes", "Ipv6Prefix"), given.get("Ipv6PrefixCount"))
    ipv6, is_primary = _ipv6(given)
    asks = given.get("Ipv6AddressCount") is not None or ipv6.named or prefixes6
    if not ipv6 and (is_primary or (assign_ipv6 and not asks)):
        ipv6 = Wish(count=1)
    extras = Extras(
        private=wish("privateIpAddresses", secondary, given.get("SecondaryPrivateIpAddressCount")),
        prefixes=wish("ipv4Prefixes", _members(given, "Ipv4Prefixes", "Ipv4Prefix"), given.get("Ipv4PrefixCount")),
        ipv6=ipv6,
        prefixes6=prefixes6,
        primary_ipv6=is_primary,
    )
    refuse_both(extras)
    return primary, extras


def _private(given: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the primary address and the secondary ones; an only address that is not said to be either is primary."""
    listed = given.get("PrivateIpAddresses") or []
    first = len(listed) == 1 and not given.get("PrivateIpAddress")
    primary = [a.get("PrivateIpAddress") or "" for a in listed if a.get("Primary", first)]
    others = [a.get("PrivateIpAddress") or "" for a in listed if not a.get("Primary", first)]
    if len(primary) + bool(given.get("PrivateIpAddress")) > 1:
        raise combination("Only one primary private IP address can be specified.")
    return next(iter(primary), given.get("PrivateIpAddress") or ""), others


def _ipv6(given: Mapping[str, Any]) -> tuple[Wish, bool]:
    """Return the addresses, the one that is to be primary first, and whether one is."""
    listed = sorted(given.get("Ipv6Addresses") or [], key=lambda each: not each.get("IsPrimaryIpv6"))
    marked = [each for each in listed if each.get("IsPrimaryIpv6")]
    if len(marked) > 1:
        raise combination("Only one primary IPv6 address can be specified.")
    named = [each.get("Ipv6Address") or "" for each in listed]
    return wish("ipv6Addresses", named, given.get("Ipv6AddressCount")), bool(marked or given.get("PrimaryIpv6"))


def _members(given: Mapping[str, Any], name: str, member: str) -> list[str]:
    return [each.get(member) or "" for each in given.get(name) or ()]


def wish(name: str, named: Sequence[str] | None, count: int | None) -> Wish:
    """Return what two parameters ask for, of which one at most may be given."""
    if named and count:
        raise combination(f"The parameter {name} cannot be used together with a count.")
    if count is not None and count < 0:
        raise invalid(f"{name} count", count, "It must not be negative.")
    if named and len(set(named)) < len(named):
        raise invalid(name, ", ".join(named), "An address is given twice.")
    return Wish(tuple(named or ()), count or 0)


def refuse_both(extras: Extras) -> None:
    """Refuse single addresses and prefixes of one IP version together, as EC2 does."""
    for single, prefixes, version in ((extras.private, extras.prefixes, 4), (extras.ipv6, extras.prefixes6, 6)):
        if single and prefixes:
            raise combination(f"IPv{version} addresses and IPv{version} prefixes cannot be specified together.")


# -- what a subnet has ---------------------------------------------------------


def check_extras(call: Call, subnet: Any, extras: Extras) -> None:
    """Refuse what is no address or prefix that an interface of the subnet may have."""
    for text in extras.private.named:
        check_private_ip(subnet, text)
    for text in extras.prefixes.named:
        _check(text, "ipv4Prefix", lambda text: _span(IPv4Network(text), 4), *usable(subnet.cidr))
    if not extras.of_ipv6:
        return
    cidr6 = range_of(call.db, subnet.id)
    if not cidr6:
        refuse("InvalidParameterValue", f"The subnet '{subnet.id}' does not have an IPv6 CIDR block.")
    for text in extras.ipv6.named:
        _check(text, "ipv6Address", lambda text: (int(IPv6Address(text)),) * 2, *usable6(cidr6))
    for text in extras.prefixes6.named:
        _check(text, "ipv6Prefix", lambda text: _span(IPv6Network(text), 6), *usable6(cidr6))


def check_private_ip(subnet: Any, text: str) -> None:
    """Refuse what is no address that an interface of the subnet may have."""
    try:
        wanted = IPv4Address(text)
    except ValueError:
        raise invalid("privateIpAddress", text, "Invalid IPv4 address.") from None
    if wanted not in IPv4Network(subnet.cidr):
        refuse("InvalidParameterValue", f"Address {text} does not fall within the subnet's address range")
    first, last = usable(subnet.cidr)
    if not first <= int(wanted) <= last:
        refuse("InvalidParameterValue", f"Address {text} is in subnet's reserved address range")


def _span(network: IPv4Network | IPv6Network, version: int) -> tuple[int, int]:
    if network.prefixlen != LENGTHS[version]:
        raise ValueError
    return int(network.network_address), int(network.broadcast_address)


def _check(text: str, name: str, span: Callable[[str], tuple[int, ...]], first: int, last: int) -> None:
    try:
        low, high = span(text)
    except ValueError:
        raise invalid(name, text) from None
    if not first <= low <= high <= last:
        refuse("InvalidParameterValue", f"Address {text} does not fall within the subnet's address range")


# -- what an instance's type has -----------------------------------------------


def most_addresses(call: Call, interface: NetworkInterface | None = None) -> int:
    """Return how many addresses of each IP version an interface may have.

    That is what its instance's type says; while it is attached to none, what the largest type does.
    """
    types = offered(call)
    if interface is not None and interface.instance_id:
        name = call.db.scalar(select(Instance.instance_type).where(Instance.id == interface.instance_id))
        if name is not None and name in types:
            return types[name].addresses_per_interface
    return max(kind.addresses_per_interface for kind in types.values())


def check_limit(extras: Extras, most: int, held: tuple[int, int] = (1, 0)) -> None:
    """Refuse more than ``most`` of an IP version, besides what is ``held`` of each; a prefix counts as one address."""
    for name, number in (("private", held[0] + extras.ipv4), ("IPv6", held[1] + extras.of_ipv6)):
        if number > most:
            refuse("PrivateIpAddressLimitExceeded", f"Number of {name} addresses will exceed limit.")


# -- given ---------------------------------------------------------------------


def give_extras(call: Call, subnet: Any, interface_id: str, extras: Extras) -> Given:
    """Give an interface what was checked before, or say in EC2's words why not."""
    try:
        return give(call.db, subnet, interface_id, extras)
    except InUse as error:
        raise Ec2Error("InvalidIPAddress.InUse", f"Address {error.address} is in use.") from None
    except Exhausted as error:
        raise _exhausted(error) from None


def _exhausted(error: Exhausted) -> Ec2Error:
    text = "The specified subnet does not have enough free {} to satisfy the request."
    if str(error) == "prefixes":
        return Ec2Error("InsufficientCidrBlocks", text.format("cidr blocks"))
    return Ec2Error("InsufficientFreeAddressesInSubnet", text.format("addresses"))

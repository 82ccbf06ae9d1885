"""Addresses and prefixes of IPv6 of an interface, assigned and unassigned while it is there."""

from collections.abc import Sequence
from ipaddress import IPv6Address

from sqlalchemy import select

from engine.interface_addresses import Extras, count
from engine.ipv6_addresses import release_ipv6
from engine.prefixes import release_prefixes
from engine.routes import sync_routes_to
from engine.state import InterfacePrefix, Ipv6Address, NetworkInterface, Subnet
from translators.addresses import sync_port
from translators.errors import invalid, missing, refuse
from translators.find import find
from translators.interface_addresses import check_extras, check_limit, give_extras, most_addresses, refuse_both, wish
from translators.managed_interfaces import find_unmanaged
from translators.registry import Call, Result, action


@action
def assign_ipv6_addresses(
    call: Call,
    *,
    network_interface_id: str,
    ipv6_addresses: list[str] | None = None,
    ipv6_address_count: int | None = None,
    ipv6_prefixes: list[str] | None = None,
    ipv6_prefix_count: int | None = None,
) -> Result:
    extras = Extras(
        ipv6=wish("ipv6Addresses", ipv6_addresses, ipv6_address_count),
        prefixes6=wish("ipv6Prefixes", ipv6_prefixes, ipv6_prefix_count),
    )
    if not extras:
        raise missing("ipv6Addresses or ipv6AddressCount")
    refuse_both(extras)
    interface = find_unmanaged(call, network_interface_id)
    subnet = find(call, Subnet, interface.subnet_id)
    check_extras(call, subnet, extras)
    check_limit(extras, most_addresses(call, interface), count(call.db, interface.id))
    given = give_extras(call, subnet, interface.id, extras)
    _sync(call, interface)
    return {
        "NetworkInterfaceId": interface.id,
        "AssignedIpv6Addresses": given.ipv6 or None,
        "AssignedIpv6Prefixes": given.prefixes6 or None,
    }


def _sync(call: Call, interface: NetworkInterface) -> None:
    """Routes to an interface lead to its first address."""
    sync_port(call, interface)
    sync_routes_to(call.db, interface.id)


@action
def unassign_ipv6_addresses(
    call: Call,
    *,
    network_interface_id: str,
    ipv6_addresses: list[str] | None = None,
    ipv6_prefixes: list[str] | None = None,
) -> Result:
    if not ipv6_addresses and not ipv6_prefixes:
        raise missing("ipv6Addresses")
    wanted = [_normal(text) for text in ipv6_addresses or ()]
    interface = find_unmanaged(call, network_interface_id)
    _check_held(call, interface, wanted, ipv6_prefixes or ())
    if wanted:
        release_ipv6(call.db, interface.id, *wanted)
    if ipv6_prefixes:
        release_prefixes(call.db, interface.id, *ipv6_prefixes)
    _sync(call, interface)
    return {
        "NetworkInterfaceId": interface.id,
        "UnassignedIpv6Addresses": wanted or None,
        "UnassignedIpv6Prefixes": ipv6_prefixes or None,
    }


def _normal(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise invalid("ipv6Address", text, "Invalid IPv6 address.") from None


def _check_held(call: Call, interface: NetworkInterface, addresses: Sequence[str], prefixes: Sequence[str]) -> None:
    own = {row.address: row for row in call.db.scalars(select(Ipv6Address).filter_by(interface_id=interface.id))}
    ranges = set(call.db.scalars(select(InterfacePrefix.cidr).where(InterfacePrefix.interface_id == interface.id)))
    lost = [text for text in addresses if text not in own] + [text for text in prefixes if text not in ranges]
    if lost:
        refuse("InvalidParameterValue", f"[{', '.join(lost)}] not assigned to interface {interface.id}")
    for text in addresses:
        if own[text].is_primary:
            refuse("InvalidParameterValue", f"{text} is the primary IPv6 address: it cannot be unassigned.")

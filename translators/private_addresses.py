"""Secondary private addresses and prefixes of an interface, assigned and unassigned while it is there."""

from collections.abc import Sequence

from sqlalchemy import select, update

from engine.addresses import release_private
from engine.interface_addresses import Extras, Given, Wish, count, move_private
from engine.prefixes import release_prefixes
from engine.state import Address, InterfacePrefix, NetworkInterface, PrivateAddress, Subnet
from translators.addresses import sync_port
from translators.errors import missing, refuse
from translators.find import find
from translators.interface_addresses import check_extras, check_limit, give_extras, most_addresses, refuse_both, wish
from translators.managed_interfaces import find_unmanaged
from translators.registry import Call, Result, action


@action
def assign_private_ip_addresses(
    call: Call,
    *,
    network_interface_id: str,
    private_ip_addresses: list[str] | None = None,
    secondary_private_ip_address_count: int | None = None,
    ipv4_prefixes: list[str] | None = None,
    ipv4_prefix_count: int | None = None,
    allow_reassignment: bool = False,
) -> Result:
    extras = Extras(
        private=wish("privateIpAddresses", private_ip_addresses, secondary_private_ip_address_count),
        prefixes=wish("ipv4Prefixes", ipv4_prefixes, ipv4_prefix_count),
    )
    if not extras:
        raise missing("privateIpAddresses or secondaryPrivateIpAddressCount")
    refuse_both(extras)
    interface = find_unmanaged(call, network_interface_id)
    subnet = find(call, Subnet, interface.subnet_id)
    check_extras(call, subnet, extras)
    own, moved = _held(call, interface, extras.private.named, allow_reassignment)
    kept = {address.address for address in own}
    new = tuple(text for text in extras.private.named if text not in kept)
    more = Extras(private=Wish(new, extras.private.count), prefixes=extras.prefixes)
    check_limit(more, most_addresses(call, interface), count(call.db, interface.id))
    for address in moved:
        _move(call, address, interface)
    free = tuple(text for text in new if text not in {address.address for address in moved})
    left = Extras(private=Wish(free, extras.private.count), prefixes=extras.prefixes)
    given = give_extras(call, subnet, interface.id, left)
    sync_port(call, interface)
    return _answer(interface.id, Given([*extras.private.named, *given.private[len(free) :]], given.prefixes))


def _held(
    call: Call, interface: NetworkInterface, named: Sequence[str], allow: bool
) -> tuple[list[PrivateAddress], list[PrivateAddress]]:
    """Return the named addresses that the interface has already, and those to be taken from another one."""
    mine = select(PrivateAddress).where(PrivateAddress.subnet_id == interface.subnet_id)
    held = list(call.db.scalars(mine.where(PrivateAddress.address.in_(named)).with_for_update())) if named else []
    own = [address for address in held if address.interface_id == interface.id]
    others = [address for address in held if address.interface_id != interface.id]
    if not allow and others:
        listed = ", ".join(address.address for address in others)
        refuse("InvalidParameterValue", f"[{listed}] assigned, but move is not allowed.")
    for address in others:
        if address.is_primary or call.db.get(NetworkInterface, address.interface_id) is None:
            text = f"{address.address} is the primary address of an interface, or part of a prefix"
            refuse("InvalidParameterValue", f"{text}: it cannot be moved.")
    return own, others


def _move(call: Call, address: PrivateAddress, interface: NetworkInterface) -> None:
    before = find_unmanaged(call, address.interface_id)
    move_private(call.db, address, interface)
    sync_port(call, before)


def _answer(id: str, given: Given) -> Result:
    return {
        "NetworkInterfaceId": id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in given.private] or None,
        "AssignedIpv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in given.prefixes] or None,
    }


@action
def unassign_private_ip_addresses(
    call: Call,
    *,
    network_interface_id: str,
    private_ip_addresses: list[str] | None = None,
    ipv4_prefixes: list[str] | None = None,
) -> Result:
    """Take secondary addresses and prefixes away; an Elastic IP that led to one leads nowhere from then on."""
    if not private_ip_addresses and not ipv4_prefixes:
        raise missing("privateIpAddresses")
    interface = find_unmanaged(call, network_interface_id)
    _check_held(call, interface, private_ip_addresses or (), ipv4_prefixes or ())
    for address in private_ip_addresses or ():
        _release(call, interface, address)
    if ipv4_prefixes:
        release_prefixes(call.db, interface.id, *ipv4_prefixes)
    sync_port(call, interface)
    return {}


def _check_held(call: Call, interface: NetworkInterface, addresses: Sequence[str], prefixes: Sequence[str]) -> None:
    if interface.private_ip in addresses:
        text = f"{interface.private_ip} is the primary address of {interface.id}: it cannot be unassigned."
        refuse("InvalidParameterValue", text)
    for column, asked in ((PrivateAddress.address, addresses), (InterfacePrefix.cidr, prefixes)):
        held = set(call.db.scalars(select(column).where(column.class_.interface_id == interface.id)))
        lost = [text for text in asked if text not in held]
        if lost:
            refuse("InvalidParameterValue", f"[{', '.join(lost)}] not assigned to interface {interface.id}")


def _release(call: Call, interface: NetworkInterface, address: str) -> None:
    here = (Address.interface_id == interface.id, Address.private_ip == address)
    nowhere = {"association_id": None, "interface_id": None, "private_ip": None}
    call.db.execute(update(Address).where(*here).values(nowhere))
    release_private(call.db, interface.id, address)

"""Elastic IP addresses: allocated and released. What an instance is lent while it runs is never shown here."""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from sqlalchemy import delete, exists, func, select

from engine import tasks
from engine.addresses import Exhausted, free_public
from engine.state import Address, AddressTransfer, NetworkInterface, Vpc
from translators import tags
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error, combination, invalid, missing, not_found, refuse, unsupported
from translators.filters import constant, through
from translators.find import find, find_all
from translators.managed_interfaces import refuse_managed
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_interface = NetworkInterface.id == Address.interface_id
_instance = select(NetworkInterface.instance_id).where(_interface).scalar_subquery()
_owner = select(NetworkInterface.account).where(_interface).scalar_subquery()


def _shape(row: Any) -> dict[str, Any]:
    return {
        "AllocationId": row.id,
        "PublicIp": row.public_ip,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": row.region,
        "Domain": "vpc",
        "AssociationId": row.association_id,
        "InstanceId": row.instance_id,
        "NetworkInterfaceId": row.interface_id,
        "NetworkInterfaceOwnerId": row.interface_owner,
        "PrivateIpAddress": row.private_ip,
        "Tags": tag_set(row.tags),
    }


ADDRESSES = Listing(
    kind=Address,
    columns=(
        Address.id, Address.account, Address.region, Address.public_ip, Address.association_id, Address.interface_id,
        Address.private_ip, _instance.label("instance_id"), _owner.label("interface_owner"), tags_of(Address),
    ),
    shape=_shape,
    also=(Address.elastic.is_(True),),
    filters={
        "allocation-id": Address.id,
        "association-id": Address.association_id,
        "domain": constant("vpc"),
        "instance-id": through(NetworkInterface.instance_id, _interface),
        "network-border-group": Address.region,
        "network-interface-id": Address.interface_id,
        "network-interface-owner-id": through(NetworkInterface.account, _interface),
        "private-ip-address": Address.private_ip,
        "public-ip": Address.public_ip,
    },
)  # fmt: skip


@action
def describe_addresses(
    call: Call,
    *,
    allocation_ids: list[str] | None = None,
    public_ips: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
) -> Result:
    ids = [*(allocation_ids or ()), *public_ips_to_ids(call, public_ips or ())]
    found, _ = describe(call, ADDRESSES, ids, filters, paged=False)
    return {"Addresses": found}


def public_ips_to_ids(call: Call, public_ips: Sequence[str]) -> list[str]:
    if not public_ips:
        return []
    mine = select(Address.public_ip, Address.id).filter_by(**call.owner, elastic=True)
    known = dict(call.db.execute(mine.where(Address.public_ip.in_(public_ips))).tuples().all())
    for public_ip in public_ips:
        if public_ip not in known:
            raise no_such_address(public_ip)
    return list(known.values())


def no_such_address(public_ip: str) -> Ec2Error:
    return Ec2Error("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")


@action
def allocate_address(
    call: Call,
    *,
    domain: str = "vpc",
    address: str | None = None,
    public_ipv4_pool: str | None = None,
    network_border_group: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    if domain != "vpc":
        raise invalid("domain", domain, "Addresses are for use in a VPC only.")
    if public_ipv4_pool not in (None, "amazon"):
        raise unsupported("PublicIpv4Pool", "The only pool is 'amazon'.")
    _check_border_group(call, network_border_group)
    check_address_quota(call)
    public_ip = _wanted(call, address) if address else _free(call)
    row = Address(
        id=Address.new_id(), **call.owner, number=int(IPv4Address(public_ip)), public_ip=public_ip, elastic=True
    )
    call.db.add(row)
    tags.put_at_creation(call, tag_specifications, {"elastic-ip": [row.id]})
    return {
        "AllocationId": row.id,
        "PublicIp": public_ip,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": call.region,
        "Domain": "vpc",
    }


def check_address_quota(call: Call) -> None:
    """Refuse one Elastic IP address more than the account may have in the region."""
    held = call.db.scalar(select(func.count()).select_from(Address).filter_by(**call.owner, elastic=True))
    check_quota(call, "elastic IPs", 1 + (held or 0))


def _check_border_group(call: Call, group: str | None) -> None:
    if group not in (None, call.region):
        raise invalid("networkBorderGroup", group, f"The only network border group here is {call.region}.")


def _free(call: Call) -> str:
    try:
        return free_public(call.db, call.settings)
    except Exhausted:
        text = "There are not enough free addresses in the pool to satisfy the request."
        raise Ec2Error("InsufficientAddressCapacity", text) from None


def _wanted(call: Call, text: str) -> str:
    """Return the address that a request wants back, if it is one of the pool that nobody has."""
    try:
        wanted = IPv4Address(text)
    except AddressValueError:
        raise Ec2Error("InvalidAddress.Malformed", f"The address '{text}' is not a valid IP address.") from None
    first, last = call.settings.external_pool
    if not first <= wanted <= last:
        raise no_such_address(text)
    taken = exists().where(Address.number == int(wanted))
    if call.db.scalar(select(taken)):
        refuse("InvalidIPAddress.InUse", f"The address '{text}' is in use.")
    return str(wanted)


def find_address(call: Call, allocation_id: str | None, public_ip: str | None) -> Address:
    """Return the caller's own Elastic IP address, named in one of two ways, locked until the call ends."""
    if allocation_id and public_ip:
        raise combination("You may specify public IP or allocation id, but not both in the same call")
    if allocation_id:
        found = find(call, Address, allocation_id)
        if not found.elastic:
            raise not_found(Address, allocation_id)
        return found
    if not public_ip:
        raise missing("allocationId")
    (id,) = public_ips_to_ids(call, [public_ip])
    return find_all(call, Address, [id])[0]


@action
def release_address(
    call: Call,
    *,
    allocation_id: str | None = None,
    public_ip: str | None = None,
    network_border_group: str | None = None,
) -> Result:
    """Release an address: as documented, one in use in a default VPC is disassociated, in another VPC refused."""
    _check_border_group(call, network_border_group)
    address = find_address(call, allocation_id, public_ip)
    if address.interface_id:
        interface = call.db.get_one(NetworkInterface, address.interface_id)
        refuse_managed(interface)
        if not call.db.get_one(Vpc, interface.vpc_id).is_default:
            refuse("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
        disassociate(call, address)
    tags.forget(call, address.id)
    call.db.execute(delete(AddressTransfer).filter_by(allocation_id=address.id, accepted=""))
    call.db.delete(address)
    return {}


def disassociate(call: Call, address: Address) -> None:
    """Lead an address nowhere; refuse to take it from what manages its own interface."""
    interface = call.db.get(NetworkInterface, address.interface_id) if address.interface_id else None
    refuse_managed(interface)
    address.association_id = address.interface_id = address.private_ip = None
    if interface:
        sync_port(call, interface)


def sync_port(call: Call, interface: NetworkInterface) -> None:
    """Have the network follow a change of an interface; one that is not attached has no port there."""
    if interface.instance_id:
        tasks.start(call.db, interface.id, "sync_port", call.region)

"""Network interfaces: made, changed and deleted."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, select

from engine import tasks
from engine.addresses import Exhausted, InUse
from engine.interface_addresses import keep_first_ipv6
from engine.interfaces import (
    Made,
    lend_public,
    make_interface,
    remove_interface,
    replace_groups,
    take_back_public,
)
from engine.state import Address, Instance, Ipv6Address, NetworkInterface, SecurityGroup, Subnet
from translators import tags
from translators.addresses import sync_port
from translators.describe import rows_of
from translators.errors import Ec2Error, combination, invalid, missing, not_found, refuse, unsupported
from translators.find import check_ids, find
from translators.interface_addresses import (
    addresses_asked,
    check_extras,
    check_limit,
    check_private_ip,
    give_extras,
    most_addresses,
)
from translators.managed_interfaces import find_unmanaged
from translators.network_interfaces import INTERFACES
from translators.quotas import check_quota
from translators.registry import Call, Result, action


@action
def create_network_interface(
    call: Call,
    *,
    subnet_id: str,
    description: str = "",
    private_ip_address: str | None = None,
    private_ip_addresses: list[dict[str, Any]] | None = None,
    secondary_private_ip_address_count: int | None = None,
    ipv4_prefixes: list[dict[str, str]] | None = None,
    ipv4_prefix_count: int | None = None,
    ipv6_addresses: list[dict[str, Any]] | None = None,
    ipv6_address_count: int | None = None,
    ipv6_prefixes: list[dict[str, str]] | None = None,
    ipv6_prefix_count: int | None = None,
    enable_primary_ipv6: bool = False,
    groups: list[str] | None = None,
    interface_type: str = "interface",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    if interface_type != "interface":
        raise unsupported("InterfaceType", "The only type is 'interface'.")
    subnet = find(call, Subnet, subnet_id)
    asked = {
        "PrivateIpAddress": private_ip_address,
        "PrivateIpAddresses": private_ip_addresses,
        "SecondaryPrivateIpAddressCount": secondary_private_ip_address_count,
        "Ipv4Prefixes": ipv4_prefixes,
        "Ipv4PrefixCount": ipv4_prefix_count,
        "Ipv6Addresses": ipv6_addresses,
        "Ipv6AddressCount": ipv6_address_count,
        "Ipv6Prefixes": ipv6_prefixes,
        "Ipv6PrefixCount": ipv6_prefix_count,
        "PrimaryIpv6": enable_primary_ipv6,
    }
    wanted, extras = addresses_asked(asked, subnet.assign_ipv6)
    check_extras(call, subnet, extras)
    check_limit(extras, most_addresses(call))
    group_ids = groups_in(call, subnet.vpc_id, groups or (), f"subnet {subnet_id}")
    interface = new_interface(call, subnet, group_ids, description=description, private_ip=wanted)
    give_extras(call, subnet, interface.id, extras)
    tags.put_at_creation(call, tag_specifications, {"network-interface": [interface.id]})
    shape = rows_of(call, INTERFACES, [interface.id])[0] | {"Status": "pending"}
    return {"NetworkInterface": shape, "ClientToken": call.client_token or None}


def groups_in(call: Call, vpc_id: str, group_ids: Sequence[str], place: str) -> list[str]:
    """Return the ids of the groups that an interface is to be in: those named, or the VPC's default one.

    ``place`` is what a message calls the interface's place: ``subnet subnet-...``.
    """
    if not group_ids:
        default = select(SecurityGroup.id).filter_by(vpc_id=vpc_id, name="default")
        return list(call.db.scalars(default))
    check_ids(SecurityGroup, group_ids)
    wanted = list(dict.fromkeys(group_ids))
    check_quota(call, "security groups per interface", len(wanted))
    own = select(SecurityGroup.id, SecurityGroup.vpc_id).filter_by(**call.owner)
    found = dict(call.db.execute(own.where(SecurityGroup.id.in_(wanted))).tuples().all())
    for id in wanted:
        if id not in found:
            raise not_found(SecurityGroup, id)
        if found[id] != vpc_id:
            refuse("InvalidParameter", f"Security group {id} and {place} belong to different networks.")
    return wanted


def new_interface(
    call: Call, subnet: Subnet, group_ids: Sequence[str], *, description: str = "", private_ip: str = "", **more: Any
) -> Made:
    """Make an interface with the wanted private address or a free one, or say in EC2's words why not."""
    if private_ip:
        check_private_ip(subnet, private_ip)
    if len(description) > 255:
        raise invalid("description", description, "It is longer than 255 characters.")
    try:
        return make_interface(
            call.db, call.owner, subnet, group_ids, description=description, private_ip=private_ip, **more
        )
    except Exhausted:
        text = "The specified subnet does not have enough free addresses to satisfy the request."
        raise Ec2Error("InsufficientFreeAddressesInSubnet", text) from None
    except InUse as error:
        raise Ec2Error("InvalidIPAddress.InUse", f"Address {error.address} is in use.") from None


@action
def delete_network_interface(call: Call, *, network_interface_id: str) -> Result:
    interface = find(call, NetworkInterface, network_interface_id)
    if interface.status == "in-use":
        text = f"Network interface '{network_interface_id}' is currently in use."
        refuse("InvalidParameterValue", text)
    remove_interface(call.db, interface)
    tasks.start(call.db, network_interface_id, "remove_port", call.region)
    return {}


@action
def modify_network_interface_attribute(
    call: Call,
    *,
    network_interface_id: str,
    description: dict[str, str] | None = None,
    groups: list[str] | None = None,
    source_dest_check: dict[str, bool] | None = None,
    attachment: dict[str, Any] | None = None,
    associate_public_ip_address: bool | None = None,
    enable_primary_ipv6: bool | None = None,
) -> Result:
    flags = [flag for flag in (associate_public_ip_address, enable_primary_ipv6) if flag is not None]
    given = [*flags, *(v for v in (description, groups, source_dest_check, attachment) if v)]
    if len(given) != 1:
        text = "Only one network interface attribute can be modified at a time."
        raise combination(text) if given else missing("attribute")
    interface = find_unmanaged(call, network_interface_id)
    if description:
        interface.description = _described(description)
    if attachment:
        _modify_attachment(interface, attachment)
    if source_dest_check:
        _set_source_dest_check(call, interface, source_dest_check.get("Value"))
    if groups:
        _set_groups(call, interface, groups)
    if associate_public_ip_address is not None:
        _set_auto_public(call, interface, associate_public_ip_address)
    if enable_primary_ipv6 is not None:
        _set_primary_ipv6(call, interface, enable_primary_ipv6)
    return {}


def _described(description: Mapping[str, str]) -> str:
    text = description.get("Value", "")
    if len(text) > 255:
        raise invalid("description", text, "It is longer than 255 characters.")
    return text


def _modify_attachment(interface: NetworkInterface, changes: Mapping[str, Any]) -> None:
    for name in changes.keys() - {"AttachmentId", "DeleteOnTermination"}:
        raise unsupported(f"Attachment.{name}")
    id = changes.get("AttachmentId")
    if not id:
        raise missing("attachment.attachmentId")
    if "DeleteOnTermination" not in changes:
        raise missing("attachment.deleteOnTermination")
    if id != interface.attachment_id or interface.attachment_status == "detached":
        raise Ec2Error("InvalidAttachmentID.NotFound", f"The attachment ID '{id}' does not exist")
    interface.delete_on_termination = changes["DeleteOnTermination"]


def _set_source_dest_check(call: Call, interface: NetworkInterface, value: bool | None) -> None:
    if value is None:
        raise missing("sourceDestCheck.value")
    interface.source_dest_check = value
    sync_port(call, interface)


def _set_groups(call: Call, interface: NetworkInterface, groups: Sequence[str]) -> None:
    wanted = groups_in(call, interface.vpc_id, groups, f"interface {interface.id}")
    replace_groups(call.db, interface.id, wanted)
    sync_port(call, interface)


def _set_auto_public(call: Call, interface: NetworkInterface, value: bool) -> None:
    """Lend a public address, or take it back: at once where the interface is a running instance's first one."""
    interface.auto_public = value
    states = select(Instance.state).where(Instance.id == interface.instance_id)
    if interface.device_index != 0 or call.db.scalar(states) not in ("pending", "running"):
        return
    held = select(exists().where(Address.interface_id == interface.id))
    if not value:
        take_back_public(call.db, interface.id)
    elif not call.db.scalar(held):
        try:
            lend_public(call.db, call.settings, interface)
        except Exhausted:
            text = "There are not enough free public IP addresses."
            raise Ec2Error("InsufficientAddressCapacity", text) from None
    sync_port(call, interface)


def _set_primary_ipv6(call: Call, interface: NetworkInterface, value: bool) -> None:
    own = Ipv6Address.interface_id == interface.id
    if not value and call.db.scalar(select(exists().where(own, Ipv6Address.is_primary.is_(True)))):
        raise invalid("enablePrimaryIpv6", "false", "A primary IPv6 address cannot be disabled.")
    if value and not call.db.scalar(select(exists().where(own))):
        refuse("InvalidParameterValue", f"The network interface {interface.id} has no IPv6 address.")
    if value:
        keep_first_ipv6(call.db, interface.id)


@action
def reset_network_interface_attribute(
    call: Call, *, network_interface_id: str, source_dest_check: str | None = None
) -> Result:
    """Reset the only attribute that can be; the value is only there to name it."""
    interface = find_unmanaged(call, network_interface_id)
    if source_dest_check is None:
        raise missing("sourceDestCheck")
    _set_source_dest_check(call, interface, True)
    return {}

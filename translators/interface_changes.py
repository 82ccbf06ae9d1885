"""Network interfaces: made, changed and deleted."""

from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.addresses import Exhausted, usable
from engine.interfaces import Made, make_interface, remove_interface, replace_groups
from engine.state import NetworkInterface, SecurityGroup, Subnet
from translators import tags
from translators.addresses import sync_port
from translators.describe import rows_of
from translators.errors import Ec2Error, combination, invalid, missing, not_found, refuse, unsupported
from translators.find import check_ids, find
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
    secondary_private_ip_address_count: int = 0,
    groups: list[str] | None = None,
    interface_type: str = "interface",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    if interface_type != "interface":
        raise unsupported("InterfaceType", "The only type is 'interface'.")
    if secondary_private_ip_address_count:
        raise unsupported("SecondaryPrivateIpAddressCount")
    subnet = find(call, Subnet, subnet_id)
    wanted = private_ip_address or ""
    if private_ip_addresses:
        if wanted:
            raise combination("The parameters privateIpAddress and privateIpAddresses cannot be used together")
        wanted = only_primary(private_ip_addresses)
    group_ids = groups_in(call, subnet.vpc_id, groups or (), f"subnet {subnet_id}")
    interface = new_interface(call, subnet, group_ids, description=description, private_ip=wanted)
    tags.put_at_creation(call, tag_specifications, {"network-interface": [interface.id]})
    shape = rows_of(call, INTERFACES, [interface.id])[0] | {"Status": "pending"}
    return {"NetworkInterface": shape, "ClientToken": call.client_token or None}


def only_primary(addresses: Sequence[Mapping[str, Any]]) -> str:
    """Return the address that a PrivateIpAddresses parameter names as the primary one; refuse any other."""
    primary = [a.get("PrivateIpAddress") or "" for a in addresses if a.get("Primary")]
    if len(primary) > 1:
        raise combination("Only one primary private IP address can be specified.")
    if len(addresses) > 1 or not primary:
        raise unsupported("PrivateIpAddresses", "There are no secondary addresses.")
    return str(primary[0])


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
        _check_private_ip(subnet, private_ip)
    if len(description) > 255:
        raise invalid("description", description, "It is longer than 255 characters.")
    try:
        return make_interface(
            call.db, call.owner, subnet, group_ids, description=description, private_ip=private_ip, **more
        )
    except Exhausted:
        text = "The specified subnet does not have enough free addresses to satisfy the request."
        raise Ec2Error("InsufficientFreeAddressesInSubnet", text) from None
    except ValueError:
        raise Ec2Error("InvalidIPAddress.InUse", f"Address {private_ip} is in use.") from None


def _check_private_ip(subnet: Subnet, text: str) -> None:
    try:
        wanted = IPv4Address(text)
    except AddressValueError:
        raise invalid("privateIpAddress", text, "Invalid IPv4 address.") from None
    if wanted not in IPv4Network(subnet.cidr):
        refuse("InvalidParameterValue", f"Address {text} does not fall within the subnet's address range")
    first, last = usable(subnet.cidr)
    if not first <= int(wanted) <= last:
        refuse("InvalidParameterValue", f"Address {text} is in subnet's reserved address range")


@action
def delete_network_interface(call: Call, *, network_interface_id: str) -> Result:
    interface = find(call, NetworkInterface, network_interface_id)
    if interface.attachment_id:
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
) -> Result:
    given = [v for v in (description, groups, source_dest_check, attachment) if v]
    if len(given) != 1:
        text = "Only one network interface attribute can be modified at a time."
        raise combination(text) if given else missing("attribute")
    interface = find(call, NetworkInterface, network_interface_id)
    if description:
        interface.description = _described(description)
    if attachment:
        _modify_attachment(interface, attachment)
    if source_dest_check:
        _set_source_dest_check(call, interface, source_dest_check.get("Value"))
    if groups:
        _set_groups(call, interface, groups)
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
    if id != interface.attachment_id:
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


@action
def reset_network_interface_attribute(
    call: Call, *, network_interface_id: str, source_dest_check: str | None = None
) -> Result:
    """Reset the only attribute that can be; the value is only there to name it."""
    interface = find(call, NetworkInterface, network_interface_id)
    if source_dest_check is None:
        raise missing("sourceDestCheck")
    _set_source_dest_check(call, interface, True)
    return {}

"""Network interfaces: described."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    SecurityGroup,
    Vpc,
    Zone,
    json_rows,
)
from translators.address_associations import association_with_ids, public_addresses_of
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import missing
from translators.filters import Test, constant, matches, through
from translators.host_names import private_dns_name, private_dns_name_of
from translators.registry import Call, Result, action

_vpc = Vpc.id == NetworkInterface.vpc_id
_zone = Zone.name == NetworkInterface.zone
_instance_owner = select(Instance.account).where(Instance.id == NetworkInterface.instance_id).scalar_subquery()
_public = Address.interface_id == NetworkInterface.id
_private = PrivateAddress.interface_id == NetworkInterface.id
_attached = NetworkInterface.attachment_id.is_not(None)
_managed = NetworkInterface.managed_by != ""
_SERVICE = "amazon-aws"
"""Who owns what an interface of a gateway or an endpoint is attached to."""
_groups = json_rows(
    InterfaceGroup.group_id, SecurityGroup.name,
    where=and_(InterfaceGroup.interface_id == NetworkInterface.id, SecurityGroup.id == InterfaceGroup.group_id),
    order=(InterfaceGroup.position,),
)  # fmt: skip
_addresses = json_rows(
    PrivateAddress.address, PrivateAddress.is_primary,
    where=_private, order=(PrivateAddress.is_primary.desc(), PrivateAddress.number),
)  # fmt: skip
_ipv6 = Ipv6Address.interface_id == NetworkInterface.id
_addresses6 = json_rows(
    Ipv6Address.address, Ipv6Address.is_primary,
    where=_ipv6, order=(Ipv6Address.is_primary.desc(), Ipv6Address.position),
)  # fmt: skip
_prefixes = json_rows(
    InterfacePrefix.cidr, where=InterfacePrefix.interface_id == NetworkInterface.id, order=(InterfacePrefix.cidr,)
)


def ipv6_shape(addresses: Sequence[Sequence[Any]], prefixes: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what an interface shows of (address, whether it is primary) of IPv6, and of its prefixes."""
    return {
        "Ipv6Addresses": [{"Ipv6Address": text, "IsPrimaryIpv6": bool(primary)} for text, primary in addresses],
        "Ipv4Prefixes": [{"Ipv4Prefix": cidr} for (cidr,) in prefixes if ":" not in cidr] or None,
        "Ipv6Prefixes": [{"Ipv6Prefix": cidr} for (cidr,) in prefixes if ":" in cidr] or None,
    }


def _shape(row: Any) -> dict[str, Any]:
    public = {item[0]: association_with_ids(item, row.dns_hostnames) for item in json.loads(row.public)}
    addresses6 = json.loads(row.addresses6)
    addresses = [
        {
            "PrivateIpAddress": address,
            "Primary": bool(primary),
            "PrivateDnsName": private_dns_name(address, row.region) if row.dns_hostnames else None,
            "Association": public.get(address),
        }
        for address, primary in json.loads(row.addresses)
    ]
    return {
        "NetworkInterfaceId": row.id,
        "OwnerId": row.account,
        "VpcId": row.vpc_id,
        "SubnetId": row.subnet_id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": row.zone_id,
        "Description": row.description,
        "InterfaceType": row.kind,
        "Status": row.status,
        "MacAddress": row.mac,
        "PrivateIpAddress": row.private_ip,
        "PrivateDnsName": private_dns_name(row.private_ip, row.region) if row.dns_hostnames else None,
        "PrivateIpAddresses": addresses,
        **ipv6_shape(addresses6, json.loads(row.prefixes)),
        "Ipv6Address": addresses6[0][0] if addresses6 else None,
        "Association": public.get(row.private_ip),
        "Attachment": _attachment(row) if row.attachment_id else None,
        "Groups": [{"GroupId": id, "GroupName": name} for id, name in json.loads(row.groups)],
        "SourceDestCheck": row.source_dest_check,
        "RequesterId": _SERVICE if row.managed_by else None,
        "RequesterManaged": bool(row.managed_by),
        "Operator": {"Managed": False},
        "TagSet": tag_set(row.tags) or [],
    }


def _attachment(row: Any) -> dict[str, Any]:
    return {
        "AttachmentId": row.attachment_id,
        "AttachTime": row.attach_time,
        "DeleteOnTermination": row.delete_on_termination,
        "DeviceIndex": row.device_index,
        "NetworkCardIndex": 0,
        "InstanceId": row.instance_id or row.detached_from,
        "InstanceOwnerId": _SERVICE if row.managed_by else row.instance_owner or row.account,
        "Status": row.attachment_status,
    }


def _delete_on_termination(values: Sequence[str]) -> ColumnElement[bool]:
    return and_(_attached, matches(NetworkInterface.delete_on_termination, values))


_owner_of_public = case((Address.elastic, Address.account), else_="amazon")
_named = and_(_vpc, Vpc.dns_hostnames)
_private_names: Test = through(private_dns_name_of(NetworkInterface.private_ip, NetworkInterface.region), _named)
_public_names: Test = through(Address.public_ip, and_(_public, _named))

INTERFACES = Listing(
    kind=NetworkInterface,
    columns=(
        NetworkInterface.id, NetworkInterface.account, NetworkInterface.region, NetworkInterface.vpc_id,
        NetworkInterface.subnet_id, NetworkInterface.zone, NetworkInterface.description, NetworkInterface.status,
        NetworkInterface.mac, NetworkInterface.private_ip, NetworkInterface.source_dest_check,
        NetworkInterface.attachment_id, NetworkInterface.attach_time, NetworkInterface.attachment_status,
        NetworkInterface.delete_on_termination, NetworkInterface.device_index, NetworkInterface.instance_id,
        NetworkInterface.detached_from,
        NetworkInterface.kind, NetworkInterface.managed_by,
        select(Zone.zone_id).where(_zone).scalar_subquery().label("zone_id"),
        select(Vpc.dns_hostnames).where(_vpc).scalar_subquery().label("dns_hostnames"),
        _instance_owner.label("instance_owner"),
        _groups.label("groups"), _addresses.label("addresses"),
        _addresses6.label("addresses6"), _prefixes.label("prefixes"),
        public_addresses_of(NetworkInterface.id).label("public"), tags_of(NetworkInterface),
    ),
    shape=_shape,
    ids_forbid_pages="networkInterfaceIds",
    filters={
        "addresses.association.owner-id": through(_owner_of_public, _public),
        "addresses.association.public-ip": through(Address.public_ip, _public),
        "addresses.primary": through(PrivateAddress.is_primary, _private),
        "addresses.private-ip-address": through(PrivateAddress.address, _private),
        "association.allocation-id": through(case((Address.elastic, Address.id)), _public),
        "association.association-id": through(Address.association_id, _public),
        "association.ip-owner-id": through(_owner_of_public, _public),
        "association.public-dns-name": _public_names,
        "association.public-ip": through(Address.public_ip, _public),
        "attachment.attach-time": NetworkInterface.attach_time,
        "attachment.attachment-id": NetworkInterface.attachment_id,
        "attachment.delete-on-termination": _delete_on_termination,
        "attachment.device-index": NetworkInterface.device_index,
        "attachment.instance-id": func.coalesce(NetworkInterface.instance_id, NetworkInterface.detached_from),
        "attachment.instance-owner-id": case(
            (and_(_attached, _managed), _SERVICE),
            (_attached, func.coalesce(_instance_owner, NetworkInterface.account)),
        ),
        "attachment.status": NetworkInterface.attachment_status,
        "availability-zone": NetworkInterface.zone,
        "availability-zone-id": through(Zone.zone_id, _zone),
        "description": NetworkInterface.description,
        "group-id": through(InterfaceGroup.group_id, InterfaceGroup.interface_id == NetworkInterface.id),
        "group-name": through(
            SecurityGroup.name,
            and_(InterfaceGroup.interface_id == NetworkInterface.id, SecurityGroup.id == InterfaceGroup.group_id),
        ),
        "interface-type": NetworkInterface.kind,
        "ipv6-addresses.ipv6-address": through(Ipv6Address.address, _ipv6),
        "mac-address": NetworkInterface.mac,
        "network-interface-id": NetworkInterface.id,
        "operator.managed": constant("false"),
        "operator.principal": constant(""),
        "owner-id": NetworkInterface.account,
        "private-dns-name": _private_names,
        "private-ip-address": NetworkInterface.private_ip,
        "requester-id": case((_managed, _SERVICE)),
        "requester-managed": _managed,
        "source-dest-check": NetworkInterface.source_dest_check,
        "status": NetworkInterface.status,
        "subnet-id": NetworkInterface.subnet_id,
        "vpc-id": NetworkInterface.vpc_id,
    },
)  # fmt: skip


@action
def describe_network_interfaces(
    call: Call,
    *,
    network_interface_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    include_managed_resources: bool = False,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """No service operator manages an interface here, so that to include what such a one manages adds nothing."""
    found, token = describe(call, INTERFACES, network_interface_ids, filters, max_results, next_token)
    return {"NetworkInterfaces": found, "NextToken": token}


@action
def describe_network_interface_attribute(
    call: Call, *, network_interface_id: str, attribute: str | None = None
) -> Result:
    if not attribute:
        raise missing("attribute")
    found, _ = describe(call, INTERFACES, [network_interface_id])
    if attribute == "associatePublicIpAddress":
        asked = select(NetworkInterface.auto_public).where(NetworkInterface.id == network_interface_id)
        value: dict[str, Any] = {"AssociatePublicIpAddress": call.db.scalar(asked)}
    else:
        value = _attribute(found[0].make(), attribute)
    return {"NetworkInterfaceId": network_interface_id, **value}


def _attribute(shape: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name == "description":
        return {"Description": {"Value": shape["Description"]}}
    if name == "groupSet":
        return {"Groups": shape["Groups"]}
    if name == "sourceDestCheck":
        return {"SourceDestCheck": {"Value": shape["SourceDestCheck"]}}
    return {"Attachment": shape["Attachment"]}

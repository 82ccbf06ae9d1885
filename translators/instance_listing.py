"""What an instance looks like to those who describe it, and by what it can be found."""

import json
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import aliased

from engine.instance_names import host_name, other_domain
from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    SecurityGroup,
    VolumeAttachment,
    Vpc,
    Zone,
    boots_from_uefi,
    json_rows,
)
from translators.describe import Listing, tag_set, tags_of
from translators.host_names import private_dns_name
from translators.instance_filters import FILTERS
from translators.network_interfaces import ipv6_shape

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

_group_names = json_rows(
    SecurityGroup.id,
    SecurityGroup.name,
    where=and_(SecurityGroup.id == InterfaceGroup.group_id, InterfaceGroup.interface_id == NetworkInterface.id),
    order=(InterfaceGroup.position,),
    join=InterfaceGroup,
)

_lent = aliased(Address)
_address = json_rows(
    _lent.public_ip,
    _lent.elastic,
    _lent.id,
    _lent.association_id,
    _lent.private_ip,
    where=_lent.interface_id == NetworkInterface.id,
    order=(_lent.elastic.desc(),),
)

_addresses = json_rows(
    PrivateAddress.address,
    PrivateAddress.is_primary,
    where=PrivateAddress.interface_id == NetworkInterface.id,
    order=(PrivateAddress.is_primary.desc(), PrivateAddress.number),
)
_addresses6 = json_rows(
    Ipv6Address.address,
    Ipv6Address.is_primary,
    where=Ipv6Address.interface_id == NetworkInterface.id,
    order=(Ipv6Address.is_primary.desc(), Ipv6Address.position),
)
_prefixes = json_rows(
    InterfacePrefix.cidr, where=InterfacePrefix.interface_id == NetworkInterface.id, order=(InterfacePrefix.cidr,)
)

_interfaces = json_rows(
    NetworkInterface.id,
    NetworkInterface.account,
    NetworkInterface.mac,
    NetworkInterface.private_ip,
    NetworkInterface.subnet_id,
    NetworkInterface.vpc_id,
    NetworkInterface.description,
    NetworkInterface.status,
    NetworkInterface.source_dest_check,
    NetworkInterface.attachment_id,
    NetworkInterface.device_index,
    NetworkInterface.attachment_status,
    NetworkInterface.attach_time,
    NetworkInterface.delete_on_termination,
    _group_names,
    _address,
    _addresses,
    _addresses6,
    _prefixes,
    where=NetworkInterface.instance_id == Instance.id,
    order=(NetworkInterface.device_index,),
)

_devices = json_rows(
    VolumeAttachment.device,
    VolumeAttachment.volume_id,
    VolumeAttachment.state,
    VolumeAttachment.attach_time,
    VolumeAttachment.delete_on_termination,
    where=VolumeAttachment.instance_id == Instance.id,
    order=(VolumeAttachment.guest_device,),
)


def state(name: str) -> dict[str, Any]:
    return {"Code": STATE_CODES[name], "Name": name}


def _shape(row: Any) -> dict[str, Any]:
    """Return EC2's structure of an instance. What EC2 leaves out of a terminated one is left out here."""
    cards = [_card(card, row) for card in json.loads(row.interfaces)]
    primary = cards[0] if cards else {}
    public = (primary.get("Association") or {}).get("PublicIp")
    here = row.state != "terminated"
    return {
        **_identity(row),
        "State": state(row.state),
        "StateTransitionReason": row.transition_reason,
        "StateReason": {"Code": row.state_reason_code, "Message": row.state_reason} if row.state_reason_code else None,
        "Placement": {
            "AvailabilityZone": row.zone, "AvailabilityZoneId": row.zone_id, "GroupName": "", "Tenancy": row.tenancy
        },
        "PrivateDnsName": host_name(row.id, row.private_ip, row.hostname_type, row.region, row.domain or "")
        if here
        else "",
        "PrivateIpAddress": row.private_ip or None,
        "Ipv6Address": next((each["Ipv6Address"] for each in primary.get("Ipv6Addresses", ())), None),
        "PublicDnsName": (public if row.dns_hostnames else None) or "",
        "PublicIpAddress": public,
        "SubnetId": row.subnet_id if here else None,
        "VpcId": row.vpc_id if here else None,
        "NetworkInterfaces": cards,
        "SecurityGroups": primary.get("Groups", []),
        "SourceDestCheck": primary.get("SourceDestCheck"),
        "BlockDeviceMappings": [_device(d) for d in json.loads(row.devices)],
        "Tags": tag_set(row.tags),
        **_options(row),
    }  # fmt: skip


def _identity(row: Any) -> dict[str, Any]:
    return {
        "InstanceId": row.id,
        "ImageId": row.image_id,
        "InstanceType": row.instance_type,
        "AmiLaunchIndex": row.launch_index,
        "Architecture": row.architecture,
        "ClientToken": row.client_token,
        "KeyName": row.key_name or None,
        "LaunchTime": row.launch_time,
        "Platform": row.platform or None,
        "PlatformDetails": "Windows" if row.platform else "Linux/UNIX",
        "ProductCodes": [],
        "UsageOperation": "RunInstances:0002" if row.platform else "RunInstances",
        "UsageOperationUpdateTime": row.usage_time,
        "RootDeviceName": row.root_device_name,
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "BootMode": row.boot_mode or None,
        "CurrentInstanceBootMode": "uefi" if boots_from_uefi(row.boot_mode) else "legacy-bios",
        "EbsOptimized": row.ebs_optimized,
        "EnaSupport": row.ena_support,
    }


def _options(row: Any) -> dict[str, Any]:
    return {
        "Monitoring": {"State": "enabled" if row.monitoring else "disabled"},
        "CpuOptions": {"CoreCount": row.vcpus // row.threads_per_core, "ThreadsPerCore": row.threads_per_core},
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "HibernationOptions": {"Configured": False},
        "EnclaveOptions": {"Enabled": False},
        "MetadataOptions": metadata_options(row),
        "PrivateDnsNameOptions": {
            "HostnameType": row.hostname_type,
            "EnableResourceNameDnsARecord": row.dns_a_record,
            "EnableResourceNameDnsAAAARecord": row.dns_aaaa_record,
        },
        "MaintenanceOptions": {"AutoRecovery": row.auto_recovery, "RebootMigration": "default"},
        "NetworkPerformanceOptions": {"BandwidthWeighting": "default"},
        "Operator": {"Managed": False},
    }


def metadata_options(row: Any) -> dict[str, Any]:
    return {
        "State": "applied",
        "HttpTokens": row.http_tokens,
        "HttpPutResponseHopLimit": row.http_hop_limit,
        "HttpEndpoint": row.http_endpoint,
        "HttpProtocolIpv6": row.http_ipv6,
        "InstanceMetadataTags": row.metadata_tags,
    }


def _device(values: list[Any]) -> dict[str, Any]:
    device, volume, status, time, delete = values
    ebs = {"AttachTime": time, "DeleteOnTermination": bool(delete), "Status": status, "VolumeId": volume}
    return {"DeviceName": device, "Ebs": ebs}


def _card(values: list[Any], row: Any) -> dict[str, Any]:
    (id, owner, mac, address, subnet, vpc, description, status, check, attachment, index, attached, time, delete,
     groups, lent, addresses, addresses6, prefixes) = values  # fmt: skip
    public = {item[4]: _association(item, row) for item in reversed(_loaded(lent))}
    association = public.get(address)
    name = private_dns_name(address, row.region)
    return {
        "NetworkInterfaceId": id,
        "MacAddress": mac,
        "PrivateIpAddress": address,
        "PrivateDnsName": name,
        "SubnetId": subnet,
        "VpcId": vpc,
        "OwnerId": owner,
        "Description": description,
        "Status": status,
        "SourceDestCheck": bool(check),
        "InterfaceType": "interface",
        "Groups": [{"GroupId": g, "GroupName": n} for g, n in _loaded(groups)],
        "Association": association,
        **ipv6_shape(_loaded(addresses6), _loaded(prefixes)),
        "Attachment": {
            "AttachmentId": attachment,
            "AttachTime": time,
            "DeleteOnTermination": bool(delete),
            "DeviceIndex": index,
            "NetworkCardIndex": 0,
            "Status": attached,
        },
        "PrivateIpAddresses": [
            {
                "Primary": bool(primary),
                "PrivateDnsName": private_dns_name(text, row.region),
                "PrivateIpAddress": text,
                "Association": public.get(text),
            }
            for text, primary in _loaded(addresses)
        ],
        "Operator": {"Managed": False},
    }


def _loaded(value: Any) -> list[Any]:
    """JSON in JSON: SQLite nests it as text or as a list, by how the subquery was flattened."""
    found: list[Any] = json.loads(value) if isinstance(value, str) else value
    return found


def _association(lent: list[Any], row: Any) -> dict[str, Any]:
    """There is no public DNS here, so the name that always resolves is the address itself."""
    public, elastic, *_ = lent
    return {
        "IpOwnerId": row.account if elastic else "amazon",
        "PublicDnsName": public if row.dns_hostnames else "",
        "PublicIp": public,
    }


# The columns of the instance one by one, not the entity: a plain row is hashable and costs no identity map.
_COLUMNS = tuple(
    getattr(Instance, name)
    for name in (
        "id", "account", "region", "image_id", "instance_type", "launch_index", "architecture", "client_token",
        "key_name", "launch_time", "platform", "usage_time", "root_device_name", "boot_mode", "ebs_optimized",
        "ena_support", "state", "transition_reason", "state_reason_code", "state_reason", "zone", "tenancy",
        "private_ip", "subnet_id", "vpc_id", "monitoring", "vcpus", "threads_per_core", "http_tokens",
        "http_hop_limit", "http_endpoint", "http_ipv6", "metadata_tags", "hostname_type", "dns_a_record",
        "dns_aaaa_record", "auto_recovery", "reservation_id",
    )
)  # fmt: skip

INSTANCES = Listing(
    kind=Instance,
    columns=(
        *_COLUMNS,
        _interfaces.label("interfaces"),
        _devices.label("devices"),
        tags_of(Instance),
        select(Zone.zone_id).where(Zone.name == Instance.zone).scalar_subquery().label("zone_id"),
        func.coalesce(select(Vpc.dns_hostnames).where(Vpc.id == Instance.vpc_id).scalar_subquery(), False).label(
            "dns_hostnames"
        ),
        other_domain().scalar_subquery().label("domain"),
    ),
    shape=_shape,
    filters=FILTERS,
    order=(Instance.reservation_id, Instance.id),
    ids_forbid_pages="instancesSet",
)

"""The filters of DescribeInstances: every name that EC2's documentation lists."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, String, and_, case, exists, literal, or_, select

from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    SecurityGroup,
    Tag,
    VolumeAttachment,
    Vpc,
    Zone,
)
from translators.filters import Filters, constant, matches, through
from translators.host_names import instance_name_of, private_dns_name_of

_card = NetworkInterface.instance_id == Instance.id
_disk = VolumeAttachment.instance_id == Instance.id
_private = and_(_card, PrivateAddress.interface_id == NetworkInterface.id)
_ipv6 = and_(_card, Ipv6Address.interface_id == NetworkInterface.id)
_prefix = and_(_card, InterfacePrefix.interface_id == NetworkInterface.id)
_of_ipv6 = InterfacePrefix.cidr.contains(":")
_public = and_(_card, Address.interface_id == NetworkInterface.id)
_group = and_(_card, InterfaceGroup.interface_id == NetworkInterface.id, SecurityGroup.id == InterfaceGroup.group_id)
_card_tag = and_(_card, Tag.resource_id == NetworkInterface.id)

_card_name = private_dns_name_of(NetworkInterface.private_ip, NetworkInterface.region)

_firmware = case((Instance.boot_mode.startswith("uefi"), "uefi"), else_="legacy-bios")

_STATES = {
    "0": "pending",
    "16": "running",
    "32": "shutting-down",
    "48": "terminated",
    "64": "stopping",
    "80": "stopped",
}


def state_codes(values: Sequence[str]) -> ColumnElement[bool]:
    return Instance.state.in_([_STATES[v] for v in values if v in _STATES])


def _public_dns(values: Sequence[str]) -> ColumnElement[bool]:
    """A public name is the address itself, in a VPC with DNS host names."""
    named = and_(_public, Vpc.id == NetworkInterface.vpc_id, Vpc.dns_hostnames.is_(True))
    return exists().where(named, matches(Address.public_ip, values))


def _monitoring(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(
        and_(Instance.monitoring.is_(True), matches(literal("enabled", String), values)),
        and_(Instance.monitoring.is_(False), matches(literal("disabled", String), values)),
    )


def _platform_details(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(
        and_(Instance.platform == "", matches(literal("Linux/UNIX", String), values)),
        and_(Instance.platform != "", matches(literal("Windows", String), values)),
    )


def _usage_operation(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(
        and_(Instance.platform == "", matches(literal("RunInstances", String), values)),
        and_(Instance.platform != "", matches(literal("RunInstances:0002", String), values)),
    )


def _zone_id(values: Sequence[str]) -> ColumnElement[bool]:
    return Instance.zone.in_(select(Zone.name).where(matches(Zone.zone_id, values)))


def _ip_owner(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(
        exists().where(_public, Address.elastic.is_(True), matches(Address.account, values)),
        and_(exists().where(_public, Address.elastic.is_(False)), matches(literal("amazon", String), values)),
    )


_NEVER = constant("\0")
"""What no instance here has: the filter is known and matches nothing."""

_INTERFACE: Filters = {
    "addresses.association.allocation-id": through(Address.id, and_(_public, Address.elastic.is_(True))),
    "addresses.association.association-id": through(Address.association_id, _public),
    "addresses.association.carrier-ip": _NEVER,
    "addresses.association.customer-owned-ip": _NEVER,
    "addresses.association.ip-owner-id": _ip_owner,
    "addresses.association.public-dns-name": _public_dns,
    "addresses.association.public-ip": through(Address.public_ip, _public),
    "addresses.primary": through(PrivateAddress.is_primary, _private),
    "addresses.private-dns-name": through(_card_name, _card),
    "addresses.private-ip-address": through(PrivateAddress.address, _private),
    "association.allocation-id": through(Address.id, and_(_public, Address.elastic.is_(True))),
    "association.association-id": through(Address.association_id, _public),
    "association.carrier-ip": _NEVER,
    "association.customer-owned-ip": _NEVER,
    "association.ip-owner-id": _ip_owner,
    "association.public-dns-name": _public_dns,
    "association.public-ip": through(Address.public_ip, _public),
    "attachment.attach-time": through(NetworkInterface.attach_time, _card),
    "attachment.attachment-id": through(NetworkInterface.attachment_id, _card),
    "attachment.delete-on-termination": through(NetworkInterface.delete_on_termination, _card),
    "attachment.device-index": through(NetworkInterface.device_index, _card),
    "attachment.instance-id": through(NetworkInterface.instance_id, _card),
    "attachment.instance-owner-id": through(NetworkInterface.account, _card),
    "attachment.network-card-index": constant("0"),
    "attachment.status": through(NetworkInterface.attachment_status, _card),
    "availability-zone": through(NetworkInterface.zone, _card),
    "deny-all-igw-traffic": constant("false"),
    "description": through(NetworkInterface.description, _card),
    "group-id": through(SecurityGroup.id, _group),
    "group-name": through(SecurityGroup.name, _group),
    "ipv4-prefixes.ipv4-prefix": through(InterfacePrefix.cidr, and_(_prefix, ~_of_ipv6)),
    "ipv6-address": through(Ipv6Address.address, _ipv6),
    "ipv6-addresses.ipv6-address": through(Ipv6Address.address, _ipv6),
    "ipv6-addresses.is-primary-ipv6": through(Ipv6Address.is_primary, _ipv6),
    "ipv6-native": constant("false"),
    "ipv6-prefixes.ipv6-prefix": through(InterfacePrefix.cidr, and_(_prefix, _of_ipv6)),
    "mac-address": through(NetworkInterface.mac, _card),
    "network-interface-id": through(NetworkInterface.id, _card),
    "operator.managed": constant("false"),
    "operator.principal": _NEVER,
    "outpost-arn": _NEVER,
    "owner-id": through(NetworkInterface.account, _card),
    "private-dns-name": through(_card_name, _card),
    "private-ip-address": through(NetworkInterface.private_ip, _card),
    "public-dns-name": _public_dns,
    "requester-id": _NEVER,
    "requester-managed": constant("false"),
    "status": through(NetworkInterface.status, _card),
    "source-dest-check": through(NetworkInterface.source_dest_check, _card),
    "subnet-id": through(NetworkInterface.subnet_id, _card),
    "tag-key": through(Tag.key, _card_tag),
    "tag-value": through(Tag.value, _card_tag),
    "vpc-id": through(NetworkInterface.vpc_id, _card),
}

FILTERS: Filters = {
    "affinity": _NEVER,
    "architecture": Instance.architecture,
    "availability-zone": Instance.zone,
    "availability-zone-id": _zone_id,
    "block-device-mapping.attach-time": through(VolumeAttachment.attach_time, _disk),
    "block-device-mapping.delete-on-termination": through(VolumeAttachment.delete_on_termination, _disk),
    "block-device-mapping.device-name": through(VolumeAttachment.device, _disk),
    "block-device-mapping.status": through(VolumeAttachment.state, _disk),
    "block-device-mapping.volume-id": through(VolumeAttachment.volume_id, _disk),
    "boot-mode": Instance.boot_mode,
    "capacity-reservation-id": _NEVER,
    "capacity-reservation-specification.capacity-reservation-preference": constant("open"),
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id": _NEVER,
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn": _NEVER,
    "client-token": Instance.client_token,
    "current-instance-boot-mode": _firmware,
    "dns-name": _public_dns,
    "ebs-optimized": Instance.ebs_optimized,
    "ena-support": Instance.ena_support,
    "enclave-options.enabled": constant("false"),
    "hibernation-options.configured": constant("false"),
    "host-id": _NEVER,
    "hypervisor": constant("xen"),
    "iam-instance-profile.arn": _NEVER,
    "iam-instance-profile.id": _NEVER,
    "iam-instance-profile.name": _NEVER,
    "image-id": Instance.image_id,
    "instance-id": Instance.id,
    "instance-lifecycle": _NEVER,
    "instance-state-code": state_codes,
    "instance-state-name": Instance.state,
    "instance-type": Instance.instance_type,
    "instance.group-id": through(SecurityGroup.id, _group),
    "instance.group-name": through(SecurityGroup.name, _group),
    "ip-address": through(Address.public_ip, _public),
    "ipv6-address": through(Ipv6Address.address, _ipv6),
    "kernel-id": _NEVER,
    "key-name": Instance.key_name,
    "launch-index": Instance.launch_index,
    "launch-time": Instance.launch_time,
    "maintenance-options.auto-recovery": Instance.auto_recovery,
    "metadata-options.http-endpoint": Instance.http_endpoint,
    "metadata-options.http-protocol-ipv4": constant("enabled"),
    "metadata-options.http-protocol-ipv6": Instance.http_ipv6,
    "metadata-options.http-put-response-hop-limit": Instance.http_hop_limit,
    "metadata-options.http-tokens": Instance.http_tokens,
    "metadata-options.instance-metadata-tags": Instance.metadata_tags,
    "metadata-options.state": constant("applied"),
    "monitoring-state": _monitoring,
    **{f"network-interface.{name}": test for name, test in _INTERFACE.items()},
    "network-performance-options.bandwidth-weighting": constant("default"),
    "operator.managed": constant("false"),
    "operator.principal": _NEVER,
    "outpost-arn": _NEVER,
    "owner-id": Instance.account,
    "placement-group-name": _NEVER,
    "placement-partition-number": _NEVER,
    "platform": Instance.platform,
    "platform-details": _platform_details,
    "private-dns-name": instance_name_of(),
    "private-dns-name-options.enable-resource-name-dns-a-record": Instance.dns_a_record,
    "private-dns-name-options.enable-resource-name-dns-aaaa-record": Instance.dns_aaaa_record,
    "private-dns-name-options.hostname-type": Instance.hostname_type,
    "private-ip-address": Instance.private_ip,
    "product-code": _NEVER,
    "product-code.type": _NEVER,
    "ramdisk-id": _NEVER,
    "reason": Instance.transition_reason,
    "requester-id": Instance.account,
    "reservation-id": Instance.reservation_id,
    "root-device-name": Instance.root_device_name,
    "root-device-type": constant("ebs"),
    "source-dest-check": through(NetworkInterface.source_dest_check, and_(_card, NetworkInterface.device_index == 0)),
    "spot-instance-request-id": _NEVER,
    "state-reason-code": Instance.state_reason_code,
    "state-reason-message": Instance.state_reason,
    "subnet-id": Instance.subnet_id,
    "tenancy": Instance.tenancy,
    "tpm-support": _NEVER,
    "usage-operation": _usage_operation,
    "usage-operation-update-time": Instance.usage_time,
    "virtualization-type": constant("hvm"),
    "vpc-id": Instance.vpc_id,
}

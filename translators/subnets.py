"""Subnets: a part of a VPC's range, in one zone."""

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, NoReturn

from sqlalchemy import delete, exists, func, literal, select

from engine import tasks
from engine.default_vpc import make_default_subnet, make_subnet
from engine.flow_logs.rows import forget_logs
from engine.ipv6_addresses import range_of
from engine.state import (
    CidrReservation,
    NetworkAclAssociation,
    NetworkInterface,
    RouteTableAssociation,
    Subnet,
    SubnetCidrBlock,
    Vpc,
    VpcCidrBlock,
    Zone,
    json_rows,
)
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, invalid, missing, refuse, unsupported
from translators.filters import constant, through
from translators.find import find
from translators.quotas import check_quota
from translators.registry import Call, Result, action
from translators.subnet_ranges import add_range6, checked_range6, range6_shape
from translators.vpcs import network

_arn = literal("arn:aws:ec2:") + Subnet.region + ":" + Subnet.account + ":subnet/" + Subnet.id
_zone = Zone.name == Subnet.zone
_zone_id = select(Zone.zone_id).where(_zone).scalar_subquery()
_block = SubnetCidrBlock.subnet_id == Subnet.id
_ranges6 = json_rows(SubnetCidrBlock.id, SubnetCidrBlock.cidr, SubnetCidrBlock.state, where=_block)


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SubnetId": row.id,
        "SubnetArn": row.arn,
        "OwnerId": row.account,
        "VpcId": row.vpc_id,
        "State": row.state,
        "CidrBlock": row.cidr,
        "Ipv6CidrBlockAssociationSet": [range6_shape(block) for block in json.loads(row.ranges6)],
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": row.zone_id,
        "AvailableIpAddressCount": row.available_addresses,
        "DefaultForAz": row.default_for_az,
        "MapPublicIpOnLaunch": row.map_public_ip,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": row.assign_ipv6,
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": row.hostname_type,
            "EnableResourceNameDnsARecord": row.dns_a_record,
            "EnableResourceNameDnsAAAARecord": row.dns_aaaa_record,
        },
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": tag_set(row.tags),
    }


_NAME_OPTIONS = "private-dns-name-options-on-launch"

SUBNETS = Listing(
    kind=Subnet,
    columns=(
        Subnet.id, Subnet.account, Subnet.vpc_id, Subnet.state, Subnet.cidr, Subnet.zone, Subnet.available_addresses,
        Subnet.default_for_az, Subnet.map_public_ip, Subnet.hostname_type, Subnet.dns_a_record, Subnet.dns_aaaa_record,
        Subnet.assign_ipv6, _ranges6.label("ranges6"),
        _arn.label("arn"), _zone_id.label("zone_id"), tags_of(Subnet),
    ),
    shape=_shape,
    filters={
        "availability-zone": Subnet.zone,
        "availabilityZone": Subnet.zone,
        "availability-zone-id": through(Zone.zone_id, _zone),
        "availabilityZoneId": through(Zone.zone_id, _zone),
        "available-ip-address-count": Subnet.available_addresses,
        "cidr": Subnet.cidr,
        "cidr-block": Subnet.cidr,
        "cidrBlock": Subnet.cidr,
        "customer-owned-ipv4-pool": constant(""),
        "default-for-az": Subnet.default_for_az,
        "defaultForAz": Subnet.default_for_az,
        "enable-dns64": constant("false"),
        "enable-lni-at-device-index": constant(""),
        "ipv6-cidr-block-association.association-id": through(SubnetCidrBlock.id, _block),
        "ipv6-cidr-block-association.ipv6-cidr-block": through(SubnetCidrBlock.cidr, _block),
        "ipv6-cidr-block-association.state": through(SubnetCidrBlock.state, _block),
        "ipv6-native": constant("false"),
        "map-customer-owned-ip-on-launch": constant("false"),
        "map-public-ip-on-launch": Subnet.map_public_ip,
        "outpost-arn": constant(""),
        "owner-id": Subnet.account,
        f"{_NAME_OPTIONS}.hostname-type": Subnet.hostname_type,
        f"{_NAME_OPTIONS}.enable-resource-name-dns-a-record": Subnet.dns_a_record,
        f"{_NAME_OPTIONS}.enable-resource-name-dns-aaaa-record": Subnet.dns_aaaa_record,
        "state": Subnet.state,
        "subnet-arn": _arn,
        "subnet-id": Subnet.id,
        "vpc-id": Subnet.vpc_id,
    },
)  # fmt: skip


@action
def describe_subnets(
    call: Call,
    *,
    subnet_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, SUBNETS, subnet_ids, filters, max_results, next_token)
    return {"Subnets": found, "NextToken": token}


_NATIVE = "A subnet has a range of IPv4 addresses, and may have one of IPv6 besides."


@action
def create_subnet(
    call: Call,
    *,
    vpc_id: str,
    cidr_block: str | None = None,
    ipv6_cidr_block: str | None = None,
    availability_zone: str | None = None,
    availability_zone_id: str | None = None,
    ipv6_native: bool = False,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    if ipv6_native:
        raise unsupported("Ipv6Native", _NATIVE)
    if not cidr_block:
        raise missing("cidrBlock")
    vpc = find(call, Vpc, vpc_id)
    cidr = network("cidrBlock", cidr_block)
    _check_range(call, vpc, cidr, cidr_block)
    cidr6 = checked_range6(call, vpc.id, ipv6_cidr_block) if ipv6_cidr_block else ""
    check_quota(call, "subnets per VPC", 1 + (call.db.scalar(select(func.count()).where(Subnet.vpc_id == vpc.id)) or 0))
    zone = _zone_named(call, availability_zone, availability_zone_id)
    subnet = make_subnet(call.db, call.owner, vpc, zone, str(cidr))
    if cidr6:
        add_range6(call, subnet, cidr6)
    tags.put_at_creation(call, tag_specifications, {"subnet": [subnet.id]})
    tasks.start(call.db, vpc.id, "sync_network", call.region)
    return {"Subnet": rows_of(call, SUBNETS, [subnet.id])[0]}


def _check_range(call: Call, vpc: Vpc, cidr: IPv4Network, asked: str) -> None:
    """Refuse a range that is not within the VPC's, or overlaps that of another subnet."""
    blocks = call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc.id))
    within = any(cidr.subnet_of(IPv4Network(block)) for block in blocks if ":" not in block)
    if not 16 <= cidr.prefixlen <= 28 or not within:
        refuse("InvalidSubnet.Range", f"The CIDR '{asked}' is invalid.")
    for other in call.db.scalars(select(Subnet.cidr).where(Subnet.vpc_id == vpc.id)):
        if cidr.overlaps(IPv4Network(other)):
            refuse("InvalidSubnet.Conflict", f"The CIDR '{asked}' conflicts with another subnet")


def _zone_named(call: Call, name: str | None, zone_id: str | None) -> str:
    """Return the zone that a request names, or the region's first."""
    if name and zone_id:
        raise combination("The parameter availabilityZone cannot be used with the parameter availabilityZoneId")
    zones = select(Zone.name, Zone.zone_id).where(Zone.region == call.region).order_by(Zone.name)
    known = call.db.execute(zones).tuples().all()
    if not name and not zone_id:
        return known[0][0]
    for its_name, its_id in known:
        if name == its_name or zone_id == its_id:
            return its_name
    listed = ", ".join(its_name if name else its_id for its_name, its_id in known)
    why = f"Subnets can currently only be created in the following availability zones: {listed}."
    raise invalid("availabilityZone" if name else "availabilityZoneId", name or zone_id, why)


@action
def create_default_subnet(
    call: Call,
    *,
    availability_zone: str | None = None,
    availability_zone_id: str | None = None,
    ipv6_native: bool = False,
) -> Result:
    if ipv6_native:
        raise unsupported("Ipv6Native", _NATIVE)
    if not availability_zone and not availability_zone_id:
        raise missing("availabilityZone")
    zone = _zone_named(call, availability_zone, availability_zone_id)
    vpc = call.db.scalar(select(Vpc).filter_by(**call.owner, is_default=True).with_for_update())
    if vpc is None:
        raise Ec2Error("DefaultVpcDoesNotExist", "No default VPC exists for this account in this region.")
    held = call.db.scalar(select(Subnet.id).filter_by(vpc_id=vpc.id, zone=zone, default_for_az=True))
    if held:
        refuse("DefaultSubnetAlreadyExistsInAvailabilityZone", f"'{held}' is already the default subnet in {zone}.")
    try:
        subnet = make_default_subnet(call.db, call.owner, vpc, zone)
    except ValueError:
        text = f"The default VPC '{vpc.id}' has no free /20 CIDR block for a default subnet."
        raise Ec2Error("InvalidSubnet.Conflict", text) from None
    tasks.start(call.db, vpc.id, "sync_network", call.region)
    return {"Subnet": rows_of(call, SUBNETS, [subnet.id])[0]}


@action
def delete_subnet(call: Call, *, subnet_id: str) -> Result:
    subnet = find(call, Subnet, subnet_id)
    if call.db.scalar(select(exists().where(NetworkInterface.subnet_id == subnet_id))):
        refuse("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    for association in (NetworkAclAssociation, RouteTableAssociation):
        call.db.execute(delete(association).where(association.subnet_id == subnet_id))
    reservations = call.db.scalars(select(CidrReservation.id).where(CidrReservation.subnet_id == subnet_id)).all()
    tags.forget(call, subnet_id, *reservations)
    forget_logs(call.db, subnet_id)
    for part in (CidrReservation, SubnetCidrBlock):
        call.db.execute(delete(part).where(part.subnet_id == subnet_id))
    call.db.delete(subnet)
    tasks.start(call.db, subnet.vpc_id, "sync_network", call.region)
    return {}


_NEVER = {
    "enable_dns64": ("EnableDns64", "No gateway here translates between IPv6 and IPv4."),
    "map_customer_owned_ip_on_launch": ("MapCustomerOwnedIpOnLaunch", ""),
}
"""What is false of every subnet, and may only be set to that: the parameter's name, and why."""


@action
def modify_subnet_attribute(
    call: Call,
    *,
    subnet_id: str,
    map_public_ip_on_launch: dict[str, bool] | None = None,
    private_dns_hostname_type_on_launch: str | None = None,
    enable_resource_name_dns_a_record_on_launch: dict[str, bool] | None = None,
    enable_resource_name_dns_aaaa_record_on_launch: dict[str, bool] | None = None,
    assign_ipv6_address_on_creation: dict[str, bool] | None = None,
    enable_dns64: dict[str, bool] | None = None,
    map_customer_owned_ip_on_launch: dict[str, bool] | None = None,
) -> Result:
    hostname_type = private_dns_hostname_type_on_launch
    given = _given(
        {
            "map_public_ip": map_public_ip_on_launch,
            "hostname_type": {"Value": hostname_type} if hostname_type else None,
            "dns_a_record": enable_resource_name_dns_a_record_on_launch,
            "dns_aaaa_record": enable_resource_name_dns_aaaa_record_on_launch,
            "assign_ipv6": assign_ipv6_address_on_creation,
            "enable_dns64": enable_dns64,
            "map_customer_owned_ip_on_launch": map_customer_owned_ip_on_launch,
        }
    )
    subnet = find(call, Subnet, subnet_id)
    for column, value in given.items():
        if column == "assign_ipv6" and value and not range_of(call.db, subnet_id):
            _refuse_without_ipv6(subnet_id)
        if column not in _NEVER:
            setattr(subnet, column, value)
        elif value:
            raise unsupported(*_NEVER[column])
    return {}


def _refuse_without_ipv6(subnet_id: str) -> NoReturn:
    text = (
        "Invalid value 'true' for assign-ipv6-address-on-creation. Cannot set assign-ipv6-address-on-creation to true"
    )
    refuse(
        "InvalidParameterValue", f"{text} unless the subnet ({subnet_id}) has an IPv6 CIDR block associated with it."
    )


def _given(asked: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return the one attribute that a request sets."""
    given = {column: value["Value"] for column, value in asked.items() if value and "Value" in value}
    if len(given) != 1:
        raise combination("Only one subnet attribute can be modified at a time.") if given else missing("attribute")
    return given

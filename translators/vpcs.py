"""VPCs: an address range of one's own."""

import json
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any

from sqlalchemy import and_, exists, func, literal, select

from engine import tasks
from engine.addresses import Exhausted
from engine.default_vpc import make_default_vpc, make_vpc
from engine.flow_logs.rows import forget_logs
from engine.peerings import end_all_of
from engine.state import (
    EgressGateway,
    Endpoint,
    InternetGateway,
    NetworkAcl,
    NetworkAclEntry,
    NetworkInterface,
    Peering,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
    VpcCidrBlock,
    json_rows,
)
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, invalid, missing
from translators.filters import through
from translators.find import find
from translators.quotas import check_quota
from translators.registry import Call, Result, action
from translators.vpc_ranges import block_shape, check_size, give_range6, refuse_border_group

_cidrs = json_rows(
    VpcCidrBlock.id, VpcCidrBlock.cidr, VpcCidrBlock.state,
    where=VpcCidrBlock.vpc_id == Vpc.id, order=(VpcCidrBlock.cidr,),
)  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    held = sorted(json.loads(row.cidrs), key=lambda block: block[1] != row.cidr)
    blocks = [block_shape(block, row.region) for block in held]
    return {
        "VpcId": row.id,
        "OwnerId": row.account,
        "State": row.state,
        "CidrBlock": row.cidr,
        "CidrBlockAssociationSet": [block for block in blocks if "CidrBlock" in block],
        "Ipv6CidrBlockAssociationSet": [block for block in blocks if "Ipv6CidrBlock" in block] or None,
        "DhcpOptionsId": row.dhcp_options_id,
        "InstanceTenancy": row.tenancy,
        "IsDefault": row.is_default,
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": tag_set(row.tags),
    }


_of_ipv6 = VpcCidrBlock.cidr.contains(":")
_block = and_(VpcCidrBlock.vpc_id == Vpc.id, ~_of_ipv6)
_block6 = and_(VpcCidrBlock.vpc_id == Vpc.id, _of_ipv6)

VPCS = Listing(
    kind=Vpc,
    columns=(
        Vpc.id, Vpc.account, Vpc.region, Vpc.state, Vpc.cidr, Vpc.dhcp_options_id, Vpc.tenancy, Vpc.is_default,
        _cidrs.label("cidrs"), tags_of(Vpc),
    ),
    shape=_shape,
    filters={
        "cidr": Vpc.cidr,
        "cidr-block": Vpc.cidr,
        "cidrBlock": Vpc.cidr,
        "cidr-block-association.association-id": through(VpcCidrBlock.id, _block),
        "cidr-block-association.cidr-block": through(VpcCidrBlock.cidr, _block),
        "cidr-block-association.state": through(VpcCidrBlock.state, _block),
        "dhcp-options-id": Vpc.dhcp_options_id,
        "ipv6-cidr-block-association.association-id": through(VpcCidrBlock.id, _block6),
        "ipv6-cidr-block-association.ipv6-cidr-block": through(VpcCidrBlock.cidr, _block6),
        "ipv6-cidr-block-association.ipv6-pool": through(literal("Amazon"), _block6),
        "ipv6-cidr-block-association.state": through(VpcCidrBlock.state, _block6),
        "is-default": Vpc.is_default,
        "isDefault": Vpc.is_default,
        "owner-id": Vpc.account,
        "state": Vpc.state,
        "vpc-id": Vpc.id,
    },
)  # fmt: skip


@action
def describe_vpcs(
    call: Call,
    *,
    vpc_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, VPCS, vpc_ids, filters, max_results, next_token)
    return {"Vpcs": found, "NextToken": token}


@action
def create_vpc(
    call: Call,
    *,
    cidr_block: str | None = None,
    amazon_provided_ipv6_cidr_block: bool = False,
    ipv6_cidr_block_network_border_group: str | None = None,
    instance_tenancy: str = "default",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    if not cidr_block:
        raise missing("cidrBlock")
    cidr = network("cidrBlock", cidr_block)
    check_size(cidr, cidr_block)
    check_quota(
        call, "vpcs", 1 + (call.db.scalar(select(func.count()).select_from(Vpc).filter_by(**_owner(call))) or 0)
    )
    try:
        vpc = make_vpc(call.db, call.settings, _owner(call), str(cidr), tenancy=instance_tenancy)
    except Exhausted as error:
        raise Ec2Error("VpcLimitExceeded", f"The maximum number of VPCs has been reached: no free {error}.") from None
    if amazon_provided_ipv6_cidr_block:
        give_range6(call, vpc, ipv6_cidr_block_network_border_group)
    else:
        refuse_border_group(ipv6_cidr_block_network_border_group)
    tags.put_at_creation(call, tag_specifications, {"vpc": [vpc.id]})
    return {"Vpc": rows_of(call, VPCS, [vpc.id])[0] | {"State": "pending"}}


def network(name: str, text: str) -> IPv4Network:
    """Return the CIDR that a parameter gives, its host bits cleared as EC2 does; refuse what is none."""
    try:
        if "/" not in text:
            raise ValueError
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise invalid(name, text, "This is not a valid CIDR block.") from None


def _owner(call: Call) -> dict[str, str]:
    return {"account": call.account, "region": call.region}


@action
def create_default_vpc(call: Call) -> Result:
    held = call.db.scalar(select(Vpc.id).filter_by(**_owner(call), is_default=True))
    if held:
        raise Ec2Error(
            "DefaultVpcAlreadyExists", f"A Default VPC already exists for this account in this region: {held}"
        )
    try:
        vpc = make_default_vpc(call.db, call.settings, _owner(call))
    except Exhausted as error:
        raise Ec2Error("VpcLimitExceeded", f"The maximum number of VPCs has been reached: no free {error}.") from None
    return {"Vpc": rows_of(call, VPCS, [vpc.id])[0] | {"State": "pending"}}


@action
def delete_vpc(call: Call, *, vpc_id: str) -> Result:
    """Delete an empty VPC with what it was born with; anything else that is in it is a DependencyViolation.

    Its peering connections go with it, and so do its own requests for some.
    """
    vpc = find(call, Vpc, vpc_id)
    if _has_dependants(call, vpc):
        raise Ec2Error("DependencyViolation", f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
    end_all_of(call.db, vpc)
    groups = call.db.scalars(select(SecurityGroup).filter_by(vpc_id=vpc_id)).all()
    tables = call.db.scalars(select(RouteTable).filter_by(vpc_id=vpc_id)).all()
    acls = call.db.scalars(select(NetworkAcl).filter_by(vpc_id=vpc_id)).all()
    rules = select(SecurityGroupRule).where(SecurityGroupRule.group_id.in_([group.id for group in groups]))
    made: tuple[Any, ...] = (*groups, *tables, *acls)
    forget_logs(call.db, vpc_id)
    tags.forget(call, vpc_id, *(row.id for row in (*made, *call.db.scalars(rules))))
    children: list[tuple[Any, Any]] = [
        (SecurityGroupRule.group_id, [g.id for g in groups]),
        (Route.route_table_id, [t.id for t in tables]),
        (RouteTableAssociation.route_table_id, [t.id for t in tables]),
        (NetworkAclEntry.acl_id, [a.id for a in acls]),
        (VpcCidrBlock.vpc_id, [vpc_id]),
    ]
    for column, owners in children:
        for row in call.db.scalars(select(column.class_).where(column.in_(owners))):
            call.db.delete(row)
    call.db.flush()
    for row in made:
        call.db.delete(row)
    call.db.flush()
    call.db.delete(vpc)
    tasks.start(call.db, vpc_id, "remove_network", call.region)
    for group in groups:
        tasks.start(call.db, group.id, "remove_group", call.region)
    return {}


def _has_dependants(call: Call, vpc: Vpc) -> bool:
    own = (
        exists().where(Subnet.vpc_id == vpc.id),
        exists().where(NetworkInterface.vpc_id == vpc.id),
        exists().where(InternetGateway.vpc_id == vpc.id),
        exists().where(Endpoint.vpc_id == vpc.id),
        exists().where(EgressGateway.vpc_id == vpc.id),
        exists().where(SecurityGroup.vpc_id == vpc.id, SecurityGroup.name != "default"),
        exists().where(NetworkAcl.vpc_id == vpc.id, NetworkAcl.is_default.is_(False)),
        exists().where(RouteTableAssociation.vpc_id == vpc.id, RouteTableAssociation.subnet_id != ""),
        # "You cannot delete a VPC for which you have a pending-acceptance request from a VPC in another account."
        exists().where(
            Peering.accepter_vpc_id == vpc.id, Peering.status == "pending-acceptance", Peering.account != vpc.account
        ),
    )
    tables = call.db.scalars(select(RouteTable.id).where(RouteTable.vpc_id == vpc.id)).all()
    return len(tables) > 1 or any(call.db.scalar(select(test)) for test in own)


_ATTRIBUTES = {
    "enableDnsSupport": ("EnableDnsSupport", "dns_support"),
    "enableDnsHostnames": ("EnableDnsHostnames", "dns_hostnames"),
    "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", "usage_metrics"),
}


@action
def describe_vpc_attribute(call: Call, *, attribute: str, vpc_id: str) -> Result:
    name, column = _ATTRIBUTES[attribute]
    return {"VpcId": vpc_id, name: {"Value": getattr(find(call, Vpc, vpc_id), column)}}


@action
def modify_vpc_attribute(
    call: Call,
    *,
    vpc_id: str,
    enable_dns_support: dict[str, bool] | None = None,
    enable_dns_hostnames: dict[str, bool] | None = None,
    enable_network_address_usage_metrics: dict[str, bool] | None = None,
) -> Result:
    vpc = find(call, Vpc, vpc_id)
    asked = {
        "dns_support": enable_dns_support,
        "dns_hostnames": enable_dns_hostnames,
        "usage_metrics": enable_network_address_usage_metrics,
    }
    given = {column: value["Value"] for column, value in asked.items() if value and "Value" in value}
    if len(given) != 1:
        raise combination("Exactly one attribute must be given.") if given else missing("attribute")
    for column, value in given.items():
        setattr(vpc, column, value)
    return {}

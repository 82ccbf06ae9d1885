"""Ranges of a VPC: more of IPv4, and those of IPv6, associated and disassociated."""

from ipaddress import IPv4Network, IPv6Network

from sqlalchemy import select

from engine.state import Subnet, SubnetCidrBlock, Vpc, VpcCidrBlock
from engine.vpc_ranges import add_range, remove_range
from translators.errors import Ec2Error, combination, missing, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.vpc_ranges import check_secondary, give_range6, named_block_shape, refuse_border_group
from translators.vpcs import network


@action
def associate_vpc_cidr_block(
    call: Call,
    *,
    vpc_id: str,
    cidr_block: str | None = None,
    amazon_provided_ipv6_cidr_block: bool = False,
    ipv6_cidr_block_network_border_group: str | None = None,
) -> Result:
    """Give a VPC another range, at once; the answer calls it ``associating``, as EC2's does."""
    if cidr_block and amazon_provided_ipv6_cidr_block:
        raise combination("Only one of cidrBlock and amazonProvidedIpv6CidrBlock can be specified.")
    vpc = find(call, Vpc, vpc_id)
    if amazon_provided_ipv6_cidr_block:
        block = give_range6(call, vpc, ipv6_cidr_block_network_border_group)
    else:
        refuse_border_group(ipv6_cidr_block_network_border_group)
        if not cidr_block:
            raise missing("cidrBlock or amazonProvidedIpv6CidrBlock")
        cidr = network("cidrBlock", cidr_block)
        check_secondary(call, vpc, cidr, cidr_block)
        block = add_range(call.db, vpc, str(cidr))
    return {"VpcId": vpc.id, **named_block_shape(block, call.region, "associating")}


@action
def disassociate_vpc_cidr_block(call: Call, *, association_id: str) -> Result:
    """Take a range from a VPC, at once: it is described no more."""
    block = call.db.get(VpcCidrBlock, association_id)
    vpc = call.db.get(Vpc, block.vpc_id, with_for_update=True) if block else None
    if block is None or vpc is None or (vpc.account, vpc.region) != (call.account, call.region):
        text = f"The vpc CIDR block association ID '{association_id}' does not exist"
        raise Ec2Error("InvalidVpcCidrBlockAssociationID.NotFound", text)
    if block.cidr == vpc.cidr:
        text = f"The vpc CIDR block with association ID {association_id} may not be disassociated."
        refuse("OperationNotPermitted", f"{text} It is the primary IPv4 CIDR block of the VPC")
    if _is_used(call, block):
        refuse("InvalidCidrBlock.InUse", f"The vpc {vpc.id} currently has a subnet within CIDR block {block.cidr}")
    remove_range(call.db, vpc, block)
    return {"VpcId": vpc.id, **named_block_shape(block, call.region, "disassociating")}


def _is_used(call: Call, block: VpcCidrBlock) -> bool:
    if ":" not in block.cidr:
        subnets = call.db.scalars(select(Subnet.cidr).where(Subnet.vpc_id == block.vpc_id))
        return any(IPv4Network(cidr).subnet_of(IPv4Network(block.cidr)) for cidr in subnets)
    ranges = select(SubnetCidrBlock.cidr).join(Subnet, Subnet.id == SubnetCidrBlock.subnet_id)
    held = call.db.scalars(ranges.where(Subnet.vpc_id == block.vpc_id))
    return any(IPv6Network(cidr).subnet_of(IPv6Network(block.cidr)) for cidr in held)

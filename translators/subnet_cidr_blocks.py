"""A subnet's range of IPv6, associated and disassociated."""

from sqlalchemy import exists, select

from engine import tasks
from engine.state import InterfacePrefix, Ipv6Address, Subnet, SubnetCidrBlock
from translators.errors import Ec2Error, missing, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.subnet_ranges import add_range6, checked_range6, range6_shape


@action
def associate_subnet_cidr_block(call: Call, *, subnet_id: str, ipv6_cidr_block: str | None = None) -> Result:
    """Give a subnet its range of IPv6, at once; the answer calls it ``associating``, as EC2's does."""
    if not ipv6_cidr_block:
        raise missing("ipv6CidrBlock")
    subnet = find(call, Subnet, subnet_id)
    cidr = checked_range6(call, subnet.vpc_id, ipv6_cidr_block)
    if call.db.scalar(select(exists().where(SubnetCidrBlock.subnet_id == subnet_id))):
        text = f"The subnet '{subnet_id}' has met its maximum number of allowed IPv6 CIDRs: 1"
        refuse("CidrLimitExceeded", text)
    block = add_range6(call, subnet, cidr)
    tasks.start(call.db, subnet.vpc_id, "sync_network", call.region)
    return _answer(block, "associating")


@action
def disassociate_subnet_cidr_block(call: Call, *, association_id: str) -> Result:
    """Take the range from a subnet, at once: it is described no more."""
    block = call.db.get(SubnetCidrBlock, association_id)
    subnet = call.db.get(Subnet, block.subnet_id, with_for_update=True) if block else None
    if block is None or subnet is None or (subnet.account, subnet.region) != (call.account, call.region):
        text = f"The subnet CIDR block association ID '{association_id}' does not exist"
        raise Ec2Error("InvalidSubnetCidrBlockAssociationID.NotFound", text)
    why = _why_used(call, subnet, block)
    if why:
        text = f"The subnet IPv6 CIDR block with association ID {association_id} may not be disassociated"
        refuse("InvalidCidrBlock.InUse", f"{text}, because {why}.")
    call.db.delete(block)
    tasks.start(call.db, subnet.vpc_id, "sync_network", call.region)
    return _answer(block, "disassociating")


def _why_used(call: Call, subnet: Subnet, block: SubnetCidrBlock) -> str:
    if subnet.assign_ipv6:
        return "its subnet has assign-ipv6-address-on-creation set to true"
    prefix = (InterfacePrefix.subnet_id == subnet.id, InterfacePrefix.cidr.contains(":"))
    if call.db.scalar(select(exists().where(Ipv6Address.subnet_id == subnet.id) | exists().where(*prefix))):
        return "addresses of it are assigned to network interfaces"
    return ""


def _answer(block: SubnetCidrBlock, state: str) -> Result:
    shape = range6_shape((block.id, block.cidr, block.state), state)
    return {"SubnetId": block.subnet_id, "Ipv6CidrBlockAssociation": shape}

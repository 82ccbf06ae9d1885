"""A subnet's range of IPv6: which one it may have, and how it is described."""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Network, NetmaskValueError
from typing import Any

from sqlalchemy import select

from engine.default_vpc import new_id
from engine.state import Subnet, SubnetCidrBlock, VpcCidrBlock
from translators.errors import invalid, refuse, unsupported
from translators.registry import Call

_LENGTH = 64


def range6_shape(row: Sequence[Any], state: str = "") -> dict[str, Any]:
    """Return the structure of a range: of its id, CIDR and state, or of another state."""
    id, cidr, current = row
    return {
        "AssociationId": id,
        "Ipv6CidrBlock": cidr,
        "Ipv6CidrBlockState": {"State": state or current},
        "Ipv6AddressAttribute": "public",
        "IpSource": "amazon",
    }


def network6(name: str, text: str) -> IPv6Network:
    """Return the CIDR of IPv6 that a parameter gives, its host bits cleared as EC2 does; refuse what is none."""
    try:
        if "/" not in text:
            raise ValueError
        return IPv6Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise invalid(name, text, "This is not a valid IPv6 CIDR block.") from None


def checked_range6(call: Call, vpc_id: str, asked: str) -> str:
    """Return the range if a subnet of the VPC can have it."""
    cidr = network6("ipv6CidrBlock", asked)
    if cidr.prefixlen != _LENGTH:
        raise unsupported("Ipv6CidrBlock", f"The range of a subnet is a /{_LENGTH} here.")
    blocks = call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc_id))
    if not any(cidr.subnet_of(IPv6Network(block)) for block in blocks if ":" in block):
        refuse("InvalidSubnet.Range", f"The CIDR '{asked}' is invalid.")
    held = select(SubnetCidrBlock.id).join(Subnet, Subnet.id == SubnetCidrBlock.subnet_id)
    if call.db.scalar(held.where(Subnet.vpc_id == vpc_id, SubnetCidrBlock.cidr == str(cidr))):
        refuse("InvalidSubnet.Conflict", f"The CIDR '{asked}' conflicts with another subnet")
    return str(cidr)


def add_range6(call: Call, subnet: Subnet, cidr: str) -> SubnetCidrBlock:
    block = SubnetCidrBlock(id=new_id("subnet-cidr-assoc"), subnet_id=subnet.id, cidr=cidr, state="associated")
    call.db.add(block)
    call.db.flush()
    return block

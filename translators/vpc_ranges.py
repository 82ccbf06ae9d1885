"""Which ranges a VPC may have, and how they are described."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import func, select

from engine.addresses import Exhausted
from engine.state import Peering, Route, RouteTable, Vpc, VpcCidrBlock
from engine.vpc_ranges import add_range, free_range6
from translators.errors import Ec2Error, combination, invalid, refuse
from translators.quotas import check_quota
from translators.registry import Call

_FAMILIES = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.19.0.0/16")))
"""Of these a VPC may have ranges of one only: "IPv4 CIDR block association restrictions"."""
_TAKEN = {IPv4Network("10.0.0.0/15"): IPv4Network("10.0.0.0/16"), _FAMILIES[1]: IPv4Network("172.31.0.0/16")}
"""To a VPC in the first range none of the second can be added."""
_NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
"""What means something to every host."""


def block_shape(row: Sequence[Any], region: str, state: str = "") -> dict[str, Any]:
    """Return the structure of a range: of its id, CIDR and state, or of another state."""
    id, cidr, current = row
    if ":" not in cidr:
        return {"AssociationId": id, "CidrBlock": cidr, "CidrBlockState": {"State": state or current}}
    return {
        "AssociationId": id,
        "Ipv6CidrBlock": cidr,
        "Ipv6CidrBlockState": {"State": state or current},
        "NetworkBorderGroup": region,
        "Ipv6Pool": "Amazon",
        "Ipv6AddressAttribute": "public",
        "IpSource": "amazon",
    }


def named_block_shape(block: VpcCidrBlock, region: str, state: str) -> Mapping[str, Any]:
    """Return a range under the name that an answer has for its IP version."""
    name = "Ipv6CidrBlockAssociation" if ":" in block.cidr else "CidrBlockAssociation"
    return {name: block_shape((block.id, block.cidr, block.state), region, state)}


def check_size(cidr: IPv4Network, asked: str) -> None:
    """Refuse a range that no VPC can have."""
    if not 16 <= cidr.prefixlen <= 28 or any(cidr.overlaps(each) for each in _NEVER):
        refuse("InvalidVpc.Range", f"The CIDR '{asked}' is invalid.")


def check_secondary(call: Call, vpc: Vpc, cidr: IPv4Network, asked: str) -> None:
    """Refuse what EC2 lets no VPC have besides its first range, and what this VPC's network cannot do."""
    check_size(cidr, asked)
    _check_family(vpc, cidr, asked)
    held = [row for row in _blocks(call, vpc) if ":" not in row]
    for other in held:
        if cidr.overlaps(IPv4Network(other)):
            refuse("InvalidVpc.Range", f"The CIDR '{asked}' conflicts with {other} of the VPC {vpc.id}")
    _check_routes(call, vpc, cidr, asked)
    _check_peers(call, vpc, cidr, asked)
    if vpc.uplink_address:
        check_external(call, vpc, [str(cidr)])
    check_quota(call, "IPv4 CIDR blocks per VPC", len(held) + 1)


def _blocks(call: Call, vpc: Vpc) -> list[str]:
    return list(call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc.id)))


def _check_family(vpc: Vpc, cidr: IPv4Network, asked: str) -> None:
    first = IPv4Network(vpc.cidr)
    mixed = any(cidr.overlaps(family) and not first.subnet_of(family) for family in _FAMILIES)
    if mixed or any(first.subnet_of(ours) and cidr.overlaps(theirs) for ours, theirs in _TAKEN.items()):
        text = "Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR"
        refuse("InvalidVpc.Range", f"The CIDR '{asked}' is restricted. {text}.")


def _check_routes(call: Call, vpc: Vpc, cidr: IPv4Network, asked: str) -> None:
    """A range must be smaller than each of the VPC's routes that leads into it: the local route would be another's."""
    tables = select(Route.destination, RouteTable.id).join(RouteTable, RouteTable.id == Route.route_table_id)
    for destination, table in call.db.execute(tables.where(RouteTable.vpc_id == vpc.id)).tuples():
        if "." in destination and IPv4Network(destination).subnet_of(cidr):
            refuse("InvalidVpc.Range", f"The CIDR '{asked}' conflicts with the route to {destination} of {table}")


def _check_peers(call: Call, vpc: Vpc, cidr: IPv4Network, asked: str) -> None:
    """A peering that is there, or is asked for, would not know whose the addresses are."""
    for mine, theirs in (
        (Peering.requester_vpc_id, Peering.accepter_vpc_id),
        (Peering.accepter_vpc_id, Peering.requester_vpc_id),
    ):
        peered = select(Peering.id, VpcCidrBlock.cidr).join(VpcCidrBlock, VpcCidrBlock.vpc_id == theirs)
        for id, other in call.db.execute(
            peered.where(mine == vpc.id, Peering.status.in_(("active", "provisioning", "pending-acceptance")))
        ).tuples():
            if ":" not in other and cidr.overlaps(IPv4Network(other)):
                refuse("InvalidVpc.Range", f"The CIDR '{asked}' overlaps with a CIDR of the peer VPC of {id}")


def check_external(call: Call, vpc: Vpc, cidrs: Sequence[str] = ()) -> None:
    """Refuse a way out to a VPC with a range of the external network: whose an address is could not be told apart."""
    outside = call.settings.external_network
    for cidr in cidrs or _blocks(call, vpc):
        if ":" not in cidr and IPv4Network(cidr).overlaps(outside):
            text = f"The CIDR '{cidr}' of {vpc.id} overlaps with the external network {outside}"
            refuse("InvalidVpc.Range", f"{text}: such a VPC cannot have a way out.")


def give_range6(call: Call, vpc: Vpc, border_group: str | None) -> VpcCidrBlock:
    """Give a VPC a range of the deployment's own pool."""
    if border_group not in (None, call.region):
        why = f"The only network border group here is {call.region}."
        raise invalid("ipv6CidrBlockNetworkBorderGroup", border_group, why)
    own = select(func.count()).where(VpcCidrBlock.vpc_id == vpc.id, VpcCidrBlock.cidr.contains(":"))
    check_quota(call, "IPv6 CIDR blocks per VPC", 1 + (call.db.scalar(own) or 0))
    try:
        return add_range(call.db, vpc, free_range6(call.db, call.settings))
    except Exhausted:
        text = "There is no IPv6 CIDR block left in the pool."
        raise Ec2Error("InsufficientCidrBlocks", text) from None


def refuse_border_group(border_group: str | None) -> None:
    if border_group:
        raise combination("The parameter ipv6CidrBlockNetworkBorderGroup needs amazonProvidedIpv6CidrBlock")

"""What a route leads to: each kind of target, found and checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import or_, select

from engine.state import (
    EgressGateway,
    Endpoint,
    InternetGateway,
    NatGateway,
    NetworkInterface,
    Peering,
    RouteTable,
)
from translators.address_associations import interface_of_instance
from translators.errors import Ec2Error, combination, invalid, missing, not_found, refuse, unsupported
from translators.find import check_ids, find
from translators.registry import Call
from translators.route_destinations import Destination


@dataclass(frozen=True, slots=True)
class Target:
    """``id`` and ``interface_id`` are the columns ``target`` and ``interface_id`` of a Route."""

    id: str
    vpc_id: str | None
    interface_id: str | None = None

    @property
    def is_interface(self) -> bool:
        return self.id == self.interface_id

    @property
    def is_inside(self) -> bool:
        """Whether it is one that traffic inside of a VPC may be led through."""
        return self.is_interface or self.id.startswith(f"{NatGateway.prefix}-")


def find_target(call: Call, table: RouteTable, destination: Destination, asked: Mapping[str, str | None]) -> Target:
    """Return the one target that a request gives for a route of this table.

    ``asked`` are the request's parameters for it, each by its name.
    """
    given = {name: id for name, id in asked.items() if id}
    if not given:
        raise missing("gatewayId")
    if len(given) > 1:
        first, second, *_ = given
        raise combination(f"The parameter {first} cannot be used with the parameter {second}")
    ((name, id),) = given.items()
    target = _FINDERS[name](call, table, destination, id)
    if target.vpc_id != table.vpc_id:
        noun = "interface" if target.is_interface else "network gateway"
        text = f"route table {table.id} and {noun} {target.id} belong to different networks"
        refuse("InvalidParameterValue", text)
    return target


def _gateway(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    """Return an internet gateway: of what else EC2 calls a gateway, VPN gateways do not exist."""
    if id.startswith(f"{Endpoint.prefix}-"):
        raise invalid("gatewayId", id, "Routes to a VPC endpoint come and go with its association with a route table.")
    found = call.db.scalar(select(InternetGateway).filter_by(**call.owner, id=id))
    if found is None:
        raise Ec2Error("InvalidGatewayID.NotFound", f"The gateway ID '{id}' does not exist")
    return Target(id, found.vpc_id)


def _egress_gateway(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    found = find(call, EgressGateway, id)
    if destination.version != 6:
        raise invalid("egressOnlyInternetGatewayId", id, "It is for IPv6 traffic only.")
    return Target(id, found.vpc_id)


def _nat_gateway(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    found = call.db.scalar(select(NatGateway).filter_by(**call.owner, id=id))
    if found is None or found.state not in ("pending", "available"):
        raise Ec2Error("InvalidNatGatewayID.NotFound", f"The natGateway ID '{id}' does not exist")
    if destination.version != 4:
        raise unsupported("NatGatewayId", "There is no NAT64: NAT gateways are for IPv4 traffic only.")
    return Target(id, found.vpc_id, found.interface_id)


def _interface(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    found = find(call, NetworkInterface, id)
    if found.managed_by:
        raise invalid("networkInterfaceId", id, f"It is managed by {found.managed_by}.")
    return Target(id, found.vpc_id, id)


def _instance(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    """Return the only interface of an instance, as EC2 does."""
    found = interface_of_instance(call, id)
    return Target(found.id, found.vpc_id, found.id)


def _peering(call: Call, table: RouteTable, destination: Destination, id: str) -> Target:
    """Return a peering connection of the table's VPC. One that waits to be accepted leads nowhere yet."""
    check_ids(Peering, [id])
    mine = or_(Peering.account == call.account, Peering.accepter_account == call.account)
    found = call.db.scalar(select(Peering).where(Peering.id == id, Peering.region == call.region, mine))
    if found is None:
        raise not_found(Peering, id)
    if found.status not in ("active", "pending-acceptance", "provisioning"):
        raise invalid("vpcPeeringConnectionId", id, f"The VPC peering connection is {found.status}.")
    ends = (found.requester_vpc_id, found.accepter_vpc_id)
    return Target(id, table.vpc_id if table.vpc_id in ends else None)


_FINDERS: dict[str, Callable[[Call, RouteTable, Destination, str], Target]] = {
    "gatewayId": _gateway,
    "egressOnlyInternetGatewayId": _egress_gateway,
    "natGatewayId": _nat_gateway,
    "networkInterfaceId": _interface,
    "instanceId": _instance,
    "vpcPeeringConnectionId": _peering,
}

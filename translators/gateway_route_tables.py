"""What may be in a gateway's route table: see "Gateway route tables" in the VPC user guide."""

from ipaddress import ip_network

from sqlalchemy import exists, select

from engine.desired import LOCAL
from engine.state import Route, RouteTable, RouteTableAssociation, VpcCidrBlock
from translators.errors import Ec2Error, refuse
from translators.registry import Call
from translators.route_destinations import Destination, is_within
from translators.route_targets import Target


def gateway_of(call: Call, table: RouteTable) -> str | None:
    """Return the gateway that a table is associated with, if there is one."""
    held = (RouteTableAssociation.route_table_id == table.id, RouteTableAssociation.gateway_id != "")
    return call.db.scalar(select(RouteTableAssociation.gateway_id).where(*held))


def check_gateway_route(call: Call, table: RouteTable, destination: Destination, target: Target) -> None:
    """Refuse a route that leads anywhere else than through an interface to the VPC itself, in a gateway's table."""
    gateway = gateway_of(call, table)
    if gateway and (destination.is_listed or not target.is_interface or not _is_inside(call, table, destination.id)):
        text = f"Route table has a conflicting association with the gateway {gateway}"
        raise Ec2Error("RouteConflict", text)


def check_gateway_table(call: Call, table: RouteTable) -> None:
    """Refuse a table that cannot become a gateway's: the main one, or one with routes that such a table cannot have."""
    main = (RouteTableAssociation.subnet_id == "", RouteTableAssociation.gateway_id == "")
    if call.db.scalar(select(exists().where(RouteTableAssociation.route_table_id == table.id, *main))):
        text = f"Route table {table.id} is the main route table and cannot be associated with a gateway"
        refuse("InvalidParameterValue", text)
    others = select(Route).where(Route.route_table_id == table.id, Route.target != LOCAL).order_by(Route.destination)
    for route in call.db.scalars(others):
        if route.target != route.interface_id or not _is_inside(call, table, route.destination):
            text = f"Route table {table.id} has a route to {route.destination} that a gateway's table cannot have"
            raise Ec2Error("RouteConflict", text)


def _is_inside(call: Call, table: RouteTable, destination: str) -> bool:
    if destination.startswith("pl-"):
        return False
    blocks = call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == table.vpc_id))
    return any(is_within(ip_network(destination), ip_network(block)) for block in blocks)

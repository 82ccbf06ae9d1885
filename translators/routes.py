"""Routes: where a route table sends what; so far to the VPC itself, or out by its internet gateway."""

from ipaddress import IPv4Network

from sqlalchemy import select

from engine import tasks
from engine.state import InternetGateway, Route, RouteTable, VpcCidrBlock
from translators.errors import Ec2Error, combination, invalid, missing, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.vpcs import network


def _destination(text: str | None) -> str:
    if not text:
        raise missing("destinationCidrBlock")
    return str(network("destinationCidrBlock", text))


def _gateway(call: Call, table: RouteTable, gateway_id: str | None, destination: str) -> str:
    """Return the id of the gateway if a route of this table may lead to it."""
    if not gateway_id:
        raise missing("gatewayId")
    if not gateway_id.startswith("igw-"):
        raise Ec2Error("UnsupportedOperation", f"Routes to '{gateway_id}' are not supported: only internet gateways.")
    gateway = find(call, InternetGateway, gateway_id)
    if gateway.vpc_id != table.vpc_id:
        text = f"route table {table.id} and network gateway {gateway_id} belong to different networks"
        refuse("InvalidParameterValue", text)
    for block in call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == table.vpc_id)):
        if ":" not in block and IPv4Network(destination).subnet_of(IPv4Network(block)):
            text = f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's"
            refuse(
                "InvalidParameterValue", f"{text} CIDR blocks. This route can target only an interface or an instance."
            )
    return gateway_id


@action
def create_route(
    call: Call, *, route_table_id: str, destination_cidr_block: str | None = None, gateway_id: str | None = None
) -> Result:
    destination = _destination(destination_cidr_block)
    table = find(call, RouteTable, route_table_id)
    target = _gateway(call, table, gateway_id, destination)
    if call.db.get(Route, (table.id, destination)):
        refuse("RouteAlreadyExists", f"The route identified by {destination} already exists.")
    call.db.add(Route(route_table_id=table.id, destination=destination, target=target, origin="CreateRoute"))
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"Return": True}


@action
def replace_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str | None = None,
    gateway_id: str | None = None,
    local_target: bool = False,
) -> Result:
    """Give a route another target. A local route has no other yet, so that resetting it changes nothing."""
    destination = _destination(destination_cidr_block)
    table = find(call, RouteTable, route_table_id)
    route = call.db.get(Route, (table.id, destination))
    if route is None:
        text = f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
        raise Ec2Error("InvalidParameterValue", text)
    if local_target or gateway_id == "local":
        _check_local(route, local_target and bool(gateway_id))
        return {}
    route.target, route.state = _gateway(call, table, gateway_id, destination), "active"
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {}


def _check_local(route: Route, both: bool) -> None:
    if both:
        raise combination("The parameter localTarget cannot be used with the parameter gatewayId")
    if route.target != "local":
        raise invalid("localTarget", "true", f"The route {route.destination} is not a local route.")


@action
def delete_route(call: Call, *, route_table_id: str, destination_cidr_block: str | None = None) -> Result:
    destination = _destination(destination_cidr_block)
    table = find(call, RouteTable, route_table_id)
    route = call.db.get(Route, (table.id, destination))
    if route is None:
        text = f"no route with destination-cidr-block {destination} in route table {table.id}"
        raise Ec2Error("InvalidRoute.NotFound", text)
    if route.target == "local":
        refuse("InvalidParameterValue", f"cannot remove local route {destination} in route table {table.id}")
    call.db.delete(route)
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {}

"""Routes: where a route table sends what."""

from ipaddress import ip_network

from sqlalchemy import case, func, or_, select

from engine import tasks
from engine.desired import LOCAL
from engine.routes import OWN
from engine.state import Endpoint, PrefixList, Route, RouteTable, Subnet, SubnetCidrBlock, VpcCidrBlock
from translators.errors import Ec2Error, combination, invalid, refuse
from translators.find import find
from translators.gateway_route_tables import check_gateway_route
from translators.quotas import check_quota
from translators.registry import Call, Result, action
from translators.route_destinations import Destination, Range, check_reserved, is_within, read_destination
from translators.route_targets import Target, find_target


@action
def create_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str | None = None,
    destination_ipv6_cidr_block: str | None = None,
    destination_prefix_list_id: str | None = None,
    gateway_id: str | None = None,
    egress_only_internet_gateway_id: str | None = None,
    nat_gateway_id: str | None = None,
    network_interface_id: str | None = None,
    instance_id: str | None = None,
    vpc_peering_connection_id: str | None = None,
) -> Result:
    """Add a route; one that is there already, to the same target, is no error."""
    ranges = (destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id)
    asked = {
        "gatewayId": gateway_id,
        "egressOnlyInternetGatewayId": egress_only_internet_gateway_id,
        "natGatewayId": nat_gateway_id,
        "networkInterfaceId": network_interface_id,
        "instanceId": instance_id,
        "vpcPeeringConnectionId": vpc_peering_connection_id,
    }
    table = find(call, RouteTable, route_table_id)
    destination = read_destination(call, *ranges)
    target = find_target(call, table, destination, asked)
    _check(call, table, destination, target)
    held = call.db.get(Route, (table.id, destination.id))
    if held and held.target != target.id:
        refuse("RouteAlreadyExists", f"The route identified by {destination.id} already exists.")
    if held is None:
        _check_count(call, table, destination)
        columns = {"target": target.id, "interface_id": target.interface_id, "origin": "CreateRoute"}
        call.db.add(Route(route_table_id=table.id, destination=destination.id, **columns))
        tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"Return": True}


@action
def replace_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str | None = None,
    destination_ipv6_cidr_block: str | None = None,
    destination_prefix_list_id: str | None = None,
    gateway_id: str | None = None,
    egress_only_internet_gateway_id: str | None = None,
    nat_gateway_id: str | None = None,
    network_interface_id: str | None = None,
    instance_id: str | None = None,
    vpc_peering_connection_id: str | None = None,
    local_target: bool = False,
) -> Result:
    """Give a route another target, or a VPC's route to itself its own target again."""
    ranges = (destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id)
    asked = {
        "gatewayId": None if gateway_id == LOCAL else gateway_id,
        "egressOnlyInternetGatewayId": egress_only_internet_gateway_id,
        "natGatewayId": nat_gateway_id,
        "networkInterfaceId": network_interface_id,
        "instanceId": instance_id,
        "vpcPeeringConnectionId": vpc_peering_connection_id,
    }
    table = find(call, RouteTable, route_table_id)
    destination = read_destination(call, *ranges)
    route = call.db.get(Route, (table.id, destination.id))
    if route is None:
        text = f"There is no route defined for '{destination.id}' in the route table. Use CreateRoute instead."
        raise Ec2Error("InvalidParameterValue", text)
    _check_is_users(route, "replace")
    if local_target or gateway_id == LOCAL:
        route.target, route.interface_id = _local(route, next((name for name, id in asked.items() if id), "")), None
    else:
        target = find_target(call, table, destination, asked)
        _check(call, table, destination, target)
        route.target, route.interface_id = target.id, target.interface_id
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {}


def _local(route: Route, also: str) -> str:
    if also:
        raise combination(f"The parameter localTarget cannot be used with the parameter {also}")
    if route.origin != OWN:
        raise invalid("localTarget", "true", f"The route {route.destination} is not a local route.")
    return LOCAL


@action
def delete_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str | None = None,
    destination_ipv6_cidr_block: str | None = None,
    destination_prefix_list_id: str | None = None,
) -> Result:
    table = find(call, RouteTable, route_table_id)
    if destination_prefix_list_id:
        # The list itself may be gone, or another's.
        name, id = "destination-prefix-list-id", destination_prefix_list_id
    else:
        destination = read_destination(call, destination_cidr_block, destination_ipv6_cidr_block, None)
        name, id = destination.name, destination.id
    route = call.db.get(Route, (table.id, id))
    if route is None:
        raise Ec2Error("InvalidRoute.NotFound", f"no route with {name} {id} in route table {table.id}")
    if route.origin == OWN:
        refuse("InvalidParameterValue", f"cannot remove local route {id} in route table {table.id}")
    _check_is_users(route, "remove")
    call.db.delete(route)
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {}


def _check_is_users(route: Route, verb: str) -> None:
    if route.target.startswith(f"{Endpoint.prefix}-"):
        text = f"cannot {verb} VPC endpoint route {route.destination} in route table {route.route_table_id}"
        refuse("InvalidParameterValue", text)


def _check(call: Call, table: RouteTable, destination: Destination, target: Target) -> None:
    """Refuse a route that its table, or that no table, can have."""
    check_reserved(destination)
    check_gateway_route(call, table, destination, target)
    own = (VpcCidrBlock.vpc_id == table.vpc_id, VpcCidrBlock.state == "associated")
    blocks = [ip_network(cidr) for cidr in call.db.scalars(select(VpcCidrBlock.cidr).where(*own))]
    for each in destination.ranges:
        if any(is_within(each, block) for block in blocks):
            _check_inside(call, table, each, each in blocks, target)


def _check_inside(call: Call, table: RouteTable, destination: Range, is_block: bool, target: Target) -> None:
    """Refuse what inside of a VPC cannot be led another way: "Route table concepts" in the VPC user guide."""
    text = f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks."
    if not target.is_inside:
        refuse("InvalidParameterValue", f"{text} This route can target only an interface or an instance.")
    if not is_block and str(destination) not in _subnets(call, table.vpc_id):
        refuse("InvalidParameterValue", f"{text} It must match the entire CIDR block of a subnet.")


def _subnets(call: Call, vpc_id: str) -> set[str]:
    own = select(Subnet.cidr).where(Subnet.vpc_id == vpc_id)
    own6 = select(SubnetCidrBlock.cidr).join(Subnet, Subnet.id == SubnetCidrBlock.subnet_id)
    return {*call.db.scalars(own), *call.db.scalars(own6.where(Subnet.vpc_id == vpc_id))}


def _check_count(call: Call, table: RouteTable, new: Destination) -> None:
    """Refuse more routes of an IP version than a table may have, besides those of the VPC to itself."""
    is_ipv6 = or_(Route.destination.contains(":"), PrefixList.family == "IPv6")
    weight = case((PrefixList.id.is_not(None), PrefixList.max_entries), else_=1)
    held = (
        select(func.sum(weight))
        .select_from(Route)
        .outerjoin(PrefixList, PrefixList.id == Route.destination)
        .where(Route.route_table_id == table.id, Route.origin != OWN)
        .where(is_ipv6 if new.version == 6 else ~func.coalesce(is_ipv6, False))
    )
    check_quota(call, "routes per route table", (call.db.scalar(held) or 0) + new.weight)

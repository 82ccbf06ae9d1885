"""Route tables: what they lead to, and who uses them."""

import json
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select

from engine import tasks
from engine.desired import LOCAL, ROUTE_STATE
from engine.routes import local_route
from engine.state import (
    Instance,
    NetworkInterface,
    Route,
    RouteTable,
    RouteTableAssociation,
    Vpc,
    VpcCidrBlock,
    json_rows,
)
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import refuse
from translators.filters import constant, through
from translators.find import find
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_association = RouteTableAssociation.route_table_id == RouteTable.id
_route = Route.route_table_id == RouteTable.id
_associations = json_rows(
    RouteTableAssociation.id, RouteTableAssociation.subnet_id, RouteTableAssociation.gateway_id,
    where=_association,
    order=(RouteTableAssociation.subnet_id, RouteTableAssociation.gateway_id, RouteTableAssociation.id),
)  # fmt: skip
_card = (NetworkInterface.id == Route.target, NetworkInterface.attachment_status != "detached")
_instance_id = select(NetworkInterface.instance_id).where(*_card).correlate(Route).scalar_subquery()
_instance_owner = (
    select(Instance.account)
    .join(NetworkInterface, NetworkInterface.instance_id == Instance.id)
    .where(*_card)
    .correlate(Route)
    .scalar_subquery()
)
# The local route first, as EC2 has it: "CreateRouteTable" sorts after "CreateRoute".
_routes = json_rows(
    Route.destination, Route.target, Route.origin, ROUTE_STATE, _instance_id, _instance_owner,
    where=_route, order=(Route.origin.desc(), Route.destination),
)  # fmt: skip

_TARGETS = {
    "eigw": "EgressOnlyInternetGatewayId",
    "nat": "NatGatewayId",
    "eni": "NetworkInterfaceId",
    "pcx": "VpcPeeringConnectionId",
}
"""What EC2 calls the target of a route, by its id's prefix; any other one is a GatewayId."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "RouteTableId": row.id,
        "VpcId": row.vpc_id,
        "OwnerId": row.account,
        "Associations": [_association_shape(row.id, *association) for association in json.loads(row.associations)],
        "PropagatingVgws": [],
        "Routes": [_route_shape(*route) for route in json.loads(row.routes)],
        "Tags": tag_set(row.tags) or [],
    }


def _association_shape(table: str, id: str, subnet: str, gateway: str) -> dict[str, Any]:
    return {
        "RouteTableAssociationId": id,
        "RouteTableId": table,
        "Main": not subnet and not gateway,
        "SubnetId": subnet or None,
        "GatewayId": gateway or None,
        "AssociationState": {"State": "associated"},
    }


def _route_shape(
    destination: str, target: str, origin: str, state: str, instance: str | None, owner: str | None
) -> dict[str, Any]:
    return {
        _destination_name(destination): destination,
        _TARGETS.get(target.partition("-")[0], "GatewayId"): target,
        "InstanceId": instance,
        "InstanceOwnerId": owner,
        "Origin": origin,
        "State": state,
    }


def _destination_name(destination: str) -> str:
    if destination.startswith("pl-"):
        return "DestinationPrefixListId"
    return "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"


_is_listed = Route.destination.like("pl-%")
_is_ipv6 = Route.destination.contains(":")
_is_main = and_(RouteTableAssociation.subnet_id == "", RouteTableAssociation.gateway_id == "")


def _destination(condition: ColumnElement[bool]) -> Any:
    return through(case((condition, Route.destination)), _route)


def _target(*patterns: str) -> Any:
    return through(case((or_(*(Route.target.like(each) for each in patterns)), Route.target)), _route)


def _given(column: Any) -> Any:
    """Match an association that has that of its columns which is empty on others."""
    return through(case((column != "", column)), _association)


ROUTE_TABLES = Listing(
    kind=RouteTable,
    columns=(
        RouteTable.id, RouteTable.account, RouteTable.vpc_id, _associations.label("associations"),
        _routes.label("routes"), tags_of(RouteTable),
    ),
    shape=_shape,
    filters={
        "association.gateway-id": _given(RouteTableAssociation.gateway_id),
        "association.main": through(_is_main, _association),
        "association.route-table-association-id": through(RouteTableAssociation.id, _association),
        "association.route-table-id": through(RouteTableAssociation.route_table_id, _association),
        "association.subnet-id": _given(RouteTableAssociation.subnet_id),
        "owner-id": RouteTable.account,
        "route-table-id": RouteTable.id,
        "route.destination-cidr-block": _destination(~or_(_is_listed, _is_ipv6)),
        "route.destination-ipv6-cidr-block": _destination(_is_ipv6),
        "route.destination-prefix-list-id": _destination(_is_listed),
        "route.egress-only-internet-gateway-id": _target("eigw-%"),
        "route.gateway-id": _target(LOCAL, "igw-%", "vpce-%"),
        "route.instance-id": through(_instance_id, _route),
        "route.nat-gateway-id": _target("nat-%"),
        "route.origin": through(Route.origin, _route),
        "route.state": through(ROUTE_STATE, _route),
        "route.transit-gateway-id": constant(""),
        "route.vpc-peering-connection-id": _target("pcx-%"),
        "vpc-id": RouteTable.vpc_id,
    },
)  # fmt: skip


@action
def describe_route_tables(
    call: Call,
    *,
    route_table_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, ROUTE_TABLES, route_table_ids, filters, max_results, next_token)
    return {"RouteTables": found, "NextToken": token}


@action
def create_route_table(call: Call, *, vpc_id: str, tag_specifications: list[dict[str, Any]] | None = None) -> Result:
    """Make a table with a route to each of its VPC's ranges."""
    vpc = find(call, Vpc, vpc_id)
    held = call.db.scalar(select(func.count()).where(RouteTable.vpc_id == vpc.id)) or 0
    check_quota(call, "route tables per VPC", held + 1)
    table = RouteTable(id=RouteTable.new_id(), **call.owner, vpc_id=vpc.id)
    call.db.add(table)
    call.db.flush()
    blocks = select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc.id, VpcCidrBlock.state == "associated")
    call.db.add_all(local_route(table.id, cidr) for cidr in call.db.scalars(blocks).all())
    tags.put_at_creation(call, tag_specifications, {"route-table": [table.id]})
    tasks.start(call.db, vpc.id, "sync_network", call.region)
    return {"RouteTable": rows_of(call, ROUTE_TABLES, [table.id])[0], "ClientToken": call.client_token or None}


@action
def delete_route_table(call: Call, *, route_table_id: str) -> Result:
    table = find(call, RouteTable, route_table_id)
    if call.db.scalar(select(exists().where(RouteTableAssociation.route_table_id == table.id))):
        refuse("DependencyViolation", f"The routeTable '{table.id}' has dependencies and cannot be deleted.")
    call.db.execute(delete(Route).where(Route.route_table_id == table.id))
    tags.forget(call, table.id)
    call.db.delete(table)
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {}

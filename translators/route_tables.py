"""Route tables, and which subnet uses which: a subnet without an association uses the VPC's main table."""

import json
from typing import Any

from sqlalchemy import case, delete, exists, select

from engine import tasks
from engine.default_vpc import new_id
from engine.state import Route, RouteTable, RouteTableAssociation, Subnet, Vpc, VpcCidrBlock, json_rows
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, missing, refuse
from translators.filters import constant, through
from translators.find import find
from translators.registry import Call, Result, action

_association = RouteTableAssociation.route_table_id == RouteTable.id
_route = Route.route_table_id == RouteTable.id
_associations = json_rows(
    RouteTableAssociation.id,
    RouteTableAssociation.subnet_id,
    where=_association,
    order=(RouteTableAssociation.subnet_id, RouteTableAssociation.id),
)
# The local route first, as EC2 has it: "CreateRouteTable" sorts after "CreateRoute".
_routes = json_rows(
    Route.destination, Route.target, Route.origin, Route.state,
    where=_route, order=(Route.origin.desc(), Route.destination),
)  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    return {
        "RouteTableId": row.id,
        "VpcId": row.vpc_id,
        "OwnerId": row.account,
        "Associations": [_association_shape(row.id, id, subnet) for id, subnet in json.loads(row.associations)],
        "PropagatingVgws": [],
        "Routes": [
            {"DestinationCidrBlock": destination, "GatewayId": target, "Origin": origin, "State": state}
            for destination, target, origin, state in json.loads(row.routes)
        ],
        "Tags": tag_set(row.tags) or [],
    }


def _association_shape(table: str, id: str, subnet: str) -> dict[str, Any]:
    return {
        "RouteTableAssociationId": id,
        "RouteTableId": table,
        "Main": not subnet,
        "SubnetId": subnet or None,
        "AssociationState": {"State": "associated"},
    }


ROUTE_TABLES = Listing(
    kind=RouteTable,
    columns=(
        RouteTable.id, RouteTable.account, RouteTable.vpc_id, _associations.label("associations"),
        _routes.label("routes"), tags_of(RouteTable),
    ),
    shape=_shape,
    filters={
        "association.gateway-id": constant(""),
        "association.main": through(RouteTableAssociation.subnet_id == "", _association),
        "association.route-table-association-id": through(RouteTableAssociation.id, _association),
        "association.route-table-id": through(RouteTableAssociation.route_table_id, _association),
        "association.subnet-id": through(
            case((RouteTableAssociation.subnet_id != "", RouteTableAssociation.subnet_id)), _association
        ),
        "owner-id": RouteTable.account,
        "route-table-id": RouteTable.id,
        "route.destination-cidr-block": through(Route.destination, _route),
        "route.destination-ipv6-cidr-block": constant(""),
        "route.destination-prefix-list-id": constant(""),
        "route.egress-only-internet-gateway-id": constant(""),
        "route.gateway-id": through(Route.target, _route),
        "route.instance-id": constant(""),
        "route.nat-gateway-id": constant(""),
        "route.origin": through(Route.origin, _route),
        "route.state": through(Route.state, _route),
        "route.transit-gateway-id": constant(""),
        "route.vpc-peering-connection-id": constant(""),
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
    vpc = find(call, Vpc, vpc_id)
    table = RouteTable(id=RouteTable.new_id(), **call.owner, vpc_id=vpc.id)
    call.db.add(table)
    call.db.flush()
    for cidr in call.db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc.id)).all():
        call.db.add(Route(route_table_id=table.id, destination=cidr, target="local", origin="CreateRouteTable"))
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


@action
def associate_route_table(call: Call, *, route_table_id: str, subnet_id: str | None = None) -> Result:
    if not subnet_id:
        raise missing("subnetId")
    table = find(call, RouteTable, route_table_id)
    subnet = find(call, Subnet, subnet_id)
    if subnet.vpc_id != table.vpc_id:
        text = f"Route table {table.id} and subnet {subnet.id} belong to different networks"
        refuse("InvalidParameterValue", text)
    held = call.db.scalar(select(RouteTableAssociation).filter_by(subnet_id=subnet.id))
    if held and held.route_table_id != table.id:
        text = f"the specified association for route table {table.id} conflicts with an existing association"
        refuse("Resource.AlreadyAssociated", text)
    if held is None:
        held = RouteTableAssociation(
            id=new_id("rtbassoc"), route_table_id=table.id, vpc_id=table.vpc_id, subnet_id=subnet.id
        )
        call.db.add(held)
        tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"AssociationId": held.id, "AssociationState": {"State": "associated"}}


def _find_association(call: Call, id: str) -> RouteTableAssociation:
    """Return the caller's association: an association belongs to whom its table does."""
    own = (RouteTable.account == call.account, RouteTable.region == call.region)
    found = call.db.scalar(
        select(RouteTableAssociation)
        .join(RouteTable, _association)
        .where(RouteTableAssociation.id == id, *own)
        .with_for_update()
    )
    if found is None:
        raise Ec2Error("InvalidAssociationID.NotFound", f"The association ID '{id}' does not exist")
    return found


@action
def disassociate_route_table(call: Call, *, association_id: str) -> Result:
    association = _find_association(call, association_id)
    if not association.subnet_id:
        text = f"cannot disassociate the main route table association {association_id}"
        refuse("InvalidParameterValue", text)
    call.db.delete(association)
    tasks.start(call.db, association.vpc_id, "sync_network", call.region)
    return {}


@action
def replace_route_table_association(call: Call, *, association_id: str, route_table_id: str) -> Result:
    """Give a subnet another table, or the VPC another main table: the association gets a new id."""
    association = _find_association(call, association_id)
    table = find(call, RouteTable, route_table_id)
    if table.vpc_id != association.vpc_id:
        text = f"Route table {table.id} and the association {association_id} belong to different networks"
        refuse("InvalidParameterValue", text)
    association.id, association.route_table_id = new_id("rtbassoc"), table.id
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"NewAssociationId": association.id, "AssociationState": {"State": "associated"}}

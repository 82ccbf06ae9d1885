"""Which subnet, and which gateway's arriving packets, use which route table.

A subnet without an association uses the VPC's main table, whose association names neither.
"""

from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.default_vpc import new_id
from engine.state import InternetGateway, RouteTable, RouteTableAssociation, Subnet
from translators.errors import Ec2Error, combination, missing, refuse, unsupported
from translators.find import find
from translators.gateway_route_tables import check_gateway_table, gateway_of
from translators.registry import Call, Result, action


@action
def associate_route_table(
    call: Call, *, route_table_id: str, subnet_id: str | None = None, gateway_id: str | None = None
) -> Result:
    if subnet_id and gateway_id:
        raise combination("The parameter subnetId cannot be used with the parameter gatewayId")
    if not subnet_id and not gateway_id:
        raise missing("subnetId")
    table = find(call, RouteTable, route_table_id)
    user = _subnet(call, table, subnet_id) if subnet_id else _gateway(call, table, gateway_id or "")
    held = call.db.scalar(select(RouteTableAssociation).filter_by(vpc_id=table.vpc_id, **user))
    if held and held.route_table_id != table.id:
        text = f"the specified association for route table {table.id} conflicts with an existing association"
        refuse("Resource.AlreadyAssociated", text)
    if held is None:
        held = RouteTableAssociation(id=new_id("rtbassoc"), route_table_id=table.id, vpc_id=table.vpc_id, **user)
        call.db.add(held)
        tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"AssociationId": held.id, "AssociationState": {"State": "associated"}}


def _subnet(call: Call, table: RouteTable, id: str) -> dict[str, str]:
    subnet = find(call, Subnet, id)
    if subnet.vpc_id != table.vpc_id:
        refuse("InvalidParameterValue", f"Route table {table.id} and subnet {id} belong to different networks")
    return {"subnet_id": id, "gateway_id": ""}


def _gateway(call: Call, table: RouteTable, id: str) -> dict[str, str]:
    if not id.startswith(f"{InternetGateway.prefix}-"):
        raise unsupported("GatewayId", f"'{id}' is not an internet gateway.")
    gateway = find(call, InternetGateway, id)
    if gateway.vpc_id != table.vpc_id:
        text = f"Route table {table.id} and network gateway {id} belong to different networks"
        refuse("InvalidParameterValue", text)
    check_gateway_table(call, table)
    return {"subnet_id": "", "gateway_id": id}


def _find_association(call: Call, id: str) -> RouteTableAssociation:
    """Return the caller's association: an association belongs to whom its table does."""
    own: tuple[Any, ...] = (RouteTable.account == call.account, RouteTable.region == call.region)
    found = call.db.scalar(
        select(RouteTableAssociation)
        .join(RouteTable, RouteTableAssociation.route_table_id == RouteTable.id)
        .where(RouteTableAssociation.id == id, *own)
        .with_for_update()
    )
    if found is None:
        raise Ec2Error("InvalidAssociationID.NotFound", f"The association ID '{id}' does not exist")
    return found


def _is_main(association: RouteTableAssociation) -> bool:
    return not association.subnet_id and not association.gateway_id


@action
def disassociate_route_table(call: Call, *, association_id: str) -> Result:
    association = _find_association(call, association_id)
    if _is_main(association):
        text = f"cannot disassociate the main route table association {association_id}"
        refuse("InvalidParameterValue", text)
    call.db.delete(association)
    tasks.start(call.db, association.vpc_id, "sync_network", call.region)
    return {}


@action
def replace_route_table_association(call: Call, *, association_id: str, route_table_id: str) -> Result:
    """Give a subnet or a gateway another table, or the VPC another main table: the association gets a new id."""
    association = _find_association(call, association_id)
    table = find(call, RouteTable, route_table_id)
    if table.vpc_id != association.vpc_id:
        text = f"Route table {table.id} and the association {association_id} belong to different networks"
        refuse("InvalidParameterValue", text)
    if association.gateway_id:
        check_gateway_table(call, table)
    elif _is_main(association):
        _check_main(call, table)
    association.id, association.route_table_id = new_id("rtbassoc"), table.id
    tasks.start(call.db, table.vpc_id, "sync_network", call.region)
    return {"NewAssociationId": association.id, "AssociationState": {"State": "associated"}}


def _check_main(call: Call, table: RouteTable) -> None:
    """Refuse a gateway's table as the main one ("Main route table" in the VPC user guide)."""
    if gateway := gateway_of(call, table):
        text = f"Route table {table.id} is associated with the gateway {gateway} and cannot be the main route table"
        refuse("InvalidParameterValue", text)

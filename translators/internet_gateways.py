"""Internet gateways: a VPC's way out."""

from typing import Any

from sqlalchemy import and_, case, delete, exists, select

from engine import tasks
from engine.addresses import Exhausted
from engine.state import Address, InternetGateway, NetworkInterface, RouteTableAssociation, Vpc
from engine.uplinks import settle_uplink
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.vpc_ranges import check_external


def _shape(row: Any) -> dict[str, Any]:
    return {
        "InternetGatewayId": row.id,
        "OwnerId": row.account,
        "Attachments": [{"State": "available", "VpcId": row.vpc_id}] if row.vpc_id else [],
        "Tags": tag_set(row.tags) or [],
    }


INTERNET_GATEWAYS = Listing(
    kind=InternetGateway,
    columns=(InternetGateway.id, InternetGateway.account, InternetGateway.vpc_id, tags_of(InternetGateway)),
    shape=_shape,
    filters={
        "attachment.state": case((InternetGateway.vpc_id.is_not(None), "available")),
        "attachment.vpc-id": InternetGateway.vpc_id,
        "internet-gateway-id": InternetGateway.id,
        "owner-id": InternetGateway.account,
    },
)


@action
def describe_internet_gateways(
    call: Call,
    *,
    internet_gateway_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, INTERNET_GATEWAYS, internet_gateway_ids, filters, max_results, next_token)
    return {"InternetGateways": found, "NextToken": token}


@action
def create_internet_gateway(call: Call, *, tag_specifications: list[dict[str, Any]] | None = None) -> Result:
    gateway = InternetGateway(id=InternetGateway.new_id(), **call.owner)
    call.db.add(gateway)
    tags.put_at_creation(call, tag_specifications, {"internet-gateway": [gateway.id]})
    return {"InternetGateway": rows_of(call, INTERNET_GATEWAYS, [gateway.id])[0]}


@action
def attach_internet_gateway(call: Call, *, internet_gateway_id: str, vpc_id: str) -> Result:
    """Attach a gateway: the VPC's router gets an address on the external network, blackhole routes work again."""
    gateway = find(call, InternetGateway, internet_gateway_id)
    vpc = find(call, Vpc, vpc_id)
    if gateway.vpc_id:
        text = f"resource {gateway.id} is already attached to network {gateway.vpc_id}"
        refuse("Resource.AlreadyAssociated", text)
    if call.db.scalar(select(InternetGateway.id).filter_by(vpc_id=vpc_id)):
        refuse("InvalidParameterValue", f"Network {vpc_id} already has an internet gateway attached")
    check_external(call, vpc)
    gateway.vpc_id = vpc_id
    settle(call, vpc)
    return {}


def settle(call: Call, vpc: Vpc) -> None:
    """Have a VPC's router and network follow a change of its gateways."""
    try:
        settle_uplink(call.db, call.settings, vpc)
    except Exhausted:
        text = "Not enough available addresses: the router needs one on the external network."
        raise Ec2Error("InsufficientAddressCapacity", text) from None
    tasks.start(call.db, vpc.id, "sync_network", call.region)


@action
def detach_internet_gateway(call: Call, *, internet_gateway_id: str, vpc_id: str) -> Result:
    gateway = find(call, InternetGateway, internet_gateway_id)
    vpc = find(call, Vpc, vpc_id)
    if gateway.vpc_id != vpc_id:
        refuse("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc_id}")
    mapped = and_(NetworkInterface.vpc_id == vpc_id, Address.interface_id == NetworkInterface.id)
    if call.db.scalar(select(exists().where(mapped))):
        text = f"Network {vpc_id} has some mapped public address(es)."
        refuse("DependencyViolation", f"{text} Please unmap those public address(es) before detaching the gateway.")
    gateway.vpc_id = None
    # A route table is used by a gateway of its VPC only.
    call.db.execute(delete(RouteTableAssociation).where(RouteTableAssociation.gateway_id == gateway.id))
    settle(call, vpc)
    return {}


@action
def delete_internet_gateway(call: Call, *, internet_gateway_id: str) -> Result:
    gateway = find(call, InternetGateway, internet_gateway_id)
    if gateway.vpc_id:
        text = f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted."
        refuse("DependencyViolation", text)
    tags.forget(call, gateway.id)
    call.db.delete(gateway)
    return {}

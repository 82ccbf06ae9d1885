"""Egress-only internet gateways: a VPC's way out by IPv6 that nobody can come in by."""

from typing import Any

from sqlalchemy import exists, select

from engine.state import EgressGateway, Vpc
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import refuse
from translators.find import find
from translators.internet_gateways import settle
from translators.registry import Call, Result, action


def _shape(row: Any) -> dict[str, Any]:
    return {
        "EgressOnlyInternetGatewayId": row.id,
        "Attachments": [{"State": "attached", "VpcId": row.vpc_id}],
        "Tags": tag_set(row.tags) or [],
    }


EGRESS_GATEWAYS = Listing(
    kind=EgressGateway,
    columns=(EgressGateway.id, EgressGateway.vpc_id, tags_of(EgressGateway)),
    shape=_shape,
    filters={},
)


@action
def describe_egress_only_internet_gateways(
    call: Call,
    *,
    egress_only_internet_gateway_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    ids = egress_only_internet_gateway_ids
    found, token = describe(call, EGRESS_GATEWAYS, ids, filters, max_results, next_token)
    return {"EgressOnlyInternetGateways": found, "NextToken": token}


@action
def create_egress_only_internet_gateway(
    call: Call, *, vpc_id: str, tag_specifications: list[dict[str, Any]] | None = None
) -> Result:
    """Make a gateway, attached to its VPC from the beginning; a VPC has one at most ("Amazon VPC quotas")."""
    vpc = find(call, Vpc, vpc_id)
    if call.db.scalar(select(exists().where(EgressGateway.vpc_id == vpc.id))):
        text = f"Network {vpc.id} already has an egress-only internet gateway attached"
        refuse("InvalidParameterValue", text)
    gateway = EgressGateway(id=EgressGateway.new_id(), **call.owner, vpc_id=vpc.id)
    call.db.add(gateway)
    settle(call, vpc)
    tags.put_at_creation(call, tag_specifications, {"egress-only-internet-gateway": [gateway.id]})
    made = rows_of(call, EGRESS_GATEWAYS, [gateway.id])[0]
    return {"EgressOnlyInternetGateway": made, "ClientToken": call.client_token or None}


@action
def delete_egress_only_internet_gateway(call: Call, *, egress_only_internet_gateway_id: str) -> Result:
    """Delete a gateway; routes to it lead nowhere from then on."""
    gateway = find(call, EgressGateway, egress_only_internet_gateway_id)
    vpc = find(call, Vpc, gateway.vpc_id)
    tags.forget(call, gateway.id)
    call.db.delete(gateway)
    settle(call, vpc)
    return {"ReturnCode": True}

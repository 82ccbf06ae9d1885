"""VPC endpoints: described."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from engine.state import (
    Endpoint,
    EndpointGroup,
    EndpointService,
    NetworkInterface,
    Route,
    SecurityGroup,
    Zone,
    json_rows,
)
from translators.describe import Listing, describe, tag_set, tags_of
from translators.endpoint_services import base_name
from translators.filters import constant, matches, through
from translators.registry import Call, Result, action

_service = EndpointService.id == Endpoint.service_id
_cards = NetworkInterface.managed_by == Endpoint.id
_tables = json_rows(Route.route_table_id, where=Route.target == Endpoint.id, order=(Route.route_table_id,))
_interfaces = json_rows(
    NetworkInterface.id, NetworkInterface.subnet_id, NetworkInterface.zone,
    select(Zone.zone_id).where(Zone.name == NetworkInterface.zone).scalar_subquery(),
    where=_cards, order=(NetworkInterface.id,),
)  # fmt: skip
_groups = json_rows(
    EndpointGroup.group_id, SecurityGroup.name,
    where=and_(EndpointGroup.endpoint_id == Endpoint.id, SecurityGroup.id == EndpointGroup.group_id),
    order=(EndpointGroup.position,),
)  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    cards = json.loads(row.cards)
    return {
        "VpcEndpointId": row.id,
        "VpcEndpointType": row.kind,
        "VpcId": row.vpc_id,
        "OwnerId": row.account,
        "ServiceName": row.service_name,
        "ServiceRegion": row.region,
        "State": row.state,
        "PolicyDocument": row.policy,
        "RouteTableIds": list(dict.fromkeys(table for (table,) in json.loads(row.tables))),
        "SubnetIds": [subnet for _, subnet, _, _ in cards],
        "Groups": [{"GroupId": id, "GroupName": name} for id, name in json.loads(row.groups)],
        "NetworkInterfaceIds": [id for id, *_ in cards],
        "IpAddressType": "ipv4",
        "DnsOptions": {"DnsRecordIpType": row.dns_record_ip_type},
        "PrivateDnsEnabled": row.private_dns,
        "RequesterManaged": False,
        "DnsEntries": [{"DnsName": name} for name in _names(row, cards)],
        "CreationTimestamp": row.created,
        "Tags": tag_set(row.tags) or [],
    }


def _names(row: Any, cards: Sequence[Sequence[str]]) -> list[str]:
    """Return an Interface's names: one for all of its addresses, one for each zone, and the service's own."""
    if row.kind != "Interface":
        return []
    domain = base_name(row.service_id, row.region)
    zonal = [f"{row.id}-{zone}.{domain}" for _, _, zone, _ in cards]
    own = [row.private_dns_name] if row.private_dns else []
    return [f"{row.id}.{domain}", *zonal, *own]


_STATES = {"pendingAcceptance": "pending-acceptance"}


def _state(values: Sequence[str]) -> ColumnElement[bool]:
    return matches(Endpoint.state, [_STATES.get(value, value) for value in values])


ENDPOINTS = Listing(
    kind=Endpoint,
    columns=(
        Endpoint.id, Endpoint.account, Endpoint.region, Endpoint.vpc_id, Endpoint.service_id, Endpoint.kind,
        Endpoint.state, Endpoint.policy, Endpoint.private_dns, Endpoint.dns_record_ip_type, Endpoint.created,
        select(EndpointService.name).where(_service).scalar_subquery().label("service_name"),
        select(EndpointService.private_dns_name).where(_service).scalar_subquery().label("private_dns_name"),
        _tables.label("tables"), _interfaces.label("cards"), _groups.label("groups"), tags_of(Endpoint),
    ),
    shape=_shape,
    filters={
        "ip-address-type": constant("ipv4"),
        "service-name": through(EndpointService.name, _service),
        "service-region": Endpoint.region,
        "vpc-endpoint-id": Endpoint.id,
        "vpc-endpoint-state": _state,
        "vpc-endpoint-type": Endpoint.kind,
        "vpc-id": Endpoint.vpc_id,
    },
)  # fmt: skip


@action
def describe_vpc_endpoints(
    call: Call,
    *,
    vpc_endpoint_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, ENDPOINTS, vpc_endpoint_ids, filters, max_results, next_token)
    return {"VpcEndpoints": found, "NextToken": token}

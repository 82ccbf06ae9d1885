"""Services that can be used from inside of VPCs: those that the operator registered."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from engine.state import EndpointService, Zone
from translators.describe import PAGE, make_token, open_token
from translators.errors import Ec2Error, refuse
from translators.filters import select_in_memory
from translators.registry import Call, Result, action

_OWNER = "amazon"


def base_name(service_id: str, region: str) -> str:
    """Return the domain under which the endpoints of a service have their names."""
    return f"{service_id}.{region}.vpce.amazonaws.com"


def service_named(call: Call, name: str) -> EndpointService:
    found = call.db.scalar(select(EndpointService).filter_by(region=call.region, name=name))
    return found or refuse("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")


def _detail(service: EndpointService, zones: Sequence[Any]) -> dict[str, Any]:
    names = [{"PrivateDnsName": service.private_dns_name}] if service.private_dns_name else []
    return {
        "ServiceName": service.name,
        "ServiceId": service.id,
        "ServiceType": [{"ServiceType": service.kind}],
        "ServiceRegion": service.region,
        "AvailabilityZones": [name for name, _ in zones],
        "AvailabilityZoneIds": [id for _, id in zones],
        "Owner": _OWNER,
        "BaseEndpointDnsNames": [base_name(service.id, service.region)] if service.kind == "Interface" else [],
        "PrivateDnsName": service.private_dns_name or None,
        "PrivateDnsNames": names,
        "VpcEndpointPolicySupported": False,
        "AcceptanceRequired": False,
        "ManagesVpcEndpoints": False,
        "SupportedIpAddressTypes": ["ipv4"],
        "Tags": [],
    }


_FILTERS = {
    "owner": lambda _: _OWNER,
    "service-name": lambda service: service.name,
    "service-region": lambda service: service.region,
    "service-type": lambda service: service.kind,
    "supported-ip-address-types": lambda _: "ipv4",
    "tag-key": lambda _: [],
}


@action
def describe_vpc_endpoint_services(
    call: Call,
    *,
    service_names: list[str] | None = None,
    service_regions: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """List what the operator registered (``groundfog services``), by name."""
    rows = list(call.db.scalars(select(EndpointService).filter_by(region=call.region).order_by(EndpointService.name)))
    for region in service_regions or ():
        if region != call.region:
            raise Ec2Error("InvalidParameterValue", f"Services of the region {region} cannot be used here.")
    if service_names:
        known = {row.name: row for row in rows}
        rows = [known.get(name) or service_named(call, name) for name in dict.fromkeys(service_names)]
    rows = [row for row in rows if _is_tagged_as(filters)]
    rows = select_in_memory(rows, _FILTERS, [f for f in filters or () if not f.get("Name", "").startswith("tag:")])
    after = open_token("vpce-svc", next_token, 1)[0] if next_token else ""
    rows = [row for row in rows if row.name > after]
    size = max_results or PAGE
    zones = call.db.execute(select(Zone.name, Zone.zone_id).where(Zone.region == call.region).order_by(Zone.name)).all()
    page = rows[:size]
    return {
        "ServiceNames": [row.name for row in page],
        "ServiceDetails": [_detail(row, zones) for row in page],
        "NextToken": make_token("vpce-svc", [page[-1].name]) if len(rows) > size else None,
    }


def _is_tagged_as(filters: Sequence[Mapping[str, Any]] | None) -> bool:
    """No service has a tag: a filter that names one finds none."""
    return not any(item.get("Name", "").startswith("tag:") for item in filters or ())


ALLOW_ALL = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
DEFAULT_POLICY = json.dumps({"Version": "2008-10-17", "Statement": [ALLOW_ALL]})
"""What EC2 gives an endpoint: everybody may do everything."""

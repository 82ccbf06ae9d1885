"""Network insights paths: from where to where it is asked whether packets get."""

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from sqlalchemy import delete, exists, func, or_, select

from engine.names import arn
from engine.state import (
    InsightsAnalysis,
    InsightsPath,
    Instance,
    InternetGateway,
    NetworkInterface,
    Peering,
    Resource,
)
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import combination, invalid, missing, refuse
from translators.find import find
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_ENDS: dict[str, type[Resource]] = {"i": Instance, "eni": NetworkInterface, "igw": InternetGateway}
_SUPPORTED = "Expecting an instance, a network interface or an internet gateway"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "NetworkInsightsPathId": row.id,
        "NetworkInsightsPathArn": arn(row.region, row.account, row.id),
        "CreatedDate": row.created,
        "Source": row.source,
        "SourceArn": arn(row.region, row.account, row.source),
        "Destination": row.destination or None,
        "DestinationArn": arn(row.region, row.account, row.destination) if row.destination else None,
        "SourceIp": row.source_ip or None,
        "DestinationIp": row.destination_ip or None,
        "Protocol": row.protocol,
        "DestinationPort": row.destination_port,
        "FilterAtSource": _filter_shape(row, "leaving"),
        "FilterAtDestination": _filter_shape(row, "arriving"),
        "Tags": tag_set(row.tags) or [],
    }


def _filter_shape(row: Any, where: str) -> dict[str, Any] | None:
    members = {"Source": "source", "Destination": "destination"}
    shown: dict[str, Any] = {}
    for name, column in members.items():
        if address := getattr(row, f"{where}_{column}"):
            shown[f"{name}Address"] = address
        if ports := getattr(row, f"{where}_{column}_ports"):
            low, high = ports.split("-")
            shown[f"{name}PortRange"] = {"FromPort": int(low), "ToPort": int(high)}
    return shown or None


PATHS = Listing(
    kind=InsightsPath,
    columns=(
        InsightsPath.id, InsightsPath.account, InsightsPath.region, InsightsPath.created, InsightsPath.source,
        InsightsPath.destination, InsightsPath.source_ip, InsightsPath.destination_ip, InsightsPath.protocol,
        InsightsPath.destination_port, InsightsPath.leaving_source, InsightsPath.leaving_source_ports,
        InsightsPath.leaving_destination, InsightsPath.leaving_destination_ports, InsightsPath.arriving_source,
        InsightsPath.arriving_source_ports, InsightsPath.arriving_destination,
        InsightsPath.arriving_destination_ports, tags_of(InsightsPath),
    ),
    shape=_shape,
    filters={
        "destination": InsightsPath.destination,
        "filter-at-destination.destination-address": InsightsPath.arriving_destination,
        "filter-at-destination.destination-port-range": InsightsPath.arriving_destination_ports,
        "filter-at-destination.source-address": InsightsPath.arriving_source,
        "filter-at-destination.source-port-range": InsightsPath.arriving_source_ports,
        "filter-at-source.destination-address": InsightsPath.leaving_destination,
        "filter-at-source.destination-port-range": InsightsPath.leaving_destination_ports,
        "filter-at-source.source-address": InsightsPath.leaving_source,
        "filter-at-source.source-port-range": InsightsPath.leaving_source_ports,
        "protocol": InsightsPath.protocol,
        "source": InsightsPath.source,
    },
)  # fmt: skip


@action
def describe_network_insights_paths(
    call: Call,
    *,
    network_insights_path_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, PATHS, network_insights_path_ids, filters, max_results, next_token)
    return {"NetworkInsightsPaths": found, "NextToken": token}


@action
def create_network_insights_path(
    call: Call,
    *,
    source: str,
    destination: str | None = None,
    source_ip: str | None = None,
    destination_ip: str | None = None,
    protocol: str,
    destination_port: int | None = None,
    filter_at_source: dict[str, Any] | None = None,
    filter_at_destination: dict[str, Any] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    leaving, arriving = filter_at_source or {}, filter_at_destination or {}
    if leaving and (source_ip or destination_port is not None):
        raise combination("The parameter filterAtSource cannot be used with sourceIp or destinationPort")
    if arriving and destination_ip:
        raise combination("The parameter filterAtDestination cannot be used with the parameter destinationIp")
    columns = {
        "source": _end(call, "source", source),
        "destination": _end(call, "destination", destination) if destination else "",
        "source_ip": _address("sourceIp", source_ip),
        "destination_ip": _address("destinationIp", destination_ip),
        **_columns("leaving", "filterAtSource", leaving),
        **_columns("arriving", "filterAtDestination", arriving),
    }
    _check_ends(columns)
    held = call.db.scalar(select(func.count()).select_from(InsightsPath).filter_by(**call.owner)) or 0
    check_quota(call, "network insights paths", held + 1)
    path = InsightsPath(
        id=InsightsPath.new_id(), **call.owner, protocol=protocol, destination_port=destination_port, **columns
    )
    call.db.add(path)
    tags.put_at_creation(call, tag_specifications, {"network-insights-path": [path.id]})
    return {"NetworkInsightsPath": rows_of(call, PATHS, [path.id])[0]}


def _end(call: Call, name: str, given: str) -> str:
    """Return the id of one of the caller's resources that a path may begin or end at; it may be given as an ARN."""
    id = given
    if given.startswith("arn:"):
        _, _, service, region, account, resource = given.split(":", 5) if given.count(":") == 5 else [""] * 6
        id = resource.rpartition("/")[2]
        if (service, region) != ("ec2", call.region) or account != call.account:
            raise invalid(name, given, "It is not the ARN of a resource of this account and region.")
    prefix = id.rpartition("-")[0]
    if prefix == "pcx" and name == "destination":
        return _peering(call, id)
    if prefix not in _ENDS:
        also = " or, as the destination, a VPC peering connection" if name == "destination" else ""
        raise invalid(name, given, f"{_SUPPORTED}{also}.")
    return find(call, _ENDS[prefix], id).id


def _peering(call: Call, id: str) -> str:
    """Either of its two accounts has a peering."""
    mine = or_(Peering.account == call.account, Peering.accepter_account == call.account)
    if call.db.scalar(select(Peering.id).where(Peering.id == id, Peering.region == call.region, mine)) is None:
        refuse("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{id}' does not exist")
    return id


def _check_ends(columns: Mapping[str, str]) -> None:
    source, destination = columns["source"], columns["destination"]
    addresses = ("destination_ip", "leaving_destination", "arriving_destination")
    if not destination and not any(columns[name] for name in addresses):
        raise missing("destination")
    if source == destination:
        raise invalid("destination", destination, "The source and the destination must not be the same.")
    if source.startswith("igw-") and not destination.startswith(("i-", "eni-")):
        text = "From an internet gateway, a path leads to an instance or a network interface."
        raise invalid("destination", destination, text)


def _columns(where: str, name: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for member, column in (("Source", "source"), ("Destination", "destination")):
        found[f"{where}_{column}"] = _address(f"{name}.{member}Address", given.get(f"{member}Address"))
        found[f"{where}_{column}_ports"] = _ports(f"{name}.{member}PortRange", given.get(f"{member}PortRange") or {})
    return found


def _address(name: str, given: str | None) -> str:
    try:
        return str(IPv4Address(given)) if given else ""
    except AddressValueError:
        raise invalid(name, given, "This is not a valid IPv4 address.") from None


def _ports(name: str, given: Mapping[str, int]) -> str:
    low, high = given.get("FromPort"), given.get("ToPort")
    if low is None and high is None:
        return ""
    first, last = 0 if low is None else low, 65535 if high is None else high
    if first > last:
        raise invalid(name, f"{first}-{last}", "FromPort must not be greater than ToPort.")
    return f"{first}-{last}"


@action
def delete_network_insights_path(call: Call, *, network_insights_path_id: str) -> Result:
    path = find(call, InsightsPath, network_insights_path_id)
    if call.db.scalar(select(exists().where(InsightsAnalysis.path_id == path.id))):
        text = f"The network insights path '{path.id}' has analyses and cannot be deleted. Delete them first."
        refuse("AnalysisExistsForNetworkInsightsPath", text)
    tags.forget(call, path.id)
    call.db.execute(delete(InsightsPath).where(InsightsPath.id == path.id))
    return {"NetworkInsightsPathId": path.id}

"""Regions, their zones, and what an account may have in one."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import func, select

from engine.state import Host, Region, Vpc, Zone
from translators.errors import Ec2Error
from translators.filters import select_in_memory
from translators.registry import Call, Result, action

_NO_OPT_IN = "opt-in-not-required"
_GROUPS_PER_INTERFACE = 5


def _endpoint(region: str) -> str:
    """Return AWS's name of a region's endpoint.

    Scripts parse it for the region's name and none of ours could connect to it by that alone: clients reach this
    deployment by an endpoint URL of their own settings, which a translator does not know.
    """
    return f"ec2.{region}.amazonaws.com"


_REGION_FILTERS: dict[str, Callable[[str], str]] = {
    "endpoint": _endpoint,
    "opt-in-status": lambda region: _NO_OPT_IN,
    "region-name": lambda region: region,
}


@action
def describe_regions(
    call: Call,
    *,
    region_names: list[str] | None = None,
    all_regions: bool = False,
    filters: list[dict[str, Any]] | None = None,
) -> Result:
    """Every region of the deployment is enabled for every account, so AllRegions adds none."""
    names = sorted(call.db.scalars(select(Region.name)))
    _all_known("Invalid region names", region_names, names)
    chosen = [name for name in names if not region_names or name in region_names]
    return {
        "Regions": [
            {"RegionName": name, "Endpoint": _endpoint(name), "OptInStatus": _NO_OPT_IN}
            for name in select_in_memory(chosen, _REGION_FILTERS, filters)
        ]
    }


def _all_known(text: str, asked: Sequence[str] | None, known: Sequence[str]) -> None:
    lost = sorted(set(asked or ()) - set(known))
    if lost:
        raise Ec2Error("InvalidParameterValue", f"{text}: [{', '.join(lost)}]")


def _zone(zone: Zone) -> dict[str, Any]:
    return {
        "ZoneName": zone.name,
        "ZoneId": zone.zone_id,
        "ZoneType": "availability-zone",
        "RegionName": zone.region,
        "State": "available",
        "OptInStatus": _NO_OPT_IN,
        "Messages": [],
        "GroupName": f"{zone.region}-zg-1",
        "GroupLongName": f"{zone.region} 1",
        "NetworkBorderGroup": zone.region,
    }


def _shows(name: str) -> Callable[[Zone], Any]:
    return lambda zone: _zone(zone).get(name)


_ZONE_FILTERS: dict[str, Callable[[Zone], Any]] = {
    "group-long-name": _shows("GroupLongName"),
    "group-name": _shows("GroupName"),
    "message": _shows("Messages"),
    "opt-in-status": _shows("OptInStatus"),
    "parent-zone-id": _shows("ParentZoneId"),
    "parent-zone-name": _shows("ParentZoneName"),
    "region-name": _shows("RegionName"),
    "state": _shows("State"),
    "zone-id": _shows("ZoneId"),
    "zone-name": _shows("ZoneName"),
    "zone-type": _shows("ZoneType"),
}


@action
def describe_availability_zones(
    call: Call,
    *,
    zone_names: list[str] | None = None,
    zone_ids: list[str] | None = None,
    all_availability_zones: bool = False,
    filters: list[dict[str, Any]] | None = None,
) -> Result:
    """There are no zones that one opts in to, so AllAvailabilityZones adds none."""
    zones = sorted(call.db.scalars(select(Zone).where(Zone.region == call.region)), key=lambda zone: zone.name)
    _all_known("Invalid availability zone", zone_names, [zone.name for zone in zones])
    _all_known("Invalid availability zone-id", zone_ids, [zone.zone_id for zone in zones])
    chosen = [
        zone
        for zone in zones
        if (not zone_names or zone.name in zone_names) and (not zone_ids or zone.zone_id in zone_ids)
    ]
    return {"AvailabilityZones": [_zone(zone) for zone in select_in_memory(chosen, _ZONE_FILTERS, filters)]}


def _default_vpc(call: Call) -> str:
    own = {"account": call.account, "region": call.region, "is_default": True}
    return call.db.scalar(select(Vpc.id).filter_by(**own)) or "none"


def _most_addresses(call: Call) -> str:
    first, last = call.settings.external_pool
    return str(int(last) - int(first) + 1)


def _most_instances(call: Call) -> str:
    """An instance has a virtual CPU at least, so there cannot be more of them than the hosts promise CPUs."""
    return str(call.db.scalar(select(func.coalesce(func.sum(Host.vcpus), 0)).where(Host.region == call.region)))


_ACCOUNT_ATTRIBUTES: dict[str, Callable[[Call], str]] = {
    "default-vpc": _default_vpc,
    "max-elastic-ips": _most_addresses,
    "max-instances": _most_instances,
    "supported-platforms": lambda call: "VPC",
    "vpc-max-elastic-ips": _most_addresses,
    "vpc-max-security-groups-per-interface": lambda call: str(_GROUPS_PER_INTERFACE),
}


@action
def describe_account_attributes(call: Call, *, attribute_names: list[str] | None = None) -> Result:
    """What is limited here is limited by the hosts and the address pool, not by a quota of the account."""
    _all_known("Invalid attribute names", attribute_names, list(_ACCOUNT_ATTRIBUTES))
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": value(call)}]}
            for name, value in _ACCOUNT_ATTRIBUTES.items()
            if not attribute_names or name in attribute_names
        ]
    }

"""Fast snapshot restores: refused item by item, since there is nothing that they could make faster.

A volume reads its snapshot's data where it lies from the first moment on; in EC2 that has to be fetched first.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select

from engine.state import Zone
from translators.errors import combination, invalid, missing
from translators.filters import select_in_memory
from translators.registry import Call, Result, action
from translators.snapshots import find_snapshots

_FILTERS = ("availability-zone", "availability-zone-id", "owner-id", "snapshot-id", "state")


@action
def enable_fast_snapshot_restores(
    call: Call,
    *,
    source_snapshot_ids: list[str],
    availability_zones: list[str] | None = None,
    availability_zone_ids: list[str] | None = None,
) -> Result:
    text = "Fast snapshot restores are not available: volumes need no initialization here."
    return _refusals(call, source_snapshot_ids, availability_zones, availability_zone_ids, "UnsupportedOperation", text)


@action
def disable_fast_snapshot_restores(
    call: Call,
    *,
    source_snapshot_ids: list[str],
    availability_zones: list[str] | None = None,
    availability_zone_ids: list[str] | None = None,
) -> Result:
    text = "Fast snapshot restores are not enabled for the snapshot in this Availability Zone."
    return _refusals(call, source_snapshot_ids, availability_zones, availability_zone_ids, "IncorrectState", text)


def _refusals(
    call: Call, ids: Sequence[str], names: Sequence[str] | None, zone_ids: Sequence[str] | None, code: str, text: str
) -> Result:
    found = find_snapshots(call, ids)
    zones = _zones(call, names or (), zone_ids or ())
    error = {"Code": code, "Message": text}
    errors = [{"AvailabilityZone": name, "AvailabilityZoneId": id, "Error": error} for name, id in zones]
    items = [{"SnapshotId": id, "FastSnapshotRestoreStateErrors": errors} for id in dict.fromkeys(ids) if id in found]
    return {"Successful": [], "Unsuccessful": items}


def _zones(call: Call, names: Sequence[str], zone_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the name and the id of each zone that is asked for."""
    if not (names or zone_ids):
        raise missing("AvailabilityZone or AvailabilityZoneId")
    if names and zone_ids:
        raise combination("AvailabilityZone and AvailabilityZoneId cannot be used together.")
    rows = select(Zone.name, Zone.zone_id).where(
        Zone.region == call.region, or_(Zone.name.in_(names), Zone.zone_id.in_(zone_ids))
    )
    found = list(call.db.execute(rows.order_by(Zone.name)).tuples())
    lost = {*names, *zone_ids} - {part for zone in found for part in zone}
    if lost:
        raise invalid("availabilityZone", min(lost), "There is no such zone in this region.")
    return found


@action
def describe_fast_snapshot_restores(
    call: Call,
    *,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """There are none, whatever is asked for."""
    select_in_memory([], dict.fromkeys(_FILTERS, lambda row: row), filters)
    return {"FastSnapshotRestores": []}

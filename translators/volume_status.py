"""How volumes are, by EC2's checks, and the one attribute that says what a check that fails would do.

A store that cannot be read or written stops the machines that use it: there is no volume here whose reading and writing
was stopped to keep inconsistent data from use.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, exists, literal, or_, select

from engine.state import Volume, VolumeAttachment, Zone, json_rows
from translators.describe import Listing, describe
from translators.errors import missing
from translators.filters import constant, matches, through
from translators.find import find
from translators.registry import Call, Result, action

_NEVER = constant("\0")
_PROVISIONED = ("io1", "io2")
"""The types for which EC2 tells how their performance is; of others it is not-applicable."""
_attached = VolumeAttachment.volume_id == Volume.id
_holders = json_rows(VolumeAttachment.instance_id, where=_attached, order=(VolumeAttachment.instance_id,))
_zone_id = select(Zone.zone_id).where(Zone.name == Volume.zone).scalar_subquery()
_status = case((Volume.state == "creating", "insufficient-data"), else_="ok")
_performance = case((Volume.volume_type.in_(_PROVISIONED), "normal"), else_="not-applicable")


def _shape(row: Any) -> dict[str, Any]:
    details = [{"Name": "io-enabled", "Status": "passed"}, {"Name": "io-performance", "Status": row.performance}]
    return {
        "VolumeId": row.id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": row.zone_id,
        "VolumeStatus": {"Status": row.status, "Details": details if row.status == "ok" else []},
        "Actions": [],
        "Events": [],
        "AttachmentStatuses": [
            {"InstanceId": instance, "IoPerformance": row.performance} for (instance,) in json.loads(row.holders)
        ],
        "Operator": {"Managed": False},
    }


def _detail_name(values: Sequence[str]) -> ColumnElement[bool]:
    named = or_(*(matches(literal(name, String), values) for name in ("io-enabled", "io-performance")))
    return and_(Volume.state != "creating", named)


def _detail_status(values: Sequence[str]) -> ColumnElement[bool]:
    found = or_(matches(literal("passed", String), values), matches(_performance, values))
    return and_(Volume.state != "creating", found)


def _attachment_performance(values: Sequence[str]) -> ColumnElement[bool]:
    return and_(exists().where(_attached), matches(_performance, values))


STATUSES = Listing(
    kind=Volume,
    columns=(
        Volume.id, Volume.zone, _zone_id.label("zone_id"), _status.label("status"), _performance.label("performance"),
        _holders.label("holders"),
    ),
    shape=_shape,
    filters={
        "action.code": _NEVER,
        "action.description": _NEVER,
        "action.event-id": _NEVER,
        "attachment-status.instance-id": through(VolumeAttachment.instance_id, _attached),
        "attachment-status.io-performance": _attachment_performance,
        "availability-zone": Volume.zone,
        "event.description": _NEVER,
        "event.event-id": _NEVER,
        "event.event-type": _NEVER,
        "event.not-after": _NEVER,
        "event.not-before": _NEVER,
        "volume-status.details-name": _detail_name,
        "volume-status.details-status": _detail_status,
        "volume-status.status": _status,
    },
    ids_forbid_pages="volumeSet",
)  # fmt: skip


@action
def describe_volume_status(
    call: Call,
    *,
    volume_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    include_managed_resources: bool = False,
) -> Result:
    found, token = describe(call, STATUSES, volume_ids, filters, max_results, next_token)
    return {"VolumeStatuses": found, "NextToken": token}


@action
def enable_volume_io(call: Call, *, volume_id: str) -> Result:
    """Reading and writing are always enabled here, so they are afterwards."""
    find(call, Volume, volume_id)
    return {}


@action
def describe_volume_attribute(call: Call, *, attribute: str, volume_id: str) -> Result:
    volume = find(call, Volume, volume_id)
    if attribute == "autoEnableIO":
        return {"VolumeId": volume_id, "AutoEnableIO": {"Value": volume.auto_enable_io}}
    return {"VolumeId": volume_id, "ProductCodes": []}


@action
def modify_volume_attribute(call: Call, *, volume_id: str, auto_enable_io: dict[str, bool] | None = None) -> Result:
    volume = find(call, Volume, volume_id)
    if auto_enable_io is None or "Value" not in auto_enable_io:
        raise missing("autoEnableIO")
    volume.auto_enable_io = auto_enable_io["Value"]
    return {}

"""How instances are: their status checks, and what they printed on their console."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, and_, literal, or_, select

from engine.state import ConsoleOutput, Instance, Zone
from translators.describe import Listing, describe
from translators.filters import Filters, Test, constant, matches
from translators.find import find
from translators.instance_filters import state_codes
from translators.instance_listing import state
from translators.registry import Call, Result, action

_NEVER = constant("\0")


def _checks(passed: str) -> Test:
    """A running instance is reachable: it ran, and its ports were up, before it was called running."""

    def test(values: Sequence[str]) -> ColumnElement[bool]:
        return or_(
            and_(Instance.state == "running", matches(literal(passed, String), values)),
            and_(Instance.state == "pending", matches(literal("initializing", String), values)),
            and_(Instance.state.not_in(("running", "pending")), matches(literal("not-applicable", String), values)),
        )

    return test


def _zone_id(values: Sequence[str]) -> ColumnElement[bool]:
    return Instance.zone.in_(select(Zone.name).where(matches(Zone.zone_id, values)))


_FILTERS: Filters = {
    "application-status.status": _NEVER,
    "attached-ebs-status.status": _checks("ok"),
    "availability-zone": Instance.zone,
    "availability-zone-id": _zone_id,
    "event.code": _NEVER,
    "event.description": _NEVER,
    "event.instance-event-id": _NEVER,
    "event.not-after": _NEVER,
    "event.not-before": _NEVER,
    "event.not-before-deadline": _NEVER,
    "instance-state-code": state_codes,
    "instance-state-name": Instance.state,
    "instance-status.reachability": _checks("passed"),
    "instance-status.status": _checks("ok"),
    "operator.managed": constant("false"),
    "operator.principal": _NEVER,
    "system-status.reachability": _checks("passed"),
    "system-status.status": _checks("ok"),
}


def _shape(row: Any) -> dict[str, Any]:
    return {
        "InstanceId": row.id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": row.zone_id,
        "InstanceState": state(row.state),
        "InstanceStatus": _summary(row.state),
        "SystemStatus": _summary(row.state),
        "AttachedEbsStatus": _summary(row.state),
        "Events": [],
        "Operator": {"Managed": False},
    }


def _summary(name: str) -> dict[str, Any]:
    if name not in ("running", "pending"):
        return {"Status": "not-applicable"}
    status, detail = ("ok", "passed") if name == "running" else ("initializing", "initializing")
    return {"Status": status, "Details": [{"Name": "reachability", "Status": detail}]}


_zone = select(Zone.zone_id).where(Zone.name == Instance.zone).scalar_subquery().label("zone_id")
_EVERY = Listing(
    kind=Instance,
    columns=(Instance.id, Instance.zone, _zone, Instance.state),
    shape=_shape,
    filters=_FILTERS,
    ids_forbid_pages="instancesSet",
)
_RUNNING = Listing(
    kind=Instance,
    columns=_EVERY.columns,
    shape=_shape,
    filters=_FILTERS,
    also=(Instance.state == "running",),
    ids_forbid_pages="instancesSet",
    lenient_ids=True,
)


@action
def describe_instance_status(
    call: Call,
    *,
    instance_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    include_all_instances: bool = False,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Without IncludeAllInstances only running ones are listed, though an unknown id is still an error."""
    if instance_ids and not include_all_instances:
        describe(call, _EVERY, instance_ids)
    listing = _EVERY if include_all_instances else _RUNNING
    found, token = describe(call, listing, instance_ids, filters, max_results, next_token)
    return {"InstanceStatuses": found, "NextToken": token}


@action
def get_console_output(call: Call, *, instance_id: str, latest: bool = False) -> Result:
    """Give the last 64 KiB, as fresh as the worker has seen it: a second or so, with or without Latest."""
    instance = find(call, Instance, instance_id)
    seen = call.db.get(ConsoleOutput, instance.id)
    return {
        "InstanceId": instance_id,
        "Output": seen.text if seen else "",
        "Timestamp": seen.updated if seen else instance.launch_time,
    }

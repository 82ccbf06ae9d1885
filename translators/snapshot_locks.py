"""Locks: promises that a snapshot is not deleted before a day, which its owner can take back, or not.

Source: LockSnapshot, UnlockSnapshot and "Amazon EBS snapshot lock" (EBS User Guide), which name no error codes.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from engine.snapshots import DELETED, begin_lock
from engine.state import Snapshot, SnapshotLock, now, timestamp
from translators.describe import Listing, describe
from translators.errors import Ec2Error, combination, invalid, missing, refuse
from translators.filters import constant
from translators.registry import Call, Result, action
from translators.snapshots import find_snapshots, own_snapshot

_LONGEST = 36500
"""Days."""


def lock_state(mode: str, expires: str | None, cool_off_ends: str | None, moment: str) -> str:
    """Return EC2's state of a lock; one without an end is of a snapshot that is not completed yet."""
    if expires and expires <= moment:
        return "expired"
    return "compliance-cooloff" if cool_off_ends and cool_off_ends > moment else mode


def _state(lock: SnapshotLock | None) -> str:
    return lock_state(lock.mode, lock.expires, lock.cool_off_ends, now()) if lock else "expired"


def is_locked(call: Call, snapshot: Snapshot) -> bool:
    return _state(call.db.get(SnapshotLock, snapshot.id)) != "expired"


def refuse_if_locked(call: Call, snapshot: Snapshot) -> None:
    """Refuse to delete what is locked."""
    state = _state(call.db.get(SnapshotLock, snapshot.id))
    if state != "expired":
        refuse("SnapshotLocked", f"The snapshot '{snapshot.id}' is locked ({state}) and cannot be deleted.")


def _shape(row: Any) -> dict[str, Any]:
    return {
        "OwnerId": row.account,
        "SnapshotId": row.id,
        "LockState": row.mode,
        "LockDuration": row.duration,
        "CoolOffPeriod": row.cool_off,
        "CoolOffPeriodExpiresOn": row.cool_off_ends or None,
        "LockCreatedOn": row.locked,
        "LockDurationStartTime": row.starts or None,
        "LockExpiresOn": row.expires or None,
    }


def _as_of(shown: Mapping[str, Any], moment: str) -> dict[str, Any]:
    """Return a lock with the state that it has now: that changes by itself."""
    state = lock_state(shown["LockState"], shown["LockExpiresOn"], shown["CoolOffPeriodExpiresOn"], moment)
    return {**shown, "LockState": state}


def _in_states(values: Sequence[str]) -> ColumnElement[bool]:
    moment = now()
    over = and_(SnapshotLock.expires != "", SnapshotLock.expires <= moment)
    cooling = SnapshotLock.cool_off_ends > moment
    tests = {
        "expired": over,
        "compliance-cooloff": and_(~over, cooling),
        "compliance": and_(~over, ~cooling, SnapshotLock.mode == "compliance"),
        "governance": and_(~over, SnapshotLock.mode == "governance"),
    }
    return or_(*(and_(constant(state)(values), test) for state, test in tests.items()))


LOCKS = Listing(
    kind=Snapshot,
    columns=(
        Snapshot.id, Snapshot.account, SnapshotLock.mode, SnapshotLock.duration, SnapshotLock.cool_off,
        SnapshotLock.cool_off_ends, SnapshotLock.created.label("locked"), SnapshotLock.starts, SnapshotLock.expires,
    ),
    shape=_shape,
    also=(SnapshotLock.snapshot_id == Snapshot.id, Snapshot.state != DELETED),
    filters={"lock-state": _in_states},
    lenient_ids=True,
)  # fmt: skip


@action
def describe_locked_snapshots(
    call: Call,
    *,
    snapshot_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Snapshots that are not locked are left out; one whose lock is over is shown so."""
    if snapshot_ids:
        find_snapshots(call, snapshot_ids)
    found, token = describe(call, LOCKS, snapshot_ids, filters, max_results, next_token)
    moment = now()
    return {"Snapshots": [_as_of(lock.make(), moment) for lock in found], "NextToken": token}


@action
def lock_snapshot(
    call: Call,
    *,
    snapshot_id: str,
    lock_mode: str,
    cool_off_period: int | None = None,
    lock_duration: int | None = None,
    expiration_date: datetime | None = None,
) -> Result:
    """Lock a snapshot, or change its lock: once a compliance lock has cooled off, it can only be made longer."""
    snapshot = own_snapshot(call, snapshot_id)
    if snapshot.state not in ("pending", "completed"):
        raise Ec2Error("IncorrectState", f"The snapshot '{snapshot_id}' is not in the pending or completed state.")
    _check_numbers(lock_mode, cool_off_period, lock_duration, expiration_date)
    present = datetime.now(UTC)
    lock = call.db.get(SnapshotLock, snapshot_id, with_for_update=True)
    state = _state(lock)
    if lock is None or state == "expired":
        if lock is not None:
            call.db.delete(lock)
            call.db.flush()
        lock = SnapshotLock(snapshot_id=snapshot_id, created=timestamp(present), starts="", expires="")
        call.db.add(lock)
    if state == "compliance":
        _prolong(lock, lock_mode, cool_off_period, lock_duration, expiration_date)
    else:
        lock.mode, lock.cool_off = lock_mode, cool_off_period
        lock.cool_off_ends = timestamp(present + timedelta(hours=cool_off_period)) if cool_off_period else ""
        _last(lock, snapshot, lock_duration, expiration_date, present)
    call.db.flush()
    found = next(iter(LOCKS.select(call, ids=[snapshot_id])))
    shown = _as_of(_shape(found), now())
    del shown["OwnerId"]
    return shown


def _check_numbers(mode: str, cool_off: int | None, duration: int | None, expiration: datetime | None) -> None:
    if duration is None and expiration is None:
        raise missing("LockDuration or ExpirationDate")
    if duration is not None and expiration is not None:
        raise combination("LockDuration and ExpirationDate cannot be used together.")
    if cool_off is not None and mode != "compliance":
        raise combination("CoolOffPeriod can be used only with the compliance mode.")
    if cool_off is not None and not 1 <= cool_off <= 72:
        raise invalid("coolOffPeriod", cool_off, "It must be from 1 to 72 hours.")
    if duration is not None and not 1 <= duration <= _LONGEST:
        raise invalid("lockDuration", duration, f"It must be from 1 to {_LONGEST} days.")
    present = datetime.now(UTC)
    if expiration is not None and not present < expiration <= present + timedelta(days=_LONGEST):
        raise invalid("expirationDate", timestamp(expiration), f"It must be within the next {_LONGEST} days.")


def _last(
    lock: SnapshotLock, snapshot: Snapshot, duration: int | None, expiration: datetime | None, present: datetime
) -> None:
    """Have a lock last from now, or from when its snapshot is completed."""
    lock.starts, lock.expires = "", timestamp(expiration) if expiration else ""
    lock.duration = duration if duration else _days(expiration, present)
    if snapshot.state == "completed":
        begin_lock(lock, timestamp(present))


def _days(end: datetime | None, start: datetime) -> int:
    return math.ceil((end - start) / timedelta(days=1)) if end else 0


def _prolong(
    lock: SnapshotLock, mode: str, cool_off: int | None, duration: int | None, expiration: datetime | None
) -> None:
    start = datetime.fromisoformat(lock.starts) if lock.starts else datetime.now(UTC)
    end = expiration or start + timedelta(days=duration or 0)
    if mode != "compliance" or cool_off is not None or timestamp(end) <= lock.expires:
        text = "locked in compliance mode: its lock can only be made longer, without a cooling-off period."
        refuse("OperationNotPermitted", f"The snapshot '{lock.snapshot_id}' is {text}")
    lock.duration = duration if duration else _days(expiration, start)
    lock.expires = timestamp(end) if lock.starts or expiration else ""


@action
def unlock_snapshot(call: Call, *, snapshot_id: str) -> Result:
    snapshot = own_snapshot(call, snapshot_id)
    lock = call.db.get(SnapshotLock, snapshot.id, with_for_update=True)
    state = _state(lock)
    if lock is None or state == "expired":
        raise Ec2Error("IncorrectState", f"The snapshot '{snapshot_id}' is not locked.")
    if state == "compliance":
        text = "locked in compliance mode and its cooling-off period is over: it cannot be unlocked."
        refuse("OperationNotPermitted", f"The snapshot '{snapshot_id}' is {text}")
    call.db.delete(lock)
    return {"SnapshotId": snapshot_id}

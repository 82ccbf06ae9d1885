"""Snapshots that users write block by block, as rows: which are waiting for blocks, and which have waited too long."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine import tasks
from engine.state import Snapshot, SnapshotDraft, timestamp

_COARSE = timedelta(minutes=1)
"""How much later than in truth a draft may seem to be written to: not every block is worth a change of its row."""


def expiry(timeout: int) -> str:
    """Return until when a draft that is written to now is waited for; ``timeout`` is in minutes."""
    return timestamp(datetime.now(UTC) + timedelta(minutes=timeout))


def touch(draft: SnapshotDraft) -> None:
    """A block was written: what was waited for begins anew."""
    wanted = expiry(draft.timeout)
    if datetime.fromisoformat(wanted) - datetime.fromisoformat(draft.expires) > _COARSE:
        draft.expires = wanted


def seal(db: Session, snapshot: Snapshot, draft: SnapshotDraft) -> None:
    """Nothing more is written: have the snapshot made of it."""
    draft.sealed, draft.expires, snapshot.taken_by = True, "", snapshot.id
    tasks.start(db, snapshot.id, "complete_snapshot", snapshot.region)


def expire(db: Session, moment: str) -> None:
    """Cancel the drafts that were waited for until now."""
    late = select(SnapshotDraft.snapshot_id).where(SnapshotDraft.expires != "", SnapshotDraft.expires < moment)
    waiting = select(Snapshot.id, Snapshot.region).where(Snapshot.id.in_(late), Snapshot.state == "pending")
    for id, region in db.execute(waiting.order_by(Snapshot.id).with_for_update()).all():
        db.execute(update(Snapshot).where(Snapshot.id == id).values(taken_by=id))
        db.execute(update(SnapshotDraft).where(SnapshotDraft.snapshot_id == id).values(expires=""))
        tasks.start(db, id, "cancel_draft", region)

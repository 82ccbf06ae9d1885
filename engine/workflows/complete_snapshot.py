"""Make a snapshot of the blocks that a user wrote."""

from sqlalchemy.orm import Session

from engine import snapshots
from engine.disk_keys import open_key
from engine.drivers.base import BlockStorage, Refused
from engine.state import SnapshotDraft
from engine.tasks import Job, Step, Wait
from engine.workflows.create_snapshot import mark_completed

GIVE_UP = "cancel_draft"


def make_of_blocks(job: Job) -> Wait | None:
    """A large one takes several turns, and others have theirs in between."""
    for id, size, parent, key, zone in job.look(lambda db: _wanted(db, job.resource_id)):
        storage = job.drivers.storages[zone]
        if not isinstance(storage, BlockStorage):
            raise Refused(f"the store of {zone} is not written block by block")
        if not storage.complete_draft(id, size, parent, open_key(job.engine.settings, key)):
            return Wait(0)
    return None


def _wanted(db: Session, task_id: str) -> list[tuple[str, int, str | None, str, str]]:
    """Return the id, the size in GiB, the parent if there is one, the sealed key, and a zone of the store."""
    return [
        (one.id, one.volume_size, _parent_of(db, one.id), one.key, snapshots.zones_of(db, one)[0])
        for one in snapshots.wanted_by(db, task_id)
    ]


def _parent_of(db: Session, id: str) -> str | None:
    return db.get_one(SnapshotDraft, id).parent_id or None


STEPS: list[Step] = [make_of_blocks, mark_completed]

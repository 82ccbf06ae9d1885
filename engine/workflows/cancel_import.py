"""End an import that was cancelled or failed: its process, its files, and the snapshots that it had begun."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.imports import rows, work
from engine.state import Snapshot
from engine.tasks import Job, Step, in_database


def end_process(job: Job) -> None:
    work.end(rows.folder_of(job.engine.settings, job.resource_id))


def remove_snapshots(job: Job) -> None:
    for id in job.look(lambda db: _begun(db, job.resource_id)):
        for storage in set(job.drivers.storages.values()):
            storage.remove_snapshot(id)


def _begun(db: Session, id: str) -> list[str]:
    return list(db.scalars(select(Snapshot.id).where(Snapshot.taken_by == id, Snapshot.state.in_(rows.BEGUN))))


@in_database
def mark_deleted(job: Job) -> None:
    rows.discard(job.writing, job.resource_id)


STEPS: list[Step] = [end_process, remove_snapshots, mark_deleted]

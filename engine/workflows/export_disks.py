"""Convert the snapshots of an image and upload them as one object.

A process of its own does that; the step asks how far it is. See ``engine.exports``.
"""

from sqlalchemy.orm import Session

from engine.drivers.base import Refused
from engine.exports import rows
from engine.exports.orders import Order
from engine.imports import work
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "cancel_export"
_MOMENT = 0.05
"""Seconds in which a small disk is done before the step is put off."""


def wait_until_uploaded(job: Job) -> Wait | None:
    try:
        order = _order(job)
        if order is None:
            return None
        folder = rows.folder_of(job.engine.settings, job.resource_id)
        state = work.go_on(folder, order, "engine.exports")
    except Refused as error:
        state = {"failed": str(error)}
    if not work.is_over(state):
        work.wait(folder, _MOMENT)
        _note(job, state["message"], state["progress"])
        return Wait(0.1 if job.waited < 5 else 1.0)
    if "failed" in state:
        _note(job, state["failed"], 0)
        raise Refused(state["failed"])
    return None


def _order(job: Job) -> Order | None:
    """Return what there is to do; None for a task that is not active any more."""
    task = job.look(lambda db: rows.task_of(db, job.resource_id))
    if task is None or task.status != "active":
        return None
    disks = []
    for snapshot, zones in job.look(lambda db: rows.sources_of(db, job.resource_id)):
        if snapshot is None:
            raise Refused("ClientError: A snapshot of the export was deleted.")
        place = job.drivers.storages[zones[0]].locate_snapshot(snapshot.id)
        disks.append((place, snapshot.volume_size))
    return rows.order_of(job.engine.settings, task, disks)


def _note(job: Job, message: str, progress: int) -> None:
    """Write in a transaction of its own, and only what is new."""

    def known(db: Session) -> tuple[str, int] | None:
        task = rows.task_of(db, job.resource_id)
        return None if task is None else (task.message, task.progress)

    before = job.look(known)
    if before is not None and before != (message, max(progress, before[1])):
        with job.engine.database.write() as db:
            rows.note(db, job.resource_id, message, progress)


@in_database
def mark_completed(job: Job) -> None:
    rows.finish(job.writing, job.resource_id)


def remove_files(job: Job) -> None:
    work.end(rows.folder_of(job.engine.settings, job.resource_id))


STEPS: list[Step] = [wait_until_uploaded, mark_completed, remove_files]

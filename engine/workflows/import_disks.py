"""Read disk images from outside, keep each disk in them as a snapshot, and make the image of them.

A process of its own reads and converts; the step asks how far it is. See ``engine.imports``.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from engine.disk_keys import open_key
from engine.drivers.base import Refused
from engine.imports import restoring, rows, work
from engine.state import ImportSnapshotTask, RestoreImageTask
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "cancel_import"
_MOMENT = 0.05
"""Seconds in which a small image is done before the step is put off."""


def wait_until_converted(job: Job) -> Wait | None:
    settings = job.engine.settings
    asked = job.look(lambda db: rows.work_of(db, settings, job.resource_id))
    if asked is None or job.look(lambda db: rows.are_found(db, job.resource_id)):
        return None
    folder = rows.folder_of(settings, job.resource_id)
    try:
        state = work.go_on(folder, asked)
    except Refused as error:
        state = {"failed": str(error)}
    if not work.is_over(state):
        work.wait(folder, _MOMENT)
        _note(job, state["message"], state["progress"])
        return Wait(0.1 if job.waited < 5 else 1.0)
    problem = state.get("failed") or _problem(job, state)
    if problem:
        _note(job, problem, 0)
        raise Refused(problem)
    return None


def _problem(job: Job, state: Mapping[str, Any]) -> str:
    disks = len(state["disks"])
    task = job.look(lambda db: rows.task_of(db, job.resource_id))
    if isinstance(task, RestoreImageTask):
        return job.look(lambda db: restoring.problem(db, task, state["about"]))
    if isinstance(task, ImportSnapshotTask) and disks != 1:
        return f"ClientError: The file has {disks} disks, and a snapshot has one. Use ImportImage."
    return "" if disks <= rows.MOST_DISKS else f"ClientError: An image cannot have {disks} disks."


def _note(job: Job, message: str, progress: int) -> None:
    """Write in a transaction of its own, and only what is new."""
    known = job.look(lambda db: rows.task_of(db, job.resource_id))
    if known is not None and (known.message, known.progress) != (message, max(progress, known.progress)):
        with job.engine.database.write() as db:
            rows.note(db, job.resource_id, message, progress)


@in_database
def add_snapshots(job: Job) -> None:
    state = work.read_state(rows.folder_of(job.engine.settings, job.resource_id))
    rows.add_snapshots(job.writing, job.resource_id, state.get("disks") or [], state.get("about") or {})


def keep_disks(job: Job) -> None:
    """Hand the files to the stores of the region, in the order in which their snapshots' rows are."""
    folder = rows.folder_of(job.engine.settings, job.resource_id)
    files = [folder / disk["file"] for disk in work.read_state(folder).get("disks") or []]
    key = open_key(job.engine.settings, job.look(lambda db: _key_of(db, job.resource_id)))
    for snapshot, file in zip(job.look(lambda db: _wanted(db, job.resource_id)), files, strict=False):
        for storage in set(job.drivers.storages.values()):
            if snapshot:
                storage.adopt_snapshot(snapshot, file, key)


def _key_of(db: Session, id: str) -> str:
    task = rows.task_of(db, id)
    return task.key if task is not None else ""


def _wanted(db: Session, id: str) -> list[str]:
    """Return the snapshots of an active task in the order of its disks."""
    task = rows.task_of(db, id)
    active = task is not None and task.status == "active"
    return [disk.snapshot_id for disk in rows.disks_of(db, id)] if active else []


def write_sizes_down(job: Job) -> None:
    """End the task. The sizes are the stores' word, so this is no step ``in_database``; it may be done twice."""
    storage = next(iter(job.drivers.storages.values()))
    wanted = job.look(lambda db: _wanted(db, job.resource_id))
    sizes = {snapshot: max(1, storage.snapshot_size_gib(snapshot)) for snapshot in wanted}
    with job.engine.database.write() as db:
        complete = rows.finish(db, job.resource_id, sizes)
    if not complete:
        _note(job, "ClientError: A snapshot or the image of the import was deleted.", 0)
        raise Refused("a snapshot or the image of the import was deleted")


def remove_files(job: Job) -> None:
    work.end(rows.folder_of(job.engine.settings, job.resource_id))


STEPS: list[Step] = [wait_until_converted, add_snapshots, keep_disks, write_sizes_down, remove_files]

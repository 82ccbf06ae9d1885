"""End an export that was cancelled or failed: its process, files and snapshots, and what of it is in the bucket."""

from collections.abc import Callable

import structlog

from engine.drivers.base import DriverError
from engine.exports import rows
from engine.exports.uploads import Uploads, open_uploads
from engine.flow_logs.stores import ACCESS, DeliveryError
from engine.imports import work
from engine.state import ExportTask, StoreImageTask
from engine.tasks import Job, Step, in_database
from engine.workflows.create_snapshot import move_disks

log = structlog.get_logger("groundfog.worker")
_LONGEST = 24 * 3600
"""Seconds for which a store is asked that does not answer."""


def end_process(job: Job) -> None:
    work.end(rows.folder_of(job.engine.settings, job.resource_id))


@in_database
def let_go(job: Job) -> None:
    rows.let_go(job.writing, job.resource_id)


def abort_upload(job: Job) -> None:
    _ask(job, lambda uploads, task: uploads.abort(task.bucket, task.key))


def remove_object(job: Job) -> None:
    """The upload may have ended before its process did. A stored image has no name of its own: it stays as it is."""
    if not job.resource_id.startswith(StoreImageTask.prefix):
        _ask(job, lambda uploads, task: uploads.remove(task.bucket, task.key))


def _ask(job: Job, ask: Callable[[Uploads, ExportTask], None]) -> None:
    uploads = open_uploads(rows.store_of(job.engine.settings))
    task = job.look(lambda db: rows.task_of(db, job.resource_id))
    if uploads is None or task is None:
        return
    try:
        ask(uploads, task)
    except DeliveryError as error:
        # Where nothing may be written, or where there is no such bucket, nothing was.
        if error.said != ACCESS and job.waited < _LONGEST:
            raise DriverError(f"cannot clean the bucket {task.bucket}: {error}") from error
        log.warning("an export may have left something in a bucket", task=task.id, error=str(error))


@in_database
def mark_deleted(job: Job) -> None:
    rows.discard(job.writing, job.resource_id)


STEPS: list[Step] = [end_process, move_disks, let_go, abort_upload, remove_object, mark_deleted]

"""Snapshots that could not be made are errors, and the image that was to be made of them has failed."""

from engine import snapshots
from engine.tasks import Job, Step, in_database
from engine.workflows.create_snapshot import move_disks


@in_database
def mark_failed(job: Job) -> None:
    snapshots.finish(job.writing, job.resource_id, "error", "The data of the volume or snapshot could not be kept.")


STEPS: list[Step] = [move_disks, mark_failed]

"""Take snapshots of an instance's volumes at one moment, upload them as one object, and delete them again."""

from engine import snapshots
from engine.tasks import Job, Step, in_database
from engine.workflows.create_snapshot import keep_what_disks_hold, move_disks, wait_until_disks_are_ours
from engine.workflows.export_disks import mark_completed, remove_files, wait_until_uploaded

GIVE_UP = "cancel_export"


@in_database
def mark_taken(job: Job) -> None:
    snapshots.finish(job.writing, job.resource_id, "completed")


STEPS: list[Step] = [
    wait_until_disks_are_ours,
    keep_what_disks_hold,
    move_disks,
    mark_taken,
    wait_until_uploaded,
    mark_completed,
    remove_files,
]

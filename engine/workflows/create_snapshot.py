"""Take the snapshots of one or several volumes at one moment, be they at rest or written to, and the image of them.

From the moment at which the stores keep what the disks hold, a machine that runs must be made to go on elsewhere,
whatever happens: giving up too begins with that.
"""

from sqlalchemy.orm import Session

from engine import snapshots
from engine.disk_keys import open_key
from engine.machines import move_disks_of
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "fail_snapshot"


@in_database
def wait_until_disks_are_ours(job: Job) -> Wait | None:
    if snapshots.engage(job.writing, job.resource_id):
        return None
    return Wait(0.05 if job.waited < 2 else 0.5)


def keep_what_disks_hold(job: Job) -> None:
    for id, disk, key, zone in job.look(lambda db: _wanted(db, job.resource_id)):
        job.drivers.storages[zone].ensure_snapshot(id, disk, open_key(job.engine.settings, key))


def _wanted(db: Session, task_id: str) -> list[tuple[str, str, str, str]]:
    """Return the ids of each snapshot and its disk, its sealed key, and one of the zones that its store is in."""
    wanted = snapshots.wanted_by(db, task_id)
    return [(one.id, one.volume_id, one.key, snapshots.zones_of(db, one)[0]) for one in wanted]


def move_disks(job: Job) -> None:
    """Have the machines that run write to where their disks are now: that is the moment of the snapshots."""
    volumes = job.look(lambda db: [one.volume_id for one in snapshots.made_by(db, job.resource_id)])
    for instance in job.look(lambda db: snapshots.holders(db, volumes)):
        move_disks_of(job.engine, instance, volumes)


@in_database
def mark_completed(job: Job) -> None:
    snapshots.finish(job.writing, job.resource_id, "completed")


STEPS: list[Step] = [wait_until_disks_are_ours, keep_what_disks_hold, move_disks, mark_completed]

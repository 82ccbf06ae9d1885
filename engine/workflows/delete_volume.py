"""Take a volume's disk away, and then all that is known of it."""

from functools import partial

from engine import desired, volumes
from engine.snapshots import are_wanted_of
from engine.tasks import Job, Step, Wait, in_database


def wait_until_snapshots_are_taken(job: Job) -> Wait | None:
    """What a snapshot is still to be taken of must not go before."""
    wanted = job.look(lambda db: are_wanted_of(db, [job.resource_id]))
    return Wait(0.1 if job.waited < 5 else 1.0) if wanted else None


def remove_disk(job: Job) -> None:
    found = job.look(partial(desired.disk, settings=job.engine.settings, volume_id=job.resource_id))
    if found is not None:
        disk, zone = found
        job.drivers.storages[zone].remove_disk(disk.id)


@in_database
def forget(job: Job) -> None:
    volumes.forget(job.writing, [job.resource_id])


STEPS: list[Step] = [wait_until_snapshots_are_taken, remove_disk, forget]

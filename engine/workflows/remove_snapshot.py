"""Take a deleted snapshot's data away, once what was being made of it is made."""

from engine import snapshots
from engine.tasks import Job, Step, Wait, in_database


def wait_until_nothing_needs_it(job: Job) -> Wait | None:
    """Disks and copies that are made already need it no more; those that were asked for before it was deleted do."""
    needed = job.look(lambda db: snapshots.is_needed(db, job.resource_id))
    return Wait(0.2 if job.waited < 5 else 2.0) if needed else None


def remove_data(job: Job) -> None:
    for storage in set(job.drivers.storages.values()):
        storage.remove_snapshot(job.resource_id)


@in_database
def forget(job: Job) -> None:
    snapshots.forget(job.writing, [job.resource_id])


STEPS: list[Step] = [wait_until_nothing_needs_it, remove_data, forget]

"""Take a volume's disk away, and then all that is known of it."""

from functools import partial

from engine import desired, volumes
from engine.tasks import Job, Step, in_database


def remove_disk(job: Job) -> None:
    found = job.look(partial(desired.disk, volume_id=job.resource_id))
    if found is not None:
        disk, zone = found
        job.drivers.storages[zone].remove_disk(disk.id)


@in_database
def forget(job: Job) -> None:
    volumes.forget(job.writing, [job.resource_id])


STEPS: list[Step] = [remove_disk, forget]

"""Make a new volume's disk; where there is no room for it, or it cannot be made, the volume is an error, as in EC2."""

from functools import partial

from engine import desired
from engine.disk_room import make_disk
from engine.state import Volume
from engine.tasks import Job, Step, in_database

GIVE_UP = "fail_volume"


def make(job: Job) -> None:
    found = job.look(partial(desired.disk, settings=job.engine.settings, volume_id=job.resource_id))
    if found is not None:
        disk, zone = found
        make_disk(job.drivers.storages[zone], disk, job.engine.settings)


@in_database
def mark_available(job: Job) -> None:
    volume = job.writing.get(Volume, job.resource_id, with_for_update=True)
    if volume is not None and volume.state == "creating":
        volume.state = "available"


STEPS: list[Step] = [make, mark_available]

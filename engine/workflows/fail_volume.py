"""A volume that could not be made is an error, until it is deleted."""

from engine.state import Volume
from engine.tasks import Job, Step, in_database


@in_database
def mark_error(job: Job) -> None:
    volume = job.writing.get(Volume, job.resource_id, with_for_update=True)
    if volume is not None and volume.state == "creating":
        volume.state = "error"


STEPS: list[Step] = [mark_error]

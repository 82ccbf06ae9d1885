"""A volume that could not be plugged in is available again."""

from sqlalchemy import update

from engine.state import VolumeAttachment
from engine.tasks import Job, Step, in_database
from engine.workflows.detach_volume import STEPS as DETACH


@in_database
def begin_to_detach(job: Job) -> None:
    mine = (VolumeAttachment.id == job.resource_id, VolumeAttachment.state == "attaching")
    job.writing.execute(update(VolumeAttachment).where(*mine).values(state="detaching"))


STEPS: list[Step] = [begin_to_detach, *DETACH]

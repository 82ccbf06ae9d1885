"""A change of a volume that finds no room fails; one that has begun goes on for as long as it takes."""

from engine.state import now
from engine.tasks import Job, Step, in_database
from engine.workflows.modify_volume import STEPS as MODIFY
from engine.workflows.modify_volume import find_room, the_change


@in_database
def fail_unless_begun(job: Job) -> None:
    change = the_change(job.writing, job)
    if change is not None and change.state == "modifying" and not change.begun:
        change.state, change.ended = "failed", now()
        change.message = "There is not enough room to grow the volume now."


STEPS: list[Step] = [fail_unless_begun, *MODIFY[MODIFY.index(find_room) + 1 :]]

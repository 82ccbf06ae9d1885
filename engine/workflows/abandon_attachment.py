"""An interface that could not be plugged in is available again."""

from engine.state import NetworkInterface
from engine.tasks import Job, Step, in_database
from engine.workflows.detach_interface import STEPS as DETACH


@in_database
def begin_to_detach(job: Job) -> None:
    interface = job.writing.get(NetworkInterface, job.resource_id, with_for_update=True)
    if interface is not None and interface.attachment_status == "attaching":
        interface.attachment_status = "detaching"


STEPS: list[Step] = [begin_to_detach, *DETACH]

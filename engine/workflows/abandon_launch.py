"""A launch that failed ends as EC2's do: from pending straight to terminated, with the reason."""

from engine.tasks import Job, Step, in_database
from engine.workflows.boot_instance import the_instance
from engine.workflows.terminate_instance import STEPS as TERMINATE


@in_database
def record_failure(job: Job) -> None:
    instance = the_instance(job.writing, job)
    instance.state_reason_code = "Server.InternalError"
    instance.state_reason = "Server.InternalError: Internal error on launch"


STEPS: list[Step] = [record_failure, *TERMINATE]

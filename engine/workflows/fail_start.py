"""An instance that could not be started is stopped again, and says why."""

from engine.tasks import Job, Step, in_database
from engine.workflows.boot_instance import the_instance
from engine.workflows.force_stop_instance import STEPS as STOP


@in_database
def record_failure(job: Job) -> None:
    instance = the_instance(job.writing, job)
    instance.state = "stopping"
    instance.state_reason_code = "Server.InternalError"
    instance.state_reason = "Server.InternalError: Internal error on start"


STEPS: list[Step] = [record_failure, *STOP]

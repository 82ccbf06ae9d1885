"""An analysis that cannot be made ends as EC2's do: failed, with a message."""

from engine.state import InsightsAnalysis
from engine.tasks import Job, Step, in_database


@in_database
def record_failure(job: Job) -> None:
    analysis = job.writing.get(InsightsAnalysis, job.resource_id)
    if analysis is not None:
        analysis.status, analysis.message = "failed", "The network could not be asked. Try again later."


STEPS: list[Step] = [record_failure]

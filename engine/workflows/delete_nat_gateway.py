"""Take a NAT gateway off the network, and only then free its addresses for others."""

from engine.nat_gateways import end
from engine.tasks import Job, Step, in_database
from engine.workflows.create_nat_gateway import apply, the_gateway


@in_database
def mark_deleted(job: Job) -> None:
    end(job.writing, the_gateway(job.writing, job), "deleted")


STEPS: list[Step] = [apply, mark_deleted]

"""A NAT gateway that the network would not take fails, as EC2's do."""

from engine.nat_gateways import end
from engine.tasks import Job, Step, in_database
from engine.workflows.create_nat_gateway import apply, the_gateway


@in_database
def mark_failed(job: Job) -> None:
    gateway = the_gateway(job.writing, job)
    if gateway.state == "pending":
        what = f"Network interface {gateway.interface_id}, created and used internally by this NAT gateway"
        gateway.failure_code = "InternalError"
        gateway.failure = f"{what} is in an invalid state. Please try again."
        end(job.writing, gateway, "failed")


STEPS: list[Step] = [mark_failed, apply]

"""Take the network of a deleted VPC away."""

from engine.tasks import Job, Step


def remove(job: Job) -> None:
    job.drivers.network.remove_network(job.resource_id)


STEPS: list[Step] = [remove]

"""Take a deleted security group off the network."""

from engine.tasks import Job, Step


def remove(job: Job) -> None:
    job.drivers.network.remove_group(job.resource_id)


STEPS: list[Step] = [remove]

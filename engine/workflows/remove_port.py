"""Take a deleted interface off the network."""

from engine.tasks import Job, Step


def remove(job: Job) -> None:
    job.drivers.network.remove_port(job.resource_id)


STEPS: list[Step] = [remove]

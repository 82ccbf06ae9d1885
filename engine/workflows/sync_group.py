"""Bring a security group's rules on the network to what the database says."""

from functools import partial

from engine import desired
from engine.tasks import Job, Step


def apply(job: Job) -> None:
    network = job.drivers.network
    if job.resource_id in network.list_groups():
        job.converge(partial(desired.group, group_id=job.resource_id), network.ensure_group)


STEPS: list[Step] = [apply]

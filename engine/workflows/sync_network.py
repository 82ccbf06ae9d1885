"""Bring a VPC's network to what the database says; one that no guest was ever in need not exist yet."""

from functools import partial

from engine import desired
from engine.tasks import Job, Step


def apply(job: Job) -> None:
    bring(job, job.resource_id)


def bring(job: Job, vpc_id: str) -> None:
    """Make a network so, for any task that changes what should be."""
    network = job.drivers.network
    if vpc_id in network.list_networks():
        wanted = partial(desired.network, settings=job.engine.settings, vpc_id=vpc_id)
        job.converge(wanted, network.ensure_network)


STEPS: list[Step] = [apply]

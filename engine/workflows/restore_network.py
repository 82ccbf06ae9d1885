"""Bring a VPC's network back with everything that is in it, as after the network's own database was lost."""

from functools import partial

from engine import desired
from engine.plugging import in_vpc, plug
from engine.tasks import Job, Step


def apply(job: Job) -> None:
    wanted = partial(desired.network, settings=job.engine.settings, vpc_id=job.resource_id)
    job.converge(wanted, job.drivers.network.ensure_network)
    plug(job, in_vpc(job.resource_id))


STEPS: list[Step] = [apply]

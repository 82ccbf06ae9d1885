"""Bring an interface's port to what the database says: its groups, its public addresses, or its absence."""

from functools import partial

from engine import desired
from engine.plugging import plug
from engine.tasks import Job, Step


def apply(job: Job) -> None:
    if job.look(partial(desired.port, interface_id=job.resource_id)) is None:
        job.drivers.network.remove_port(job.resource_id)
    else:
        plug(job, lambda _: [job.resource_id])


STEPS: list[Step] = [apply]

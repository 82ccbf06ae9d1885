"""Bring an interface's port to what the database says: its groups, its public addresses, or its absence."""

from functools import partial

from engine import desired
from engine.tasks import Job, Step


def apply(job: Job) -> None:
    network = job.drivers.network
    if job.resource_id not in network.list_ports():
        return
    port = job.look(partial(desired.port, interface_id=job.resource_id))
    if port is None:
        network.remove_port(job.resource_id)
        return
    for group_id in port.groups:
        job.converge(partial(desired.group, group_id=group_id), network.ensure_group)
    job.converge(partial(desired.port, interface_id=job.resource_id), network.ensure_port)


STEPS: list[Step] = [apply]

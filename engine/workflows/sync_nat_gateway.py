"""Bring the addresses that a NAT gateway was given to the network."""

from engine.nat_gateways import CHANGING, DRAINING, addresses_of
from engine.tasks import Job, Step, in_database
from engine.workflows.create_nat_gateway import apply


@in_database
def mark_succeeded(job: Job) -> None:
    for address in addresses_of(job.writing, job.resource_id):
        if address.status in CHANGING.keys() - DRAINING.keys():
            address.status = "succeeded"


STEPS: list[Step] = [apply, mark_succeeded]

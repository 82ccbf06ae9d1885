"""Take addresses from a NAT gateway: first no new connections, and when the time is up none at all."""

from engine.nat_gateways import DRAINING, addresses_of, give_back
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.create_nat_gateway import apply, the_gateway


def wait_until_drained(job: Job) -> Wait | None:
    left = job.look(lambda db: the_gateway(db, job).drain_seconds) - job.waited
    return Wait(left) if left > 0 else None


@in_database
def give_addresses_back(job: Job) -> None:
    gateway = the_gateway(job.writing, job)
    for address in addresses_of(job.writing, gateway.id):
        if address.status in DRAINING:
            give_back(job.writing, gateway, address)


def withdraw(job: Job) -> None:
    apply(job)


STEPS: list[Step] = [apply, wait_until_drained, give_addresses_back, withdraw]

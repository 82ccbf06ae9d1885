"""Bring a pending NAT gateway to available, or to failed where it was clear from the start that it cannot be."""

from sqlalchemy.orm import Session

from engine.nat_gateways import addresses_of, end
from engine.state import NatGateway
from engine.tasks import Job, Step, in_database
from engine.workflows.sync_network import bring

GIVE_UP = "fail_nat_gateway"


def the_gateway(db: Session, job: Job) -> NatGateway:
    return db.get_one(NatGateway, job.resource_id)


def apply(job: Job) -> None:
    bring(job, job.look(lambda db: the_gateway(db, job).vpc_id))


@in_database
def mark_available(job: Job) -> None:
    gateway = the_gateway(job.writing, job)
    if gateway.failure_code:
        end(job.writing, gateway, "failed")
        return
    gateway.state = "available"
    for address in addresses_of(job.writing, gateway.id):
        address.status = "succeeded"


STEPS: list[Step] = [apply, mark_available]

"""Take an interface endpoint away."""

from engine.endpoints import forget_endpoint, interfaces_of
from engine.state import Endpoint
from engine.tasks import Job, Step, in_database


def remove_ports(job: Job) -> None:
    for card in job.look(lambda db: interfaces_of(db, job.resource_id)):
        job.drivers.network.remove_port(card.id)


@in_database
def forget(job: Job) -> None:
    endpoint = job.writing.get(Endpoint, job.resource_id)
    if endpoint is not None:
        forget_endpoint(job.writing, endpoint)


STEPS: list[Step] = [remove_ports, forget]

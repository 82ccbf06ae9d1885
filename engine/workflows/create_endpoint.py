"""Bring an interface endpoint's interfaces onto the network."""

from functools import partial

from sqlalchemy.orm import Session

from engine.endpoints import interfaces_of
from engine.plugging import plug
from engine.state import Endpoint
from engine.tasks import Job, Step, Wait, in_database


def _cards(db: Session, endpoint_id: str) -> list[str]:
    return [card.id for card in interfaces_of(db, endpoint_id)]


def plug_ports(job: Job) -> None:
    plug(job, partial(_cards, endpoint_id=job.resource_id))


def wait_until_up(job: Job) -> Wait | None:
    """Wait for the relays of this host's services to be plugged in; nobody plugs anything into a simulated network."""
    cards = job.look(partial(_cards, endpoint_id=job.resource_id))
    if job.engine.settings.engine == "simulated" or all(job.drivers.network.port_is_up(id) for id in cards):
        return None
    return Wait(0.2 if job.waited < 10 else 2.0)


@in_database
def mark_available(job: Job) -> None:
    job.writing.get_one(Endpoint, job.resource_id).state = "available"


STEPS: list[Step] = [plug_ports, wait_until_up, mark_available]

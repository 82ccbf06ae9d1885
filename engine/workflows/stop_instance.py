"""Bring an instance to stopped: ask the guest first, and cut its power if it does not answer."""

from sqlalchemy import delete

from engine import desired, placement
from engine.state import Address, now
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.boot_instance import the_instance

_PATIENCE = 60.0
"""Seconds a guest is given to shut down by itself."""


def ask_to_stop(job: Job) -> None:
    host = job.look(lambda db: the_instance(db, job).host)
    if host:
        job.drivers.computes[host].stop_machine(job.resource_id)


def wait_until_stopped(job: Job) -> Wait | None:
    host = job.look(lambda db: the_instance(db, job).host)
    if not host or job.drivers.computes[host].machine_state(job.resource_id) != "running":
        return None
    if job.waited > _PATIENCE:
        job.drivers.computes[host].stop_machine(job.resource_id, force=True)
    return Wait(0.2 if job.waited < 5 else 1.0)


def unplug_ports(job: Job) -> None:
    for card in job.look(lambda db: desired.interfaces(db, job.resource_id)):
        job.drivers.network.remove_port(card.id)


@in_database
def mark_stopped(job: Job) -> None:
    """Give back the host's capacity and the lent public addresses; the rest stays as it is."""
    instance = the_instance(job.writing, job)
    if instance.state_reason_code == "":
        instance.state_reason_code = "Client.UserInitiatedShutdown"
        instance.state_reason = "Client.UserInitiatedShutdown: User initiated shutdown"
    instance.state, instance.usage_time = "stopped", now()
    placement.release(job.writing, instance)
    cards = [card.id for card in desired.interfaces(job.writing, instance.id)]
    job.writing.execute(delete(Address).where(Address.interface_id.in_(cards), Address.elastic.is_(False)))


STEPS: list[Step] = [ask_to_stop, wait_until_stopped, unplug_ports, mark_stopped]

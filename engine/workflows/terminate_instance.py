"""Take an instance away, however little of it was ever made."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import desired, placement, volumes
from engine.attachments import end_attachment, forget_attachment
from engine.interfaces import remove_interface
from engine.snapshots import are_wanted_of
from engine.state import NetworkInterface, VolumeAttachment, now
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.boot_instance import the_instance

_PATIENCE = 8.0
"""Seconds a guest is given to shut down by itself before its power is cut."""


def ask_to_stop(job: Job) -> None:
    host = job.look(lambda db: the_instance(db, job).host)
    if host:
        job.drivers.computes[host].stop_machine(job.resource_id)


def wait_until_off(job: Job) -> Wait | None:
    host = job.look(lambda db: the_instance(db, job).host)
    off = not host or job.drivers.computes[host].machine_state(job.resource_id) != "running"
    return None if off or job.waited > _PATIENCE else Wait(0.2)


def remove_machine(job: Job) -> None:
    """Ask every host: a stopped instance holds none, yet its definition is on the one where it last ran."""
    for compute in job.drivers.computes.values():
        compute.remove_machine(job.resource_id)


def remove_ports(job: Job) -> None:
    for card in job.look(lambda db: desired.interfaces(db, job.resource_id)):
        job.drivers.network.remove_port(card.id)


def wait_until_snapshots_are_taken(job: Job) -> Wait | None:
    """What a snapshot is still to be taken of must not go before."""
    wanted = job.look(lambda db: are_wanted_of(db, volumes.going_with(db, job.resource_id)))
    return Wait(0.1 if job.waited < 5 else 1.0) if wanted else None


def remove_disks(job: Job) -> None:
    zone, ids = job.look(lambda db: (the_instance(db, job).zone, volumes.going_with(db, job.resource_id)))
    for id in ids:
        job.drivers.storages[zone].remove_disk(id)


@in_database
def mark_terminated(job: Job) -> None:
    db, instance = job.writing, the_instance(job.writing, job)
    volumes.forget(db, volumes.going_with(db, instance.id))
    for attachment in db.scalars(select(VolumeAttachment).filter_by(instance_id=instance.id)).all():
        volumes.end_attachment(db, attachment)
    for card in desired.interfaces(db, instance.id):
        _free_interface(db, card)
    placement.release(db, instance)
    instance.state, instance.ended, instance.private_ip = "terminated", now(), ""


def _free_interface(db: Session, card: NetworkInterface) -> None:
    """Delete an interface that goes with its instance; one that was being detached is kept, and its end is shown."""
    was_detaching = card.attachment_status == "detaching"
    if card.delete_on_termination and not was_detaching:
        remove_interface(db, card)
        return
    end_attachment(db, card)
    if not was_detaching:
        forget_attachment(card)


STEPS: list[Step] = [
    ask_to_stop,
    wait_until_off,
    remove_machine,
    remove_ports,
    wait_until_snapshots_are_taken,
    remove_disks,
    mark_terminated,
]

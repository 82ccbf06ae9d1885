"""Bring a pending instance to running."""

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from engine import desired
from engine.disk_room import make_disk
from engine.drivers.base import DriverError
from engine.machines import machine_of
from engine.plugging import plug
from engine.snapshots import is_taken_of_instance
from engine.state import LEAVING, Instance, NetworkInterface, VolumeAttachment
from engine.state.prepared import Prepared
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "abandon_launch"

_PATIENCE = 60.0
"""Seconds in which a started machine must be running and reachable."""


def wait_until_disks_stay(job: Job) -> Wait | None:
    """A snapshot that is being taken moves disks; none begins to be taken while an instance is being started."""
    taken = job.look(lambda db: is_taken_of_instance(db, job.resource_id))
    return Wait(0.05 if job.waited < 2 else 0.5) if taken else None


def create_disks(job: Job) -> None:
    settings = job.engine.settings
    zone = job.look(lambda db: desired.place(db, job.resource_id).zone)
    for disk, _ in job.look(lambda db: desired.disks(db, settings, job.resource_id)):
        make_disk(job.drivers.storages[zone], disk, settings)


def plug_ports(job: Job) -> None:
    plug(job, lambda db: [card.id for card in desired.cards(db, job.resource_id)])


def start_machine(job: Job) -> None:
    host = job.look(lambda db: desired.place(db, job.resource_id).host)
    job.drivers.computes[host].ensure_machine(machine_of(job.engine, job.resource_id))


def wait_until_up(job: Job) -> Wait | None:
    instance, cards = job.look(lambda db: (desired.place(db, job.resource_id), desired.cards(db, job.resource_id)))
    running = job.drivers.computes[instance.host].machine_state(instance.id) == "running"
    if running and all(job.drivers.network.port_is_up(card.id) for card in cards):
        return None
    if job.waited > _PATIENCE:
        raise DriverError("the machine did not come up" if not running else "its ports did not come up")
    return Wait(0.05 if job.waited < 2 else 0.5)


_RUNNING = [
    Prepared(statement)
    for statement in (
        update(Instance)
        .where(Instance.id == bindparam("instance"))
        .values(state="running", state_reason_code="", state_reason="", transition_reason=""),
        update(VolumeAttachment)
        .where(VolumeAttachment.instance_id == bindparam("instance"))
        .where(*(VolumeAttachment.state != leaving for leaving in LEAVING))
        .values(state="attached"),
        update(NetworkInterface)
        .where(NetworkInterface.instance_id == bindparam("instance"), NetworkInterface.attachment_status != "detaching")
        .values(status="in-use", attachment_status="attached"),
    )
]


@in_database
def mark_running(job: Job) -> None:
    for statement in _RUNNING:
        statement.execute(job.writing, instance=job.resource_id)


def the_instance(db: Session, job: Job) -> Instance:
    return db.get_one(Instance, job.resource_id)


STEPS: list[Step] = [wait_until_disks_stay, create_disks, plug_ports, start_machine, wait_until_up, mark_running]

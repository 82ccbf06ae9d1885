"""Change a volume's size, type and speed, also while guests use it: grow its disk first, then set its speed."""

from functools import partial
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine import desired
from engine.disk_room import check_room
from engine.drivers.base import GROWN_BY_STORAGE
from engine.machines import attached_disk, sync_devices
from engine.snapshots import is_taken_of_volume
from engine.state import Instance, Volume, VolumeAttachment, VolumeModification, now
from engine.state.prepared import Prepared
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "fail_modification"

_CHANGE = Prepared(
    select(
        VolumeModification.state, VolumeModification.begun, VolumeModification.original_size,
        VolumeModification.target_size,
    ).where(VolumeModification.volume_id == bindparam("id"))
)  # fmt: skip
_HOLDER = Prepared(
    select(Instance.id, Instance.host)
    .join(VolumeAttachment, VolumeAttachment.instance_id == Instance.id)
    .where(VolumeAttachment.volume_id == bindparam("id"))
)


def find_room(job: Job) -> None:
    change = job.look(partial(_CHANGE.first, id=job.resource_id))
    found = job.look(partial(desired.disk, settings=job.engine.settings, volume_id=job.resource_id))
    if change and found and change.state == "modifying" and not change.begun:
        more = change.target_size - change.original_size
        if more > 0:
            check_room(job.drivers.storages[found[1]], more, job.engine.settings)


@in_database
def begin(job: Job) -> None:
    change = the_change(job.writing, job)
    if change is not None and change.state == "modifying":
        change.begun = True


def wait_until_disk_stays(job: Job) -> Wait | None:
    """A snapshot that is being taken moves the disk; none begins to be taken while it is being changed."""
    taken = job.look(lambda db: is_taken_of_volume(db, job.resource_id))
    return Wait(0.05 if job.waited < 2 else 0.5) if taken else None


def grow(job: Job) -> None:
    """Grow the disk by the machine that runs with it, or by its store where none does."""
    change = job.look(partial(_CHANGE.first, id=job.resource_id))
    found = job.look(partial(desired.disk, settings=job.engine.settings, volume_id=job.resource_id))
    if not change or not found or change.state != "modifying":
        return
    disk, zone = found
    holder = job.look(partial(_HOLDER.first, id=job.resource_id))
    attached = attached_disk(job.engine, holder.id, disk.id) if holder else None
    if attached and _runs(job, holder):
        if attached.location.protocol in GROWN_BY_STORAGE:
            job.drivers.storages[zone].ensure_disk(disk)
        job.drivers.computes[holder.host].resize_disk(holder.id, attached, disk.size_gib)
    if not (holder and _runs(job, holder)):  # it may have been stopped meanwhile, before its disk had grown
        job.drivers.storages[zone].ensure_disk(disk)


def _runs(job: Job, holder: Any) -> bool:
    compute = job.drivers.computes.get(holder.host)
    return compute is not None and compute.machine_state(holder.id) == "running"


@in_database
def show_new_values(job: Job) -> None:
    """The volume has its new size, and what it promises is being kept from now on: EC2 calls that optimizing."""
    volume = job.writing.get(Volume, job.resource_id, with_for_update=True)
    change = the_change(job.writing, job)
    if volume is None or change is None or change.state != "modifying":
        return
    volume.size, volume.volume_type = change.target_size, change.target_type
    volume.iops, volume.throughput = change.target_iops, change.target_throughput
    change.state, change.progress = "optimizing", 50


def set_speed(job: Job) -> None:
    """Have a machine that runs keep the new bounds; one that is started later is given them."""
    holder = job.look(partial(_HOLDER.first, id=job.resource_id))
    if holder:
        sync_devices(job.engine, holder.id)


@in_database
def complete(job: Job) -> None:
    change = the_change(job.writing, job)
    if change is not None and change.state == "optimizing":
        change.state, change.progress, change.ended = "completed", 100, now()


def the_change(db: Session, job: Job) -> VolumeModification | None:
    return db.get(VolumeModification, job.resource_id, with_for_update=True)


STEPS: list[Step] = [find_room, begin, wait_until_disk_stays, grow, show_new_values, set_speed, complete]

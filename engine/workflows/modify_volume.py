"""Change a volume's size, type and speed, also while guests use it: grow its disk first, then set its speed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine import desired
from engine.disk_room import check_room
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
_HOLDERS = Prepared(
    select(Instance.id, Instance.host)
    .join(VolumeAttachment, VolumeAttachment.instance_id == Instance.id)
    .where(VolumeAttachment.volume_id == bindparam("id"))
    .order_by(Instance.id)
)


def find_room(job: Job) -> None:
    change = job.look(partial(_CHANGE.first, id=job.resource_id))
    found = job.look(partial(desired.disk, volume_id=job.resource_id))
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
    """Grow the disk by the machines that have it, or where none has, by its store."""
    change = job.look(partial(_CHANGE.first, id=job.resource_id))
    found = job.look(partial(desired.disk, volume_id=job.resource_id))
    if not change or not found or change.state != "modifying":
        return
    disk, zone = found
    holders = job.look(partial(_HOLDERS.rows, id=job.resource_id))
    for holder in holders:
        attached = attached_disk(job.engine, holder.id, disk.id)
        if attached and _runs(job, holder):
            job.drivers.computes[holder.host].resize_disk(holder.id, attached, disk.size_gib)
    if not _any_runs(job, holders):
        job.drivers.storages[zone].ensure_disk(disk)


def _runs(job: Job, holder: Any) -> bool:
    compute = job.drivers.computes.get(holder.host)
    return compute is not None and compute.machine_state(holder.id) == "running"


def _any_runs(job: Job, holders: Sequence[Any]) -> bool:
    return any(_runs(job, holder) for holder in holders)


@in_database
def show_new_values(job: Job) -> None:
    """The volume has its new size, and what it promises is being kept from now on: EC2 calls that optimizing."""
    db, change = job.writing, the_change(job.writing, job)
    volume = db.get(Volume, job.resource_id, with_for_update=True)
    if volume is None or change is None or change.state != "modifying":
        return
    volume.size, volume.volume_type = change.target_size, change.target_type
    volume.iops, volume.throughput = change.target_iops, change.target_throughput
    volume.multi_attach = change.target_multi_attach
    change.state, change.progress = "optimizing", 50


def set_speed(job: Job) -> None:
    """Have the machines that run keep the new bounds; those that start later are given them."""
    for holder in job.look(partial(_HOLDERS.rows, id=job.resource_id)):
        sync_devices(job.engine, holder.id)


@in_database
def complete(job: Job) -> None:
    change = the_change(job.writing, job)
    if change is not None and change.state == "optimizing":
        change.state, change.progress, change.ended = "completed", 100, now()


def the_change(db: Session, job: Job) -> VolumeModification | None:
    return db.get(VolumeModification, job.resource_id, with_for_update=True)


STEPS: list[Step] = [find_room, begin, wait_until_disk_stays, grow, show_new_values, set_speed, complete]

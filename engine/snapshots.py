"""Snapshots as rows: what has to wait for what while one is taken, how they end, and which of their tasks were lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, literal, or_, select, update
from sqlalchemy.orm import Session

from engine import root_replacements
from engine.state import (
    ExportDisk,
    ExportInstanceTask,
    Image,
    ImageBlockDevice,
    Instance,
    Snapshot,
    SnapshotDraft,
    SnapshotLock,
    SnapshotPermission,
    Task,
    Volume,
    VolumeAttachment,
    Zone,
    now,
    timestamp,
)
from engine.state.prepared import Prepared

DELETED = "deleted"
"""The state of a snapshot that is shown to nobody, for as long as its data or its task is still needed."""
_STARTING = ("boot_instance", "start_instance", *root_replacements.WORKFLOWS)
PAUSE = "pause_instance"
PAUSED = "wait_until_imaged"
"""The workflow that has an instance off while an image is made of it, and its step while it is off."""
_ENGAGED = ("pending", DELETED)
_TAKEN = Snapshot.being_taken.is_(True)


def made_by(db: Session, task_id: str) -> list[Snapshot]:
    """Return the snapshots that a task is to make, also those that were deleted meanwhile."""
    return list(db.scalars(select(Snapshot).filter_by(taken_by=task_id).where(Snapshot.state.in_(_ENGAGED))))


def wanted_by(db: Session, task_id: str) -> list[Snapshot]:
    """Return the snapshots that a task is to make, without those that nobody wants any more."""
    return list(db.scalars(select(Snapshot).filter_by(taken_by=task_id, state="pending").order_by(Snapshot.id)))


def holders(db: Session, volume_ids: Sequence[str]) -> list[str]:
    """Return the instances that have these volumes, or are letting go of them."""
    rows = select(VolumeAttachment.instance_id).where(VolumeAttachment.volume_id.in_(volume_ids)).distinct()
    return list(db.scalars(rows.order_by(VolumeAttachment.instance_id)))


def engage(db: Session, task_id: str) -> bool:
    """Have the disks of a task's snapshots to itself, so that nobody starts, plugs or grows them; say whether it has.

    Not while a machine is being started with them, or one of them is being plugged in or changed, or the disks of one
    machine are under another task. What takes disks away waits for the snapshot, so that is not waited for here.
    """
    snapshots = made_by(db, task_id)
    if all(snapshot.being_taken for snapshot in snapshots):
        return True
    ids = sorted({snapshot.volume_id for snapshot in snapshots})
    instances = holders(db, ids)
    db.execute(select(Instance.id).where(Instance.id.in_(instances)).order_by(Instance.id).with_for_update())
    volumes = {row.id: row for row in db.scalars(select(Volume).where(Volume.id.in_(ids)).with_for_update())}
    if holders(db, ids) != instances or _are_changing(db, ids, instances):
        return False
    if _is_taken_elsewhere(db, task_id, ids, instances):
        return False
    for snapshot in snapshots:
        snapshot.being_taken = True
        if snapshot.volume_id in volumes:  # it may have grown since it was asked for
            snapshot.volume_size = volumes[snapshot.volume_id].size
    return True


def _are_changing(db: Session, volumes: Sequence[str], instances: Sequence[str]) -> bool:
    """Say whether disks are being started, changed or plugged in.

    A machine that is off for an image is not started yet; one that is on its way down takes no disk any more.
    """
    off = and_(Task.workflow == PAUSE, Task.step == PAUSED)
    started = select(Task.resource_id).where(
        Task.resource_id.in_(instances), Task.workflow.in_((*_STARTING, PAUSE)), ~off
    )
    changed = (
        select(Task.resource_id)
        .join(Volume, Volume.id == Task.resource_id)
        .where(Volume.id.in_(volumes), Volume.state != "deleting")
    )
    waiting = select(Task.resource_id).where(off)
    plugged = (
        select(Task.resource_id)
        .join(VolumeAttachment, VolumeAttachment.id == Task.resource_id)
        .where(VolumeAttachment.volume_id.in_(volumes), VolumeAttachment.state == "attaching")
        .join(Instance, Instance.id == VolumeAttachment.instance_id)
        .where(Instance.state == "running", Instance.id.not_in(waiting))
    )
    return any(db.scalar(rows.limit(1)) is not None for rows in (started, changed, plugged))


def _is_taken_elsewhere(db: Session, task_id: str, volumes: Sequence[str], instances: Sequence[str]) -> bool:
    same = or_(
        Snapshot.volume_id.in_(volumes),
        exists().where(VolumeAttachment.volume_id == Snapshot.volume_id, VolumeAttachment.instance_id.in_(instances)),
    )
    return db.scalar(select(Snapshot.id).where(_TAKEN, Snapshot.taken_by != task_id, same).limit(1)) is not None


def taken_of(instance_id: Any) -> ColumnElement[bool]:
    """Match instances of a volume of which a snapshot is just being taken: disks may be changing their places."""
    mine = and_(VolumeAttachment.volume_id == Snapshot.volume_id, VolumeAttachment.instance_id == instance_id)
    return exists().where(_TAKEN, mine)


_OF_INSTANCE = Prepared(select(literal(1).label("taken")).where(taken_of(bindparam("id"))))
_OF_VOLUME = Prepared(select(Snapshot.id).where(_TAKEN, Snapshot.volume_id == bindparam("id")).limit(1))


def is_taken_of_instance(db: Session, instance_id: str) -> bool:
    """Say whether a snapshot of a volume of an instance is just being taken."""
    return _OF_INSTANCE.scalar(db, id=instance_id) is not None


def is_taken_of_volume(db: Session, volume_id: str) -> bool:
    """Say whether a snapshot of a volume is just being taken: its disk may be changing its place."""
    return _OF_VOLUME.scalar(db, id=volume_id) is not None


def are_wanted_of(db: Session, volume_ids: Sequence[str]) -> bool:
    """Say whether snapshots of these volumes are still to be taken: until then their disks must stay."""
    wanted = or_(Snapshot.state == "pending", _TAKEN)
    rows = select(Snapshot.id).where(Snapshot.volume_id.in_(volume_ids), Snapshot.source_id == "", wanted)
    return db.scalar(rows.limit(1)) is not None


def is_needed(db: Session, snapshot_id: str) -> bool:
    """Say whether a disk, a copy or an export is yet to be made of a snapshot: until then its data must stay."""
    unmade = or_(
        Volume.state == "creating",
        exists().where(VolumeAttachment.volume_id == Volume.id, VolumeAttachment.state == "attaching"),
    )
    disk = select(Volume.id).where(Volume.snapshot_id == snapshot_id, unmade).limit(1)
    copy = select(Snapshot.id).where(Snapshot.source_id == snapshot_id, Snapshot.state == "pending").limit(1)
    child = (
        select(SnapshotDraft.snapshot_id)
        .join(Snapshot, Snapshot.id == SnapshotDraft.snapshot_id)
        .where(SnapshotDraft.parent_id == snapshot_id, Snapshot.state == "pending")
    )
    exported = select(ExportDisk.snapshot_id).filter_by(snapshot_id=snapshot_id)
    return any(db.scalar(needed.limit(1)) is not None for needed in (disk, copy, child, exported))


def zones_of(db: Session, snapshot: Snapshot) -> list[str]:
    """Return the zones of a snapshot's region in whose stores it lies, or shall lie."""
    there = () if not snapshot.storage else (Zone.storage == snapshot.storage,)
    return list(db.scalars(select(Zone.name).where(Zone.region == snapshot.region, *there).order_by(Zone.name)))


def finish(db: Session, task_id: str, state: str, message: str = "") -> None:
    """End what a task had to make as ``completed`` or ``error``, and the image that it makes with it.

    What nobody wants any more is forgotten here, and its data is what the reconciler then takes away.
    """
    made = made_by(db, task_id)
    db.execute(delete(SnapshotDraft).where(SnapshotDraft.snapshot_id.in_([snapshot.id for snapshot in made])))
    forget(db, [snapshot.id for snapshot in made if snapshot.state == DELETED])
    for snapshot in made:
        if snapshot.state == "pending":
            snapshot.state, snapshot.state_message, snapshot.being_taken = state, message, False
            snapshot.completed = now() if state == "completed" else ""
            snapshot.progress = "100%" if state == "completed" else snapshot.progress
            if state == "completed":
                _begin_lock(db, snapshot)
    image = db.get(Image, task_id, with_for_update=True)
    if image is not None and image.state == "pending":
        _fit(db, image)
        image.state = "available" if state == "completed" else "failed"
        if state != "completed":
            image.state_reason_code = "Server.InternalError"
            image.state_reason = f"Server.InternalError: {message}"


def _fit(db: Session, image: Image) -> None:
    """Have the disks of an image be no smaller than their snapshots: volumes may have grown before these were taken."""
    smaller = and_(ImageBlockDevice.snapshot_id == Snapshot.id, ImageBlockDevice.size < Snapshot.volume_size)
    size = select(Snapshot.volume_size).where(smaller).scalar_subquery()
    here = and_(ImageBlockDevice.image_id == image.id, exists().where(smaller))
    db.execute(update(ImageBlockDevice).where(here).values(size=size))


def _begin_lock(db: Session, snapshot: Snapshot) -> None:
    """The duration of a lock on a pending snapshot begins when that is completed."""
    lock = db.get(SnapshotLock, snapshot.id)
    if lock is not None and lock.starts == "":
        begin_lock(lock, snapshot.completed)


def begin_lock(lock: SnapshotLock, moment: str) -> None:
    """Have the days of a lock run from this moment on; one that names the day of its end keeps that."""
    lock.starts = moment
    lock.expires = lock.expires or timestamp(datetime.fromisoformat(moment) + timedelta(days=lock.duration))


def forget(db: Session, ids: Sequence[str]) -> None:
    """Take away all that is known of snapshots."""
    db.execute(delete(SnapshotPermission).where(SnapshotPermission.snapshot_id.in_(ids)))
    db.execute(delete(SnapshotLock).where(SnapshotLock.snapshot_id.in_(ids)))
    db.execute(delete(SnapshotDraft).where(SnapshotDraft.snapshot_id.in_(ids)))
    db.execute(delete(Snapshot).where(Snapshot.id.in_(ids)))


def is_paused(db: Session, instance_id: str) -> bool:
    """Say whether an instance is off only because an image is being made of it."""
    images = select(Image.id).filter_by(source_instance_id=instance_id, restarts_instance=True, state="pending")
    return db.scalar(images.limit(1)) is not None


def volumes_of(db: Session, instance_id: str) -> list[str]:
    return list(db.scalars(select(VolumeAttachment.volume_id).filter_by(instance_id=instance_id)))


def lost_tasks(db: Session, region: str) -> dict[str, str]:
    """Return the workflow that ends what is under way with snapshots, by its task's name, where that was lost."""
    busy = select(Task.resource_id)
    exported = select(ExportInstanceTask.id).where(ExportInstanceTask.status.in_(("active", "deleting")))
    columns = (Snapshot.id, Snapshot.taken_by, Snapshot.source_id, Snapshot.state, Snapshot.being_taken)
    rows = (
        select(*columns, SnapshotDraft.sealed)
        .outerjoin(SnapshotDraft, SnapshotDraft.snapshot_id == Snapshot.id)
        .where(Snapshot.region == region, Snapshot.state.in_(_ENGAGED), Snapshot.taken_by != "")
        .where(Snapshot.taken_by.not_in(busy), Snapshot.id.not_in(busy))
        .where(Snapshot.taken_by.not_like("import-%"), Snapshot.taken_by.not_like("restore-%"))
        .where(Snapshot.taken_by.not_in(exported))
    )
    found = {}
    for row in db.execute(rows.order_by(Snapshot.id)):
        if row.state == "pending" or row.being_taken:
            found[row.taken_by] = _making(row)
        else:
            found.setdefault(row.id, "remove_snapshot")
    return found


def _making(row: Any) -> str:
    """Return the workflow that makes what is pending."""
    if row.sealed is not None:
        return "complete_snapshot" if row.sealed else "cancel_draft"
    return "copy_snapshot" if row.source_id else "create_snapshot"

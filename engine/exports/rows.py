"""Exports as rows: what their work is, how far it is, how they end, and which of their tasks were lost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from engine import snapshots, tasks
from engine.drivers.base import Location
from engine.exports.orders import Order
from engine.state import (
    ExportDisk,
    ExportImageTask,
    ExportInstanceTask,
    ExportTask,
    Image,
    ImageBlockDevice,
    Snapshot,
    SnapshotLock,
    StoreImageTask,
    Tag,
    Task,
)
from settings import Settings

GIB = 1 << 30
KINDS: Mapping[str, type[ExportTask]] = {
    kind.prefix: kind for kind in (ExportImageTask, ExportInstanceTask, StoreImageTask)
}
_MADE_BY: Mapping[type[ExportTask], str] = {ExportInstanceTask: "export_instance_disks"}
"""The workflows other than ``export_disks``."""


def workflow_of(kind: type[ExportTask]) -> str:
    return _MADE_BY.get(kind, "export_disks")


def task_of(db: Session, id: str, locked: bool = False) -> ExportTask | None:
    return db.get(KINDS[id.rpartition("-")[0]], id, with_for_update=locked or None)


def folder_of(settings: Settings, id: str) -> Path:
    return settings.data / "exports" / id


def sources_of(db: Session, id: str) -> list[tuple[Snapshot | None, list[str]]]:
    """Return the snapshots that an export reads, each with the zones that its store is in."""
    rows = select(ExportDisk.snapshot_id).filter_by(task_id=id).order_by(ExportDisk.number)
    found = [db.get(Snapshot, snapshot_id) for snapshot_id in db.scalars(rows)]
    return [(snapshot, snapshots.zones_of(db, snapshot) if snapshot else []) for snapshot in found]


def store_of(settings: Settings) -> tuple[str, str, str]:
    return settings.flow_log_store, settings.flow_log_store_key, settings.flow_log_store_secret


def order_of(settings: Settings, task: ExportTask, disks: Sequence[tuple[Location, int]]) -> Order:
    """Return what the process of an export is told; of each disk there are its place and its size in GiB."""
    stored = isinstance(task, StoreImageTask)
    return Order(
        name=task.id,
        disks=[
            {"protocol": place.protocol, "name": place.name, "format": place.format, "gib": gib}
            for place, gib in disks
        ],
        container="image" if stored else getattr(task, "container", ""),
        format="QCOW2" if stored else task.format, about=task.about, bucket=task.bucket, key=task.key,
        tags=getattr(task, "object_tags", {}), account=task.account, targets=settings.export_targets,
        store=store_of(settings),
        largest=settings.import_limit_gib * GIB, reserved=settings.disk_reserved_gib * GIB,
    )  # fmt: skip


def note(db: Session, id: str, message: str, progress: int) -> None:
    """Write down how far a task is, unless it ended or is to end."""
    task = task_of(db, id, locked=True)
    if task is not None and task.status == "active":
        task.message, task.progress = message, max(progress, task.progress)


def finish(db: Session, id: str) -> None:
    task = task_of(db, id, locked=True)
    if task is not None and task.status == "active":
        task.status, task.message, task.progress = "completed", "", 100
        let_go(db, id)


def let_go(db: Session, id: str) -> None:
    """Need the snapshots no more, and delete those that were taken for this alone."""
    db.execute(delete(ExportDisk).where(ExportDisk.task_id == id))
    for snapshot in db.scalars(select(Snapshot).where(Snapshot.taken_by == id).with_for_update()):
        snapshot.being_taken = False
        if not _is_used(db, snapshot.id):
            db.execute(delete(Tag).where(Tag.resource_id == snapshot.id))
            snapshot.state, snapshot.public = snapshots.DELETED, False
            tasks.start(db, snapshot.id, "remove_snapshot", snapshot.region)


def _is_used(db: Session, id: str) -> bool:
    """Say whether the owner of a snapshot locked it, or made an image of it."""
    image = exists().where(ImageBlockDevice.snapshot_id == id, ImageBlockDevice.image_id == Image.id)
    return bool(db.scalar(select(image | exists().where(SnapshotLock.snapshot_id == id))))


def discard(db: Session, id: str) -> None:
    """End a task as deleted; the message stays where it says why."""
    task = task_of(db, id, locked=True)
    if task is not None:
        task.status = "deleted"
        task.message = task.message if ": " in task.message else "ServerError: The disk could not be exported."


def lost_tasks(db: Session, region: str) -> dict[str, str]:
    """Return the workflow that ends each export under way whose task was lost."""
    found = {}
    for kind in KINDS.values():
        rows = select(kind.id, kind.status).where(
            kind.region == region, kind.status.in_(("active", "deleting")), kind.id.not_in(select(Task.resource_id))
        )
        for id, status in db.execute(rows):
            found[id] = workflow_of(kind) if status == "active" else "cancel_export"
    return found


def forget_ended(db: Session, kinds: Sequence[Any], before: str) -> None:
    """Forget the tasks of these kinds that ended and were begun before this moment."""
    for kind in kinds:
        over = kind.status.in_(("completed", "deleted"))
        ended = list(db.scalars(select(kind.id).where(over, kind.created < before).limit(500)))
        if ended:
            db.execute(delete(Tag).where(Tag.resource_id.in_(ended)))
            db.execute(delete(kind).where(kind.id.in_(ended)))

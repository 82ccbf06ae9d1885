"""Imports, and restored images, as rows: what their work is, how far it is, and what becomes of its disks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine import snapshots
from engine.disk_keys import open_key
from engine.imports import restoring
from engine.imports.places import bucket_url
from engine.imports.work import Work
from engine.state import (
    Image,
    ImageBlockDevice,
    ImportDisk,
    ImportImageTask,
    ImportSnapshotTask,
    ImportTask,
    RestoreImageTask,
    Snapshot,
    Tag,
    Task,
)
from settings import Settings

GIB = 1 << 30
MOST_DISKS = 24
_LETTERS = "bcdefghijklmnopqrstuvwxyz"
BEGUN = ("pending", snapshots.DELETED)
"""States of the snapshots that a task made and has not completed."""
KINDS: Mapping[str, type[ImportTask]] = {
    kind.prefix: kind for kind in (ImportSnapshotTask, ImportImageTask, RestoreImageTask)
}
_UNDER_WAY = {"active": "import_disks", "deleting": "cancel_import"}
"""The workflow that ends each status that does not last."""


def kind_of(id: str) -> type[ImportTask]:
    return KINDS[id.rpartition("-")[0]]


def task_of(db: Session, id: str, locked: bool = False) -> ImportTask | None:
    return db.get(kind_of(id), id, with_for_update=locked or None)


def disks_of(db: Session, id: str) -> list[ImportDisk]:
    return list(db.scalars(select(ImportDisk).filter_by(task_id=id).order_by(ImportDisk.number)))


def folder_of(settings: Settings, id: str) -> Path:
    return settings.data / "imports" / id


def work_of(db: Session, settings: Settings, id: str) -> Work | None:
    """Return what there is to read; None for a task that is not active any more."""
    task = task_of(db, id)
    if task is None or task.status != "active":
        return None
    return Work(
        files=[
            {"url": row.url or bucket_url(row.bucket, row.key), "bucket": row.bucket, "key": row.key,
             "format": row.format}
            for row in disks_of(db, id)
        ],
        account=task.account, sources=settings.import_sources, uploads=str(settings.data / "uploads"),
        store=(settings.flow_log_store, settings.flow_log_store_key, settings.flow_log_store_secret),
        largest=settings.import_limit_gib * GIB, reserved=settings.disk_reserved_gib * GIB,
        key=open_key(settings, task.key),
    )  # fmt: skip


def are_found(db: Session, id: str) -> bool:
    """Say whether the disks in a task's files have their snapshots already."""
    return any(disk.snapshot_id for disk in disks_of(db, id))


def note(db: Session, id: str, message: str, progress: int) -> None:
    """Write down how far a task is, unless it ended or is to end."""
    task = task_of(db, id, locked=True)
    if task is not None and task.status == "active":
        task.message, task.progress = message, max(progress, task.progress)


def add_snapshots(db: Session, id: str, found: Sequence[Mapping[str, Any]], about: dict[str, Any]) -> None:
    """Have a pending snapshot for each disk that was found; a row exists before its thing does.

    ``about`` is what was read of a stored image.
    """
    task = task_of(db, id, locked=True)
    asked = disks_of(db, id)
    if task is None or task.status != "active" or any(row.snapshot_id for row in asked):
        return
    made = []
    for number, disk in enumerate(found):
        source = asked[disk["of"]]
        snapshot = Snapshot(
            id=Snapshot.new_id(), account=task.account, region=task.region, volume_size=1, state="pending",
            progress="0%", taken_by=id, description=_text(task, source), encrypted=task.encrypted, key=task.key,
        )  # fmt: skip
        db.add(snapshot)
        made.append(
            ImportDisk(
                task_id=id, number=number, url=source.url, bucket=source.bucket, key=source.key,
                format=disk["format"], description=source.description, file_bytes=disk["bytes"],
                device=source.device if source.device and disk is _first(found, disk["of"]) else "",
                snapshot_id=snapshot.id,
            )
        )  # fmt: skip
    for row in asked:
        db.delete(row)
    db.flush()
    db.add_all(made)
    if isinstance(task, RestoreImageTask):
        restoring.begin(db, task, about, [disk.snapshot_id for disk in made])


def _first(found: Sequence[Mapping[str, Any]], of: int) -> Mapping[str, Any]:
    return next(disk for disk in found if disk["of"] == of)


def _text(task: ImportTask, disk: ImportDisk) -> str:
    return disk.description or task.description or f"Created by {task.id}"


def finish(db: Session, id: str, sizes: Mapping[str, int]) -> bool:
    """End a task as completed; ``sizes`` are the snapshots' GiB.

    Return False where one, or the image that is to have them, was deleted meanwhile.
    """
    task = task_of(db, id, locked=True)
    if task is None or task.status != "active":
        return True
    made = {snapshot.id: snapshot for snapshot in snapshots.wanted_by(db, id)}
    disks = disks_of(db, id)
    unwanted = isinstance(task, RestoreImageTask) and db.get(Image, task.image_id) is None
    if unwanted or not all(disk.snapshot_id in made for disk in disks):
        return False
    for snapshot_id, snapshot in made.items():
        snapshot.volume_size = sizes[snapshot_id]
    snapshots.finish(db, id, "completed")
    if isinstance(task, ImportImageTask):
        _add_image(db, task, disks, sizes)
    elif isinstance(task, RestoreImageTask):
        restoring.complete(db, task, [(disk.snapshot_id, sizes[disk.snapshot_id]) for disk in disks])
    task.status, task.message, task.progress, task.key = "completed", "", 100, ""
    return True


def _add_image(db: Session, task: ImportImageTask, disks: Sequence[ImportDisk], sizes: Mapping[str, int]) -> None:
    """The image is called as the task is, as EC2 calls it; its first disk boots."""
    names = device_names(disks)
    image = Image(
        id=Image.new_id(), account=task.account, region=task.region, name=task.id,
        description=task.description, location=f"{task.account}/{task.id}", architecture=task.architecture,
        platform=task.platform, boot_mode=task.boot_mode, root_device_name=names[0],
    )  # fmt: skip
    task.image_id = image.id
    db.add(image)
    db.flush()
    for disk, name in zip(disks, names, strict=True):
        disk.device = name
        db.add(
            ImageBlockDevice(
                image_id=image.id, device=name, snapshot_id=disk.snapshot_id, size=sizes[disk.snapshot_id],
                encrypted=task.encrypted,
            )
        )  # fmt: skip


def device_names(disks: Sequence[ImportDisk]) -> list[str]:
    """Return the names asked for, and for the others /dev/sda1, /dev/sdb and on, as EC2 gives them."""
    taken = {disk.device for disk in disks}
    free = iter([name for name in ("/dev/sda1", *(f"/dev/sd{letter}" for letter in _LETTERS)) if name not in taken])
    return [disk.device or next(free) for disk in disks]


def discard(db: Session, id: str) -> None:
    """End a task as deleted, without the snapshots that it had begun; the message stays where it says why."""
    snapshots.forget(db, [snapshot.id for snapshot in snapshots.made_by(db, id)])
    task = task_of(db, id, locked=True)
    if task is not None:
        task.status, task.key = "deleted", ""
        task.message = task.message if ": " in task.message else "ServerError: The disk image could not be imported."
        for disk in disks_of(db, id):
            disk.snapshot_id = ""
        if isinstance(task, RestoreImageTask):
            restoring.fail(db, task)


def lost_tasks(db: Session, region: str) -> dict[str, str]:
    """Return the workflow that ends each import under way whose task was lost."""
    found = {}
    for kind in KINDS.values():
        rows = select(kind.id, kind.status).where(
            kind.region == region, kind.status.in_(_UNDER_WAY), kind.id.not_in(select(Task.resource_id))
        )
        found.update({id: _UNDER_WAY[status] for id, status in db.execute(rows)})
    return found


def forget_ended(db: Session, before: str) -> None:
    """Forget the tasks that ended and were begun before this moment."""
    for kind in KINDS.values():
        over = kind.status.in_(("completed", "deleted"))
        ended = list(db.scalars(select(kind.id).where(over, kind.created < before).limit(500)))
        if ended:
            db.execute(delete(Tag).where(Tag.resource_id.in_(ended)))
            db.execute(delete(ImportDisk).where(ImportDisk.task_id.in_(ended)))
            db.execute(delete(kind).where(kind.id.in_(ended)))

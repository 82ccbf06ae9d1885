"""Disks of which many snapshots came and went are made quick again, one after the other, beside all else."""

from collections.abc import Callable, Iterator

import structlog
from sqlalchemy import select

from engine.disk_keys import open_key
from engine.disk_room import check_room
from engine.drivers.base import DriverError, Storage
from engine.snapshots import is_taken_of_volume
from engine.state import Task, Volume
from engine.tasks import Engine

log = structlog.get_logger("groundfog.compaction")

MOST_LAYERS = 16
"""Files that a disk is read through without being compacted."""


def compact(engine: Engine, is_over: Callable[[], bool] = lambda: False) -> None:
    """Look at every disk once, until ``is_over`` says so. A disk that cannot be compacted now stays as it is."""
    for id, size, key, storage in _disks(engine):
        if is_over():
            return
        if _is_changing(engine, id):
            continue
        try:
            check_room(storage, size, engine.settings)
            storage.compact(id, MOST_LAYERS, open_key(engine.settings, key))
        except DriverError as error:
            log.warning("cannot compact a disk now", disk=id, error=str(error))


def _disks(engine: Engine) -> Iterator[tuple[str, int, str, Storage]]:
    """Yield the id, the size in GiB, the sealed key and the store of what is made."""
    for region, drivers in engine.drivers.items():
        made = select(Volume.id, Volume.size, Volume.key, Volume.zone).where(
            Volume.region == region, Volume.state.in_(("available", "in-use"))
        )
        with engine.database.read() as db:
            rows = db.execute(made.order_by(Volume.id)).all()
        for row in rows:
            if row.zone in drivers.storages:
                yield row.id, row.size, row.key, drivers.storages[row.zone]


def _is_changing(engine: Engine, id: str) -> bool:
    """Say whether a task has the disk; one that begins meanwhile does no harm, nor comes to any."""
    with engine.database.read() as db:
        return db.get(Task, id) is not None or is_taken_of_volume(db, id)

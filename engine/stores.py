"""Which store of disks each zone has, as its row names it, and what can be done in which.

The settings say what keeps the disks of a zone; the rows say where what is there lies. A change of the settings must
not make the rows lie.
"""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.state import Snapshot, Volume, Zone
from settings import Settings

FILES = "default"
"""The name of the store of files in the data directory."""


class Misplaced(Exception):
    """The settings would have a zone be without what it has."""


def store_named(backend: str) -> str:
    """Return what rows call a backend of the settings: the options of a driver may change."""
    return FILES if backend == "qcow2" else backend.partition("?")[0]


def encrypts(store: str) -> bool:
    """Say whether the disks in a store can be encrypted."""
    return not store.startswith(("rbd:", "lvm:", "python:"))


def place(db: Session, settings: Settings) -> None:
    """Note what keeps the disks of each zone; raise Misplaced where what is there would be out of reach."""
    zones = db.scalars(select(Zone).order_by(Zone.name)).all()
    wanted = {zone.name: store_named(settings.storage_of(zone.name)) for zone in zones}
    changed = [zone for zone in zones if zone.storage != wanted[zone.name]]
    for zone in changed:
        _check_empty(db, zone, wanted)
    for region in sorted({zone.region for zone in changed}):
        there = [zone for zone in zones if zone.region == region]
        _pin(db, region, {zone.storage for zone in there}, {wanted[zone.name] for zone in there})
    for zone in changed:
        zone.storage = wanted[zone.name]


def _check_empty(db: Session, zone: Zone, wanted: dict[str, str]) -> None:
    """Refuse to take a store from a zone that has volumes in it, or from the last zone of a region with snapshots."""
    volume = select(Volume.id).where(Volume.zone == zone.name).limit(1)
    if db.scalar(volume) is not None:
        raise Misplaced(f"cannot keep the disks of {zone.name} in another store: it has volumes")
    others = select(Zone.name).where(Zone.region == zone.region)
    if zone.storage not in {wanted[name] for name in db.scalars(others)}:
        left = select(Snapshot.id).where(Snapshot.region == zone.region, Snapshot.storage == zone.storage).limit(1)
        if db.scalar(left) is not None:
            raise Misplaced(f"cannot keep the disks of {zone.name} in another store: snapshots lie in this one")


def _pin(db: Session, region: str, before: set[str], after: set[str]) -> None:
    """Have the rows of snapshots that lie in every store of a region say where that is, once there is a new store."""
    everywhere = (Snapshot.region == region, Snapshot.storage == "")
    if after <= before or db.scalar(select(Snapshot.id).where(*everywhere).limit(1)) is None:
        return
    if len(before) > 1 or not before <= after:
        raise Misplaced(f"cannot give {region} a new store: images or snapshots lie in {_and(sorted(before))}")
    db.execute(update(Snapshot).where(*everywhere).values(storage=before.pop()))


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)

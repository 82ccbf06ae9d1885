"""Copy one or several snapshots, within the stores that they lie in or into another, and make the image of them."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from engine import snapshots
from engine.disk_keys import open_key
from engine.state import Snapshot
from engine.store_transfers import carry
from engine.tasks import Job, Step, Wait
from engine.workflows.create_snapshot import mark_completed

GIVE_UP = "fail_snapshot"


class _Copy(NamedTuple):
    """A copy to make, with the zones in whose stores it is to lie, and those of the source in its region."""

    id: str
    source_id: str
    size_gib: int
    key: str
    zones: list[str]
    source_region: str
    source_zones: list[str]


def copy(job: Job) -> Wait | None:
    """Nothing is read where the source lies in the same store; a large one takes several turns elsewhere."""
    for each in job.look(lambda db: _wanted(db, job.resource_id)):
        there = job.engine.drivers[each.source_region].storages
        sources = [there[zone] for zone in each.source_zones]
        for storage in {job.drivers.storages[zone] for zone in each.zones}:
            if storage in sources:
                storage.copy_snapshot(each.id, each.source_id, open_key(job.engine.settings, each.key))
            elif not carry(sources[0], each.source_id, storage, each.id, each.size_gib, job.engine.settings):
                return Wait(0)
    return None


def _wanted(db: Session, task_id: str) -> list[_Copy]:
    found = []
    for one in snapshots.wanted_by(db, task_id):
        source = db.get_one(Snapshot, one.source_id)
        zones, theirs = snapshots.zones_of(db, one), snapshots.zones_of(db, source)
        found.append(_Copy(one.id, source.id, one.volume_size, one.key, zones, source.region, theirs))
    return found


STEPS: list[Step] = [copy, mark_completed]

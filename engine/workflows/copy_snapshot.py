"""Copy one or several snapshots within the stores that they lie in, and make the image of them."""

from sqlalchemy.orm import Session

from engine import snapshots
from engine.disk_keys import open_key
from engine.tasks import Job, Step
from engine.workflows.create_snapshot import mark_completed

GIVE_UP = "fail_snapshot"


def copy(job: Job) -> None:
    for id, source, key, zones in job.look(lambda db: _wanted(db, job.resource_id)):
        for storage in {job.drivers.storages[zone] for zone in zones}:
            storage.copy_snapshot(id, source, open_key(job.engine.settings, key))


def _wanted(db: Session, task_id: str) -> list[tuple[str, str, str, list[str]]]:
    wanted = snapshots.wanted_by(db, task_id)
    return [(one.id, one.source_id, one.key, snapshots.zones_of(db, one)) for one in wanted]


STEPS: list[Step] = [copy, mark_completed]

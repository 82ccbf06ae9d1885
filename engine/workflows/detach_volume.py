"""Have a guest let go of a volume's disk; one that does not keeps it busy, as in EC2."""

from sqlalchemy import bindparam, select, update

from engine.machines import sync_devices
from engine.state import LEAVING, Volume, VolumeAttachment
from engine.state.prepared import Prepared
from engine.tasks import Job, Step, Wait, in_database
from engine.volumes import end_attachment
from engine.workflows.attach_volume import the_attachment

_PATIENCE = 10.0
"""Seconds after which a guest that still has the disk is said to be using it."""
_BUSY = Prepared(
    update(VolumeAttachment)
    .where(VolumeAttachment.id == bindparam("id"), VolumeAttachment.state == "detaching")
    .values(state="busy")
)


def wait_until_unplugged(job: Job) -> Wait | None:
    """Ask a running guest until it has let go, which may be never, as in EC2; what is off has let go of everything.

    An instance on its way up or down has a task of its own, which may have begun with the disk: that one ends first.
    """
    found = the_attachment(job)
    if found is None or found.status not in LEAVING or found.state == "stopped":
        return None
    if found.state == "running" and sync_devices(job.engine, found.id):
        return None
    if found.status == "detaching" and job.waited > _PATIENCE:
        with job.engine.database.write() as db:
            _BUSY.execute(db, id=job.resource_id)
    return Wait(0.1 if job.waited < 3 else 1.0 if job.waited < 60 else 5.0)


@in_database
def end(job: Job) -> None:
    mine = select(VolumeAttachment).filter_by(id=job.resource_id)
    # The volume is locked first, as by every call.
    volume_id = job.writing.scalar(mine.with_only_columns(VolumeAttachment.volume_id))
    job.writing.get(Volume, volume_id or "", with_for_update=True)
    attachment = job.writing.scalar(mine.with_for_update())
    if attachment is not None and attachment.state in LEAVING:
        end_attachment(job.writing, attachment)


STEPS: list[Step] = [wait_until_unplugged, end]

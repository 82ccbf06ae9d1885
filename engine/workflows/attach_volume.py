"""Plug a volume into an instance, which may be running, and may be started, stopped or terminated meanwhile.

The task is the attachment's, so that the volume can be changed at the same time.
"""

from functools import partial
from typing import Any

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from engine import desired
from engine.disk_room import make_disk
from engine.drivers.base import DriverError
from engine.machines import sync_devices
from engine.snapshots import is_taken_of_volume
from engine.state import LEAVING, Instance, NetworkInterface, VolumeAttachment
from engine.state.prepared import Prepared
from engine.tasks import Job, Step, Wait, in_database

GIVE_UP = "abandon_volume_attachment"

_PATIENCE = 60.0
"""Seconds in which a running machine must have taken a disk."""
_ATTACHMENT = Prepared(
    select(VolumeAttachment.volume_id, VolumeAttachment.state.label("status"), Instance.id, Instance.state)
    .join(Instance, Instance.id == VolumeAttachment.instance_id)
    .where(VolumeAttachment.id == bindparam("id"))
)


def the_attachment(job: Job) -> Any:
    """Return an attachment's volume_id and status, and its instance's id and state; None where it is no more."""
    return job.look(partial(_ATTACHMENT.first, id=job.resource_id))


def wait_until_disk_stays(job: Job) -> Wait | None:
    """A snapshot that is being taken moves the disk; none begins to be taken while it is being plugged in."""
    found = the_attachment(job)
    taken = found and job.look(lambda db: is_taken_of_volume(db, found.volume_id))
    return Wait(0.05 if job.waited < 2 else 0.5) if taken else None


def have_disk(job: Job) -> None:
    """A launch that was stopped early may not have made it."""
    found = the_attachment(job)
    wanted = found and job.look(partial(desired.disk, settings=job.engine.settings, volume_id=found.volume_id))
    if wanted:
        disk, zone = wanted
        make_disk(job.drivers.storages[zone], disk, job.engine.settings)


def wait_until_plugged(job: Job) -> Wait | None:
    """Change a running machine; one on its way up or down is left to its own task, which knows of the disk too."""
    found = the_attachment(job)
    if found is None or found.status != "attaching" or found.state == "stopped":
        return None
    if found.state == "running":
        if sync_devices(job.engine, found.id) or job.look(partial(_another_leaves, instance_id=found.id)):
            return None
        if job.waited > _PATIENCE:
            raise DriverError("the machine did not take the disk")
    return Wait(0.05 if job.waited < 2 else 0.5)


def _another_leaves(db: Session, instance_id: str) -> bool:
    """Say whether a machine may have too much because of what its guest does not let go of: this disk it has."""
    disks = exists().where(VolumeAttachment.instance_id == instance_id, VolumeAttachment.state.in_(LEAVING))
    cards = exists().where(
        NetworkInterface.instance_id == instance_id, NetworkInterface.attachment_status == "detaching"
    )
    return bool(db.scalar(select(disks | cards)))


_ATTACHED = Prepared(
    update(VolumeAttachment)
    .where(VolumeAttachment.id == bindparam("id"), VolumeAttachment.state == "attaching")
    .values(state="attached")
)


@in_database
def mark_attached(job: Job) -> None:
    _ATTACHED.execute(job.writing, id=job.resource_id)


STEPS: list[Step] = [wait_until_disk_stays, have_disk, wait_until_plugged, mark_attached]

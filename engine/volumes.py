"""Volumes as rows: what becomes of them when an attachment or an instance ends, and how fast they are."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine import tasks
from engine.state import LEAVING, Instance, Tag, Task, Volume, VolumeAttachment, VolumeModification

_MIB = 2**20
_GP2_BURST = 3000
"""Operations per second that a gp2 volume of less than 1,000 GiB has for as long as its credits last."""

_MAKING = {"creating": "create_volume", "deleting": "delete_volume"}
_PLUGGING = {"attaching": "attach_volume", **dict.fromkeys(LEAVING, "detach_volume")}
_CHANGING = ("modifying", "optimizing")


def gp2_iops(size: int) -> int:
    """Return the operations per second that a gp2 volume of ``size`` GiB can always do: "Amazon EBS volume types"."""
    return min(max(3 * size, 100), 16000)


def limits(volume_type: str, size: int, iops: int | None, throughput: int | None) -> tuple[int | None, int | None]:
    """Return how many operations and bytes per second a volume may do at most; None where nothing is promised.

    A gp2 volume bursts, so it has what it does with credits left; these never run out here.
    """
    most = max(gp2_iops(size), _GP2_BURST) if volume_type == "gp2" else iops
    return most, throughput * _MIB if throughput else None


def end_attachment(db: Session, attachment: VolumeAttachment) -> None:
    """Make a volume available again. Of a launch that was ended early the disk may be missing: it is made now."""
    volume = db.get_one(Volume, attachment.volume_id, with_for_update=True)
    unmade = attachment.state == "attaching"
    db.delete(attachment)
    volume.state = "creating" if unmade else "available"
    if unmade:
        tasks.start(db, volume.id, "create_volume", volume.region)


def going_with(db: Session, instance_id: str) -> list[str]:
    """Return the volumes that are deleted with an instance: what is being detached stays."""
    going = (VolumeAttachment.delete_on_termination.is_(True), VolumeAttachment.state.not_in(LEAVING))
    rows = select(VolumeAttachment.volume_id).where(VolumeAttachment.instance_id == instance_id, *going)
    return list(db.scalars(rows))


def forget(db: Session, ids: Sequence[str]) -> None:
    """Take away all that is known of volumes whose disks are gone."""
    db.execute(delete(VolumeAttachment).where(VolumeAttachment.volume_id.in_(ids)))
    db.execute(delete(VolumeModification).where(VolumeModification.volume_id.in_(ids)))
    db.execute(delete(Volume).where(Volume.id.in_(ids)))
    db.execute(delete(Tag).where(Tag.resource_id.in_(ids)))


def lost_tasks(db: Session, region: str) -> dict[str, str]:
    """Return the workflow that keeps what a transient state promises, by what it is of, where its task was lost.

    An attachment whose instance has a task, or is to have one, is left to that.
    """
    busy = select(Task.resource_id)
    volumes = select(Volume.id, Volume.state).where(Volume.region == region, Volume.id.not_in(busy))
    found = {id: _MAKING[state] for id, state in db.execute(volumes.where(Volume.state.in_(list(_MAKING)))).tuples()}
    changing = volumes.join(VolumeModification, VolumeModification.volume_id == Volume.id).where(
        VolumeModification.state.in_(_CHANGING), Volume.id.not_in(list(found))
    )
    found |= {id: "modify_volume" for id, _ in db.execute(changing).tuples()}
    plugs = (
        select(VolumeAttachment.id, VolumeAttachment.state)
        .join(Instance, Instance.id == VolumeAttachment.instance_id)
        .where(Instance.region == region, Instance.state.in_(("running", "stopped")), Instance.id.not_in(busy))
        .where(VolumeAttachment.id.not_in(busy), VolumeAttachment.state.in_(list(_PLUGGING)))
    )
    return found | {id: _PLUGGING[state] for id, state in db.execute(plugs).tuples()}

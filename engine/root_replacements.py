"""Replacements of root volumes as rows: how the volumes change places, and how a replacement ends."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine import tasks
from engine.state import Instance, RootReplacement, Task, Volume, VolumeAttachment, now

WORKFLOW = "replace_root_volume"
WORKFLOWS = (WORKFLOW, "fail_root_replacement")
_UNDER_WAY = ("pending", "in-progress")


def under_way(db: Session, instance_id: str, lock: bool = False) -> RootReplacement | None:
    """Return the replacement of an instance's root volume that has not ended; there is at most one.

    ``lock`` is for who changes it: what only reads cannot lock.
    """
    rows = select(RootReplacement).where(
        RootReplacement.instance_id == instance_id, RootReplacement.state.in_(_UNDER_WAY)
    )
    return db.scalar(rows.with_for_update() if lock else rows)


def root_attachment(db: Session, instance_id: str) -> VolumeAttachment | None:
    return db.scalar(select(VolumeAttachment).filter_by(instance_id=instance_id, guest_device="vda"))


def exchange(db: Session, replacement: RootReplacement, old: str, new: str) -> bool:
    """Have the machine of an instance boot from volume ``new`` instead of ``old``; say whether it is so now.

    Not if ``new`` is not to be had: it may have been deleted or attached to another instance meanwhile.
    """
    attachment = root_attachment(db, replacement.instance_id)
    if attachment is None or attachment.volume_id == new:
        return attachment is not None
    volume = db.get(Volume, new, with_for_update=True)
    if attachment.volume_id != old or volume is None or volume.state != "available":
        return False
    kept: dict[str, Any] = {
        name: getattr(attachment, name) for name in ("instance_id", "device", "guest_device", "delete_on_termination")
    }
    db.delete(attachment)
    db.flush()
    db.add(VolumeAttachment(volume_id=new, state="attached", attach_time=now(), **kept))
    volume.state = "in-use"
    db.execute(update(Volume).where(Volume.id == old).values(state="available"))
    return True


def end(db: Session, replacement: RootReplacement, state: str) -> None:
    """Bring a replacement to ``succeeded`` or ``failed``; the volume that nobody wants then is deleted."""
    replacement.state, replacement.completed = state, now()
    unwanted = replacement.old_volume_id if replacement.deletes_old else ""
    if state == "failed":
        unwanted = replacement.new_volume_id if replacement.is_made else ""
    volume = db.get(Volume, unwanted, with_for_update=True) if unwanted else None
    if volume is not None and volume.state in ("available", "creating", "error"):
        volume.state = "deleting"
        tasks.start(db, volume.id, "delete_volume", volume.region)


def end_lost(db: Session, region: str) -> None:
    """End replacements whose instance was stopped or terminated meanwhile, and begin anew those whose task was lost."""
    for replacement in db.scalars(_lost(region).with_for_update()):
        instance = db.get(Instance, replacement.instance_id)
        if instance is not None and instance.state == "running":
            tasks.start(db, instance.id, WORKFLOW, region)
        else:
            changed = replacement.state == "in-progress" and instance is not None and instance.state == "stopped"
            end(db, replacement, "succeeded" if changed else "failed")


def any_lost(db: Session, region: str) -> bool:
    return db.scalar(_lost(region).limit(1)) is not None


def _lost(region: str) -> Any:
    """Select what is under way though no task of its instance is at it, nor one that may leave it to run."""
    at_it = select(Task.resource_id).where(Task.workflow.in_((*WORKFLOWS, "start_instance", "stop_instance")))
    return select(RootReplacement).where(
        RootReplacement.region == region, RootReplacement.state.in_(_UNDER_WAY),
        RootReplacement.instance_id.not_in(at_it),
    )  # fmt: skip

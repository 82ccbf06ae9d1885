"""The image that is made of a stored one: pending from the call on, complete with its disks, or failed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.state import Image, ImageBlockDevice, RestoreImageTask, Tag

_KEPT = (
    "architecture", "boot_mode", "description", "ena_support", "imds_support", "platform", "root_device_name",
    "sriov_net_support", "virtualization_type",
)  # fmt: skip


def problem(db: Session, task: RestoreImageTask, about: dict[str, Any]) -> str:
    """Say why an image cannot be as it was stored: its name is taken, or it is not wanted any more."""
    image = db.get(Image, task.image_id)
    if image is None:
        return "ClientError: The image was deregistered."
    held = select(Image.id).filter_by(account=task.account, region=task.region, name=about["name"])
    taken = None if task.named else db.scalar(held.where(Image.id != task.image_id))
    return f"ClientError: AMI name {about['name']} is already in use by AMI {taken}" if taken else ""


def begin(db: Session, task: RestoreImageTask, about: dict[str, Any], snapshots: Sequence[str]) -> None:
    """Have the image be what was stored but for its disks, which are being made."""
    task.about = about
    image = db.get(Image, task.image_id, with_for_update=True)
    if image is None:
        return
    for column in _KEPT:
        setattr(image, column, about[column])
    if not task.named:
        image.name, image.location = about["name"], f"{task.account}/{about['name']}"
    for id in snapshots:
        for key, value in task.snapshot_tags.items():
            db.add(
                Tag(
                    resource_id=id, key=key, value=value, account=task.account, region=task.region,
                    resource_type="snapshot",
                )
            )  # fmt: skip


def complete(db: Session, task: RestoreImageTask, made: Sequence[tuple[str, int]]) -> None:
    """Give the image its disks: ``made`` are the snapshots and their GiB, in the order of the files."""
    image = db.get(Image, task.image_id, with_for_update=True)
    if image is None:
        return
    snapshots = iter(made)
    for disk in task.about["disks"]:
        id, least = next(snapshots) if disk["file"] else ("", 0)
        db.add(
            ImageBlockDevice(
                image_id=image.id, device=disk["device"], snapshot_id=id, virtual_name=disk["virtual_name"],
                size=max(disk["size"], least), volume_type=disk["volume_type"], iops=disk["iops"],
                throughput=disk["throughput"], delete_on_termination=disk["delete_on_termination"],
                encrypted=bool(id) and task.encrypted,
            )
        )  # fmt: skip
    image.state = "available"


def fail(db: Session, task: RestoreImageTask) -> None:
    image = db.get(Image, task.image_id, with_for_update=True)
    if image is not None and image.state == "pending":
        image.state, image.state_reason_code = "failed", "Client.InvalidRequest"
        image.state_reason = task.message[:255]

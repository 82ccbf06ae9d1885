"""What requests say of an export: which object it becomes, and of which disks that are fit for it."""

from collections.abc import Sequence

from sqlalchemy import func, select

from engine.exports.rows import KINDS
from engine.imports.places import allowed, bucket_url
from engine.state import ExportDisk, ExportTask, Image, Snapshot
from translators.errors import Ec2Error, invalid, missing, refuse, unsupported
from translators.image_attributes import own_image
from translators.images import block_devices
from translators.import_requests import ROLE
from translators.quotas import check_quota
from translators.registry import Call
from translators.snapshots import completed, find_snapshots

FORMATS = ("VMDK", "RAW", "VHD")
_LARGEST_VHD = 2040
"""GiB (Virtual Hard Disk Image Format Specification)."""


def disk_format(name: str, text: str) -> str:
    if text.upper() not in FORMATS:
        raise invalid(name, text, f"Valid values: {', '.join(FORMATS)}.")
    return text.upper()


def check_place(call: Call, name: str, bucket: str, key: str) -> None:
    """Refuse a place where the caller may not write. Whether there is such a bucket the export itself finds out."""
    if not bucket:
        raise missing(f"{name}.S3Bucket")
    if not call.settings.flow_log_store:
        raise unsupported(name, "This deployment has no store of buckets: flow_log_store is not set.")
    if len(bucket) > 255 or len(key) > 1024:
        raise invalid(f"{name}.S3Prefix", f"{key[:40]}...", "It is too long.")
    if not allowed(bucket_url(bucket, key), call.settings.export_targets, call.account):
        text = f"The operator does not allow exports to there: see the setting export_targets. {bucket}"
        refuse("InvalidParameter", text)


def check_role(role_name: str) -> None:
    if role_name not in ("", ROLE):
        raise unsupported("RoleName", f"Objects are written by this deployment itself: leave it out, or say {ROLE}.")


def exportable_image(call: Call, image_id: str) -> Image:
    """Return an image of the caller's own, with which something can be done."""
    image = own_image(call, image_id)
    if image.state != "available":
        raise Ec2Error("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
    return image


def snapshots_of(call: Call, image: Image) -> list[Snapshot]:
    """Return the snapshots of an image, its root first; refuse one whose disks cannot leave."""
    disks = block_devices(call, image)
    ids = [disk.snapshot_id for disk in disks if disk.snapshot_id]
    found = find_snapshots(call, sorted(set(ids)))
    if any(disk.encrypted for disk in disks) or any(snapshot.encrypted for snapshot in found.values()):
        raise not_exportable(f"The image '{image.id}' has encrypted disks: what leaves would lie open.")
    for snapshot in found.values():
        check_size(call, completed(snapshot).volume_size)
    return [found[id] for id in ids]


def not_exportable(message: str) -> Ec2Error:
    return Ec2Error("NotExportable", message)


def check_size(call: Call, gib: int, kind: str = "") -> None:
    most = min(call.settings.import_limit_gib, _LARGEST_VHD if kind == "VHD" else 1 << 20)
    if gib > most:
        raise not_exportable(f"A disk has {gib} GiB: at most {most} can be exported{f' as {kind}' if kind else ''}.")


def add_task(call: Call, task: ExportTask, snapshot_ids: Sequence[str]) -> None:
    """Add the rows of an export; refuse more of them than an account may have at once."""
    active = 0
    for kind in KINDS.values():
        rows = select(func.count()).where(
            kind.account == call.account, kind.region == call.region, kind.status.in_(("active", "deleting"))
        )
        active += call.db.scalar(rows) or 0
    check_quota(call, "active exports", active + 1)
    call.db.add(task)
    call.db.add_all(
        ExportDisk(task_id=task.id, number=number, snapshot_id=id) for number, id in enumerate(snapshot_ids)
    )

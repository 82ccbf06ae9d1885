"""Copy an image with its snapshots, within a region or between regions that share a store of disks."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import Image, ImageBlockDevice, Snapshot
from translators import tags
from translators.ebs_encryption import is_to_be_encrypted
from translators.errors import Ec2Error, refuse
from translators.image_attributes import described
from translators.image_registration import add_image, check_name
from translators.images import find_visible_image
from translators.registry import Call, Result, action
from translators.snapshot_copies import add_copies, check_region
from translators.snapshots import completed, find_snapshots

_KEPT = (
    "architecture", "boot_mode", "ena_support", "imds_support", "platform", "root_device_name", "sriov_net_support",
    "tpm_support", "virtualization_type",
)  # fmt: skip
_DISK = (
    "delete_on_termination", "device", "encrypted", "iops", "size", "throughput", "virtual_name", "volume_type"
)  # fmt: skip


@action
def copy_image(
    call: Call,
    *,
    name: str,
    source_image_id: str,
    source_region: str,
    description: str = "",
    encrypted: bool = False,
    kms_key_id: str = "",
    copy_image_tags: bool = False,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Copy an image that the caller may launch and whose snapshots it may read, into the caller's region.

    Permissions, deprecation and protection are not copied, as in EC2.
    """
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    check_name(call, name)
    check_region(call, source_region)
    source = find_visible_image(call, source_image_id, source_region)
    if source.state != "available":
        refuse("InvalidAMIID.Unavailable", f"The image ID '{source_image_id}' is not available")
    disks = list(call.db.scalars(select(ImageBlockDevice).filter_by(image_id=source.id)))
    snapshots = _readable(call, source, [disk.snapshot_id for disk in disks if disk.snapshot_id])
    image = Image(
        id=Image.new_id(), **call.owner, name=name, description=described(description),
        location=f"{call.account}/{name}", state="pending", source_image_id=source.id,
        source_image_region=source.region, **{column: getattr(source, column) for column in _KEPT},
    )  # fmt: skip
    copies = {snapshot.id: Snapshot.new_id() for snapshot in snapshots}
    about = f"Copied for DestinationAmi {image.id} from SourceAmi {source.id} for SourceSnapshot "
    descriptions = [about + snapshot.id for snapshot in snapshots]
    add_copies(call, snapshots, image.id, list(copies.values()), descriptions, encrypted)
    add_image(call, image, [_copy(disk, copies, encrypted) for disk in disks])
    tags.put_at_creation(call, tag_specifications, {"image": [image.id], "snapshot": list(copies.values())})
    if copy_image_tags:
        tags.copy(call, {image.id: source.id}, "image")
    tasks.start(call.db, image.id, "copy_snapshot", call.region, new=True)
    return {"ImageId": image.id}


def _readable(call: Call, image: Image, ids: Sequence[str]) -> list[Snapshot]:
    """Return an image's snapshots; who launches a shared image need not be allowed to copy what it is made of."""
    try:
        found = find_snapshots(call, ids, image.region)
    except Ec2Error:
        refuse("InvalidRequest", "You do not have permission to access the storage of this ami")
    return [completed(found[id]) for id in dict.fromkeys(ids)]


def _copy(disk: ImageBlockDevice, copies: dict[str, str], encrypted: bool) -> ImageBlockDevice:
    kept = {column: getattr(disk, column) for column in _DISK}
    kept["encrypted"] = disk.encrypted or (encrypted and not disk.virtual_name)
    return ImageBlockDevice(snapshot_id=copies.get(disk.snapshot_id, ""), **kept)

"""Replace the root volume of a running instance by one of its snapshots, of an image, or by another volume."""

from dataclasses import dataclass
from typing import Any

from engine import root_replacements, tasks
from engine.snapshots import is_paused
from engine.state import Instance, RootReplacement, Snapshot, Volume, VolumeAttachment
from translators import tags, volume_quotas
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, invalid, refuse
from translators.find import find
from translators.images import block_devices, find_image, find_visible_image
from translators.registry import Call, Result, action
from translators.snapshots import completed, find_snapshots
from translators.stores import check_store
from translators.volume_types import check_volume, performance, volume_type


def _shape(row: Any) -> dict[str, Any]:
    return {
        "ReplaceRootVolumeTaskId": row.id,
        "InstanceId": row.instance_id,
        "TaskState": row.state,
        "StartTime": row.created,
        "CompleteTime": row.completed or None,
        "ImageId": row.image_id or None,
        "SnapshotId": row.snapshot_id or None,
        "DeleteReplacedRootVolume": row.deletes_old,
        "Tags": tag_set(row.tags),
    }


REPLACEMENTS = Listing(
    kind=RootReplacement,
    columns=(
        RootReplacement.id, RootReplacement.instance_id, RootReplacement.state, RootReplacement.created,
        RootReplacement.completed, RootReplacement.image_id, RootReplacement.snapshot_id, RootReplacement.deletes_old,
        tags_of(RootReplacement),
    ),
    shape=_shape,
    filters={"instance-id": RootReplacement.instance_id},
)  # fmt: skip


@action
def describe_replace_root_volume_tasks(
    call: Call,
    *,
    replace_root_volume_task_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, REPLACEMENTS, replace_root_volume_task_ids, filters, max_results, next_token)
    return {"ReplaceRootVolumeTasks": found, "NextToken": token}


@dataclass(frozen=True)
class _Root:
    """What the new root volume is made of: the snapshot ``source``, unless it is the volume ``volume_id``."""

    source: Snapshot | None = None
    least: int = 0
    """GiB."""
    volume_id: str = ""
    snapshot_id: str = ""
    image_id: str = ""


@action
def create_replace_root_volume_task(
    call: Call,
    *,
    instance_id: str,
    snapshot_id: str | None = None,
    image_id: str | None = None,
    volume_id: str | None = None,
    delete_replaced_root_volume: bool = False,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Replace a running instance's root volume; without a source, by what it was at launch."""
    if len([source for source in (snapshot_id, image_id, volume_id) if source]) > 1:
        raise combination("Only one of SnapshotId, ImageId and VolumeId can be specified.")
    instance = find(call, Instance, instance_id)
    if instance.state != "running":
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the running state.")
    refuse_if_replacing(call, instance)
    attachment = root_replacements.root_attachment(call.db, instance_id)
    if is_paused(call.db, instance_id) or attachment is None or attachment.state != "attached":
        refuse("IncorrectState", f"The root volume of the instance '{instance_id}' cannot be replaced now.")
    old = find(call, Volume, attachment.volume_id)
    root = _root(call, instance, attachment, old, snapshot_id, image_id, volume_id)
    replacement = RootReplacement(
        id=RootReplacement.new_id(), **call.owner, instance_id=instance_id, old_volume_id=old.id,
        new_volume_id=root.volume_id or _make(call, old, root), snapshot_id=root.snapshot_id, image_id=root.image_id,
        is_made=not root.volume_id, deletes_old=delete_replaced_root_volume,
    )  # fmt: skip
    call.db.add(replacement)
    tags.put_at_creation(call, tag_specifications, {"replace-root-volume-task": [replacement.id]})
    tasks.start(call.db, instance_id, "replace_root_volume", call.region)
    return {"ReplaceRootVolumeTask": rows_of(call, REPLACEMENTS, [replacement.id])[0]}


def refuse_if_replacing(call: Call, instance: Instance) -> None:
    """Refuse what cannot be done while an instance's root volume is being replaced."""
    if root_replacements.under_way(call.db, instance.id):
        refuse("IncorrectState", f"The root volume of the instance '{instance.id}' is being replaced.")


def _root(
    call: Call,
    instance: Instance,
    attachment: VolumeAttachment,
    old: Volume,
    snapshot_id: str | None,
    image_id: str | None,
    volume_id: str | None,
) -> _Root:
    if volume_id:
        return _of_volume(call, attachment, volume_id, instance)
    if image_id:
        return _of_image(call, instance, image_id)
    if snapshot_id:
        snapshot = completed(find_snapshots(call, [snapshot_id])[snapshot_id])
        if snapshot.volume_id != old.id:
            raise invalid("snapshotId", snapshot_id, f"It is not a snapshot of the root volume '{old.id}'.")
        return _Root(snapshot, snapshot.volume_size, snapshot_id=snapshot.id)
    return _at_launch(call, old)


def _of_volume(call: Call, attachment: VolumeAttachment, volume_id: str, instance: Instance) -> _Root:
    volume = find(call, Volume, volume_id)
    if volume.id == attachment.volume_id:
        raise invalid("volumeId", volume_id, "It is the root volume.")
    if volume.state != "available":
        refuse("IncorrectState", f"The volume '{volume_id}' is not 'available'.")
    if volume.zone != instance.zone:
        text = f"The volume '{volume_id}' is not in the same availability zone as instance '{instance.id}'"
        refuse("InvalidVolume.ZoneMismatch", text)
    if not volume_type(volume.volume_type).boots:
        raise invalid("volumeId", volume_id, f"A volume of the type {volume.volume_type} cannot be the root device.")
    return _Root(volume_id=volume_id)


def _of_image(call: Call, instance: Instance, image_id: str) -> _Root:
    image = find_image(call, image_id)
    same = (image.architecture, image.platform) == (instance.architecture, instance.platform)
    disk = block_devices(call, image)[0]
    if not same or find_visible_image(call, image_id).virtualization_type != "hvm":
        raise invalid("imageId", image_id, "It has another architecture or platform than the instance.")
    snapshot = call.db.get(Snapshot, disk.snapshot_id)
    return _Root(snapshot, disk.size, image_id=image_id, snapshot_id=disk.snapshot_id)


def _at_launch(call: Call, old: Volume) -> _Root:
    """Return what the root volume was made of; it may be gone, and need not be the caller's to use otherwise."""
    snapshot = call.db.get(Snapshot, old.snapshot_id)
    if snapshot is None or snapshot.state != "completed":
        raise Ec2Error("InvalidSnapshot.NotFound", f"The snapshot '{old.snapshot_id}' does not exist.")
    return _Root(snapshot, snapshot.volume_size, snapshot_id=snapshot.id)


def _make(call: Call, old: Volume, root: _Root) -> str:
    """Add a volume of the old one's type and speed, no smaller than it, and have it made."""
    size = max(old.size, root.least)
    kind = volume_type(old.volume_type)
    asked = old.iops if kind.iops else None, old.throughput if kind.throughput else None
    check_volume(old.volume_type, size, *asked)
    iops, throughput = performance(old.volume_type, size, *asked)
    volume_quotas.check_new(call, [(old.volume_type, size, iops)])
    check_store(call, old.zone, [root.source.id] if root.source else [], encrypted=False)
    volume = Volume(
        id=Volume.new_id(), **call.owner, zone=old.zone, size=size, snapshot_id=root.source.id if root.source else "",
        volume_type=old.volume_type, iops=iops, throughput=throughput, state="creating",
    )  # fmt: skip
    call.db.add(volume)
    tasks.start(call.db, volume.id, "create_volume", call.region, new=True)
    return volume.id

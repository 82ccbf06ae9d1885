"""Take snapshots of volumes, alone or all of an instance at one moment, and delete them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select

from engine import tasks
from engine.snapshots import DELETED
from engine.state import (
    Image,
    ImageBlockDevice,
    Instance,
    Snapshot,
    SnapshotPermission,
    Volume,
    VolumeAttachment,
    Zone,
    now,
)
from translators import tags
from translators.describe import rows_of
from translators.errors import Ec2Error, invalid, refuse
from translators.find import check_ids, find
from translators.quotas import check_quota
from translators.registry import Call, Result, action
from translators.snapshot_locks import refuse_if_locked
from translators.snapshots import SNAPSHOTS, own_snapshot

_LONGEST_DESCRIPTION = 255
_INFO = (
    "Description", "Encrypted", "OwnerId", "Progress", "SnapshotId", "StartTime", "State", "Tags", "VolumeId",
    "VolumeSize",
)  # fmt: skip
"""What CreateSnapshots says of each."""


@action
def create_snapshot(
    call: Call,
    *,
    volume_id: str,
    description: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    volume = find(call, Volume, volume_id)
    id = Snapshot.new_id()
    take(call, [volume], id, [id], described(description))
    tags.put_at_creation(call, tag_specifications, {"snapshot": [id]})
    tasks.start(call.db, id, "create_snapshot", call.region, new=True)
    return rows_of(call, SNAPSHOTS, [id])[0]


def described(text: str) -> str:
    """Return a snapshot's description as it was given; refuse one that is too long."""
    if len(text) > _LONGEST_DESCRIPTION:
        raise invalid("description", text, f"It must be no longer than {_LONGEST_DESCRIPTION} characters.")
    return text


def take(call: Call, volumes: Sequence[Volume], task_id: str, ids: Sequence[str], description: str) -> None:
    """Add the rows of snapshots that one task is to take of these volumes, all at one moment."""
    check_room(call, len(ids))
    storages = dict(call.db.execute(select(Zone.name, Zone.storage).where(Zone.region == call.region)).tuples().all())
    moment = now()
    for id, volume in zip(ids, volumes, strict=True):
        if volume.state not in ("available", "in-use") or _is_going(call, volume):
            refuse("IncorrectState", f"The volume '{volume.id}' is not in the available or in-use state.")
        call.db.add(
            Snapshot(
                id=id, **call.owner, volume_id=volume.id, volume_size=volume.size, description=description,
                encrypted=volume.encrypted, key=volume.key, state="pending", progress="0%",
                storage=storages[volume.zone], taken_by=task_id, created=moment,
            )
        )  # fmt: skip


def check_room(call: Call, more: int) -> None:
    """Refuse more snapshots than the account may have in a region."""
    held = select(func.count()).where(
        Snapshot.account == call.account, Snapshot.region == call.region, Snapshot.state != DELETED
    )
    check_quota(call, "snapshots", (call.db.scalar(held) or 0) + more)


def _is_going(call: Call, volume: Volume) -> bool:
    """Say whether a volume is about to be deleted together with its instance."""
    going = (
        select(Instance.id)
        .join(VolumeAttachment, VolumeAttachment.instance_id == Instance.id)
        .where(VolumeAttachment.volume_id == volume.id, VolumeAttachment.delete_on_termination.is_(True))
        .where(Instance.state == "shutting-down")
    )
    return call.db.scalar(going.limit(1)) is not None


@action
def create_snapshots(
    call: Call,
    *,
    instance_specification: dict[str, Any],
    description: str = "",
    copy_tags_from_source: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Take snapshots of an instance's volumes at one moment; a tag of the request stands over one of the volume."""
    instance = find(call, Instance, instance_specification["InstanceId"])
    if instance.state not in ("pending", "running", "stopping", "stopped"):
        refuse(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state for snapshots of its volumes."
        )
    volumes = _chosen(call, instance, instance_specification)
    ids = [Snapshot.new_id() for _ in volumes]
    take(call, volumes, ids[0], ids, described(description))
    tags.put_at_creation(call, tag_specifications, {"snapshot": ids})
    if copy_tags_from_source is not None:
        if copy_tags_from_source != "volume":
            raise invalid("copyTagsFromSource", copy_tags_from_source, "Valid values: volume.")
        tags.copy(call, dict(zip(ids, [volume.id for volume in volumes], strict=True)), "snapshot")
    tasks.start(call.db, ids[0], "create_snapshot", call.region, new=True)
    made = rows_of(call, SNAPSHOTS, ids)
    return {"Snapshots": [{name: snapshot[name] for name in _INFO} for snapshot in made]}


def _chosen(call: Call, instance: Instance, asked: Mapping[str, Any]) -> list[Volume]:
    """Return the volumes of an instance without those that are excluded, the root first."""
    excluded = asked.get("ExcludeDataVolumeIds") or []
    check_ids(Volume, excluded)
    attached = attached_volumes(call, instance)
    root = [volume.id for volume, attachment in attached if attachment.guest_device == "vda"]
    for id in excluded:
        if id in root:
            raise invalid("excludeDataVolumeId", id, "It is the root volume: use ExcludeBootVolume.")
        if id not in [volume.id for volume, _ in attached]:
            raise invalid("excludeDataVolumeId", id, f"It is not attached to the instance '{instance.id}'.")
    gone = {*excluded, *(root if asked.get("ExcludeBootVolume") else ())}
    chosen = [volume for volume, _ in attached if volume.id not in gone]
    if not chosen:
        raise Ec2Error("InvalidParameterValue", f"The instance '{instance.id}' has no volumes other than the excluded.")
    return chosen


def attached_volumes(call: Call, instance: Instance) -> list[tuple[Volume, VolumeAttachment]]:
    """Return the volumes that an instance has and keeps, locked until the call ends, the root first."""
    rows = (
        select(Volume, VolumeAttachment)
        .join(VolumeAttachment, VolumeAttachment.volume_id == Volume.id)
        .where(VolumeAttachment.instance_id == instance.id, VolumeAttachment.state.in_(("attaching", "attached")))
        .order_by(VolumeAttachment.guest_device)
    )
    return list(call.db.execute(rows.with_for_update(of=Volume)).tuples())


@action
def delete_snapshot(call: Call, *, snapshot_id: str) -> Result:
    """Delete a snapshot. Volumes and images that were made of it, and those that are being made, are what they are."""
    snapshot = own_snapshot(call, snapshot_id)
    refuse_if_locked(call, snapshot)
    image = using_image(call, snapshot_id)
    if image:
        refuse("InvalidSnapshot.InUse", f"The snapshot {snapshot_id} is currently in use by {image}")
    remove(call, snapshot)
    return {}


def using_image(call: Call, snapshot_id: str) -> str | None:
    """Return an image, whoever's it is, that instances could be launched from and that names a snapshot."""
    named = (
        select(Image.id)
        .join(ImageBlockDevice, ImageBlockDevice.image_id == Image.id)
        .where(ImageBlockDevice.snapshot_id == snapshot_id, Image.state != "failed")
    )
    return call.db.scalar(named.order_by(Image.id).limit(1))


def remove(call: Call, snapshot: Snapshot) -> None:
    """Have a snapshot be gone for everybody. One that is under way is ended by its own task."""
    under_way = snapshot.state == "pending" and snapshot.taken_by != ""
    tags.forget(call, snapshot.id)
    call.db.execute(delete(SnapshotPermission).where(SnapshotPermission.snapshot_id == snapshot.id))
    snapshot.state, snapshot.public = DELETED, False
    if not under_way:
        tasks.start(call.db, snapshot.id, "remove_snapshot", call.region)

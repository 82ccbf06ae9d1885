"""Volumes: disks, what they promise, and the instances they are attached to."""

import json
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import Snapshot, Volume, VolumeAttachment, Zone, json_rows, now
from engine.state.prepared import put
from translators import tags, volume_quotas
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.ebs_encryption import is_to_be_encrypted, key_shown, sealed_key
from translators.errors import Ec2Error, combination, missing, refuse, unsupported
from translators.filters import constant, through
from translators.find import find
from translators.registry import Call, Result, action
from translators.snapshots import find_snapshots
from translators.stores import check_store
from translators.volume_types import check_volume, performance

_attached = VolumeAttachment.volume_id == Volume.id
_attachments = json_rows(
    VolumeAttachment.instance_id, VolumeAttachment.device, VolumeAttachment.state,
    VolumeAttachment.delete_on_termination, VolumeAttachment.attach_time,
    where=_attached, order=(VolumeAttachment.attach_time, VolumeAttachment.instance_id),
)  # fmt: skip
_zone_id = select(Zone.zone_id).where(Zone.name == Volume.zone).scalar_subquery()


def _shape(row: Any) -> dict[str, Any]:
    iops, throughput = performance(row.volume_type, row.size, row.iops, row.throughput)
    return {
        "VolumeId": row.id,
        "VolumeArn": f"arn:aws:ec2:{row.region}:{row.account}:volume/{row.id}",
        "OwnerId": row.account,
        "Size": row.size,
        "SnapshotId": row.snapshot_id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": row.zone_id,
        "State": row.state,
        "CreateTime": row.created,
        "VolumeType": row.volume_type,
        "Iops": iops,
        "Throughput": throughput,
        "Encrypted": row.encrypted,
        "KmsKeyId": key_shown(row),
        "MultiAttachEnabled": row.multi_attach,
        "FastRestored": False,
        "Operator": {"Managed": False},
        "Attachments": [
            {
                "VolumeId": row.id,
                "InstanceId": instance,
                "Device": device,
                "State": state,
                "DeleteOnTermination": bool(delete),
                "AttachTime": since,
            }
            for instance, device, state, delete, since in json.loads(row.attachments)
        ],
        "Tags": tag_set(row.tags),
    }


VOLUMES = Listing(
    kind=Volume,
    columns=(
        Volume.id, Volume.account, Volume.region, Volume.size, Volume.snapshot_id, Volume.zone,
        _zone_id.label("zone_id"), Volume.state, Volume.created, Volume.volume_type, Volume.iops, Volume.throughput,
        Volume.encrypted, Volume.multi_attach,
        _attachments.label("attachments"), tags_of(Volume),
    ),
    shape=_shape,
    filters={
        "attachment.attach-time": through(VolumeAttachment.attach_time, _attached),
        "attachment.delete-on-termination": through(VolumeAttachment.delete_on_termination, _attached),
        "attachment.device": through(VolumeAttachment.device, _attached),
        "attachment.instance-id": through(VolumeAttachment.instance_id, _attached),
        "attachment.status": through(VolumeAttachment.state, _attached),
        "availability-zone": Volume.zone,
        "availability-zone-id": through(Zone.zone_id, Zone.name == Volume.zone),
        "create-time": Volume.created,
        "encrypted": Volume.encrypted,
        "fast-restored": constant("false"),
        "multi-attach-enabled": Volume.multi_attach,
        "operator.managed": constant("false"),
        "operator.principal": constant(""),
        "size": Volume.size,
        "snapshot-id": Volume.snapshot_id,
        "status": Volume.state,
        "volume-id": Volume.id,
        "volume-type": Volume.volume_type,
    },
    ids_forbid_pages="volumeSet",
)  # fmt: skip


@action
def describe_volumes(
    call: Call,
    *,
    volume_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    include_managed_resources: bool = False,
) -> Result:
    """No other service makes volumes here, so there are no managed ones to include."""
    found, token = describe(call, VOLUMES, volume_ids, filters, max_results, next_token)
    return {"Volumes": found, "NextToken": token}


@action
def create_volume(
    call: Call,
    *,
    availability_zone: str | None = None,
    availability_zone_id: str | None = None,
    size: int | None = None,
    snapshot_id: str | None = None,
    volume_type: str = "gp2",
    iops: int | None = None,
    throughput: int | None = None,
    multi_attach_enabled: bool = False,
    encrypted: bool = False,
    kms_key_id: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    zone = _zone_named(call, availability_zone, availability_zone_id)
    snapshot = usable_snapshot(call, snapshot_id) if snapshot_id else None
    size = size_of_new(size, snapshot)
    check_volume(volume_type, size, iops, throughput)
    refuse_multi_attach(volume_type, multi_attach_enabled)
    iops, throughput = performance(volume_type, size, iops, throughput)
    volume_quotas.check_new(call, [(volume_type, size, iops)])
    id, key = Volume.new_id(), sealed_key(call, encrypted, snapshot)
    check_store(call, zone, [snapshot_id or ""], key != "")
    put(
        call.db, Volume, id=id, **call.owner, zone=zone, size=size, snapshot_id=snapshot_id or "",
        volume_type=volume_type, iops=iops, throughput=throughput, state="creating", created=now(),
        encrypted=key != "", key=key,
    )  # fmt: skip
    tags.put_at_creation(call, tag_specifications, {"volume": [id]})
    tasks.start(call.db, id, "create_volume", call.region, new=True)
    return rows_of(call, VOLUMES, [id])[0]


def _zone_named(call: Call, name: str | None, zone_id: str | None) -> str:
    if name and zone_id:
        raise combination("The parameter availabilityZone cannot be used with the parameter availabilityZoneId")
    if not name and not zone_id:
        raise missing("availabilityZone")
    chosen = Zone.zone_id == zone_id if zone_id else Zone.name == name
    zone = call.db.scalar(select(Zone.name).where(chosen, Zone.region == call.region))
    return zone or refuse("InvalidZone.NotFound", f"The zone '{zone_id or name}' does not exist.")


def usable_snapshot(call: Call, id: str) -> Snapshot:
    """Return a snapshot that the caller may make a volume from now."""
    snapshot = find_snapshots(call, [id])[id]
    if snapshot.state != "completed":
        refuse("IncorrectState", f"Snapshot is in invalid state - {snapshot.state}")
    return snapshot


def size_of_new(size: int | None, snapshot: Snapshot | None, code: str = "InvalidParameterValue") -> int:
    """Return the GiB of a new volume: those asked for, or its snapshot's; ``code`` is what refuses a smaller one."""
    if size is None and snapshot is None:
        raise Ec2Error("MissingParameter", "The request must contain the parameter size or snapshotId")
    least = snapshot.volume_size if snapshot else 0
    wanted = least if size is None else size
    if snapshot and wanted < least:
        text = f"Volume of size {wanted}GB is smaller than snapshot '{snapshot.id}', expect size >= {least}GB"
        refuse(code, text)
    return wanted


def refuse_multi_attach(volume_type: str, wanted: bool | None) -> None:
    """A qcow2 file can be written by one machine at a time: its tables are in the memory of the one that writes."""
    if wanted and volume_type not in ("io1", "io2"):
        raise combination(f"The parameter multiAttachEnabled is not supported for {volume_type} volumes.")
    if wanted:
        raise unsupported("MultiAttachEnabled", "A volume can be used by one instance at a time.")


@action
def delete_volume(call: Call, *, volume_id: str) -> Result:
    volume = find(call, Volume, volume_id)
    holder = call.db.scalar(select(VolumeAttachment.instance_id).filter_by(volume_id=volume_id).limit(1))
    if holder:
        refuse("VolumeInUse", f"Volume {volume_id} is currently attached to {holder}")
    if volume.state not in ("available", "error"):
        refuse("IncorrectState", f"{volume_id} is not 'available': it is '{volume.state}'.")
    volume.state = "deleting"
    tasks.start(call.db, volume_id, "delete_volume", call.region)
    return {}

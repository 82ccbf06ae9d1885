"""Volumes: disks, what they promise, and the instances they are attached to."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from engine.state import Volume, VolumeAttachment, Zone, json_rows
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error, combination, missing
from translators.filters import constant, through
from translators.registry import Call, Result, action


@dataclass(frozen=True)
class VolumeType:
    """What may be asked of a volume of one type: GiB, operations per second, MiB/s; None where it takes no number.

    ``needs_iops`` says that EC2 has no default for them; ``iops_per_gib`` bounds them by the size.
    """

    sizes: range
    iops: range | None = None
    throughput: range | None = None
    needs_iops: bool = False
    iops_per_gib: int = 0


# Source: "Amazon EBS volume types", the EBS User Guide, and the parameters of CreateVolume.
VOLUME_TYPES = {
    "gp2": VolumeType(range(1, 16385)),
    "gp3": VolumeType(range(1, 65537), range(3000, 80001), range(125, 2001), iops_per_gib=500),
    "io1": VolumeType(range(4, 16385), range(100, 64001), needs_iops=True, iops_per_gib=50),
    "io2": VolumeType(range(4, 65537), range(100, 256001), needs_iops=True, iops_per_gib=1000),
    "sc1": VolumeType(range(125, 16385)),
    "st1": VolumeType(range(125, 16385)),
    "standard": VolumeType(range(1, 1025)),
}
GP3_IOPS = 3000
GP3_THROUGHPUT = 125


def check_volume(volume_type: str, size: int, iops: int | None = None, throughput: int | None = None) -> None:
    """Refuse, as EC2 does, numbers that a volume of this type cannot have. ``size`` is in GiB."""
    kind = VOLUME_TYPES.get(volume_type)
    if kind is None:
        raise Ec2Error("UnknownVolumeType", f"Unsupported volume type '{volume_type}' for volume creation.")
    _check_number("size", size, kind.sizes, volume_type)
    if iops is None and kind.needs_iops:
        raise missing("iops")
    _check_number("iops", iops, kind.iops, volume_type)
    _check_number("throughput", throughput, kind.throughput, volume_type)
    if iops and iops > max(kind.iops_per_gib * size, GP3_IOPS if volume_type == "gp3" else 0):
        raise combination(f"Iops to volume size ratio is too high; maximum is {kind.iops_per_gib}")
    if throughput and throughput > max((iops or GP3_IOPS) // 4, GP3_THROUGHPUT):
        raise combination("Throughput (MiBps) to iops ratio is too high; maximum is 0.25 MiBps per iops")


def _check_number(name: str, value: int | None, allowed: range | None, volume_type: str) -> None:
    if value is None:
        return
    if allowed is None:
        raise combination(f"The parameter {name} is not supported for {volume_type} volumes.")
    if value not in allowed:
        low, high = allowed.start, allowed.stop - 1
        raise Ec2Error(
            "InvalidParameterValue",
            f"Volume {name} of {value} is invalid; it must be between {low} and {high} for {volume_type} volumes.",
        )


def performance(volume_type: str, size: int, iops: int | None, throughput: int | None) -> tuple[int | None, int | None]:
    """Return the operations per second and the MiB/s that EC2 shows for a volume."""
    if volume_type == "gp2":
        return min(max(3 * size, 100), 16000), None
    if volume_type == "gp3":
        return iops or GP3_IOPS, throughput or GP3_THROUGHPUT
    return iops, throughput


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
        Volume.id, Volume.size, Volume.snapshot_id, Volume.zone, _zone_id.label("zone_id"), Volume.state,
        Volume.created, Volume.volume_type, Volume.iops, Volume.throughput, Volume.encrypted, Volume.multi_attach,
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

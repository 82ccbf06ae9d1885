"""The disks that an image names, as the requests that make images give them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.state import ImageBlockDevice, Snapshot
from translators.errors import Ec2Error, combination, missing, unsupported
from translators.registry import Call
from translators.snapshots import completed, find_snapshots
from translators.volume_types import check_volume

_EBS = frozenset(
    ("DeleteOnTermination", "Encrypted", "Iops", "SnapshotId", "Throughput", "VolumeSize", "VolumeType")
)  # fmt: skip
_EPHEMERAL = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")


def new_devices(call: Call, mappings: Sequence[Mapping[str, Any]]) -> list[ImageBlockDevice]:
    """Return the rows of disks that are new to an image, without its id."""
    for mapping in mappings:
        _check_mapping(mapping)
    check_names(mappings)
    named = [mapping["Ebs"]["SnapshotId"] for mapping in mappings if (mapping.get("Ebs") or {}).get("SnapshotId")]
    snapshots = find_snapshots(call, sorted(set(named)))
    return [_device(mapping, snapshots) for mapping in mappings]


def check_names(mappings: Sequence[Mapping[str, Any]]) -> None:
    """Refuse mappings without a device, or with one that is there twice."""
    names = [mapping.get("DeviceName") or "" for mapping in mappings]
    if "" in names:
        raise missing("BlockDeviceMapping.DeviceName")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise bad_mapping(f"The device '{min(twice)}' is used in more than one block-device mapping")


def bad_mapping(message: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", message)


def _check_mapping(mapping: Mapping[str, Any]) -> None:
    if "NoDevice" in mapping:
        raise unsupported("BlockDeviceMapping.NoDevice")
    ebs = mapping.get("Ebs") or {}
    if "VirtualName" in mapping:
        _check_virtual(mapping["VirtualName"], ebs)
        return
    if not (ebs.get("SnapshotId") or ebs.get("VolumeSize")):
        raise missing("size or snapshotId")
    other = sorted(ebs.keys() - _EBS)
    if other:
        raise unsupported(f"BlockDeviceMapping.Ebs.{other[0]}")
    if "Encrypted" in ebs and ebs.get("SnapshotId"):
        raise combination("The parameter encrypted cannot be used with snapshotId: a snapshot's state is kept.")


def _check_virtual(name: str, ebs: Mapping[str, Any]) -> None:
    """An instance store volume is only said: no instance type here has any, as most of EC2's have none."""
    if ebs:
        raise combination("A block device mapping has either Ebs or VirtualName.")
    if not _EPHEMERAL.fullmatch(name):
        raise bad_mapping(f"The virtual name '{name}' is not valid: ephemeral0 to ephemeral23 are.")


def _device(mapping: Mapping[str, Any], snapshots: Mapping[str, Snapshot]) -> ImageBlockDevice:
    """Return the row of one disk. Numbers that were not given stay out of it: clients compare what they sent."""
    if "VirtualName" in mapping:
        return ImageBlockDevice(device=mapping["DeviceName"], virtual_name=mapping["VirtualName"], size=0)
    ebs = mapping["Ebs"]
    snapshot = snapshots.get(ebs.get("SnapshotId", ""))
    size = ebs.get("VolumeSize") or (snapshot.volume_size if snapshot else 0)
    if snapshot is not None and size < completed(snapshot).volume_size:
        raise bad_mapping(
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.volume_size}GB"
        )
    volume_type = ebs.get("VolumeType", "gp2")
    check_volume(volume_type, size, ebs.get("Iops"), ebs.get("Throughput"))
    return ImageBlockDevice(
        device=mapping["DeviceName"], snapshot_id=snapshot.id if snapshot else "", size=size, volume_type=volume_type,
        iops=ebs.get("Iops"), throughput=ebs.get("Throughput"),
        delete_on_termination=ebs.get("DeleteOnTermination", True),
        encrypted=snapshot.encrypted if snapshot else ebs.get("Encrypted", False),
    )  # fmt: skip

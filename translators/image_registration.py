"""Make an image out of snapshots, and take one away again."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, exists, select

from engine.state import Image, ImageBlockDevice, LaunchPermission, Snapshot, Volume
from translators import tags
from translators.errors import Ec2Error, combination, invalid, missing, unsupported
from translators.image_attributes import described, own_image
from translators.images import block_devices
from translators.registry import Call, Result, action
from translators.snapshots import find_snapshots
from translators.volume_types import check_volume

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")
_EBS = frozenset(
    ("DeleteOnTermination", "Encrypted", "Iops", "SnapshotId", "Throughput", "VolumeSize", "VolumeType")
)  # fmt: skip


@action
def register_image(
    call: Call,
    *,
    name: str,
    description: str = "",
    architecture: str = "i386",
    root_device_name: str = "/dev/sda1",
    block_device_mappings: list[dict[str, Any]] | None = None,
    virtualization_type: str = "hvm",
    boot_mode: str = "",
    ena_support: bool = False,
    sriov_net_support: str = "",
    imds_support: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Register snapshots as an image.

    The defaults are EC2's, but for the type of virtualization: EC2's, paravirtual, has not been launchable on any
    type of this catalogue. A manifest in S3, kernels, UEFI and NitroTPM are refused.
    """
    _check_name(call, name)
    _check_machine(architecture, virtualization_type, boot_mode, sriov_net_support)
    devices = _devices(call, block_device_mappings or [], root_device_name)
    image = Image(
        id=Image.new_id(), **call.owner, name=name, description=described(description),
        location=f"{call.account}/{name}", architecture=architecture, boot_mode=boot_mode,
        root_device_name=root_device_name, ena_support=ena_support, sriov_net_support=sriov_net_support,
        imds_support=imds_support,
    )  # fmt: skip
    call.db.add(image)
    call.db.flush()
    for device in devices:
        device.image_id = image.id
    call.db.add_all(devices)
    tags.put_at_creation(call, tag_specifications, {"image": [image.id]})
    return {"ImageId": image.id}


def _check_name(call: Call, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Ec2Error(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, spaces, "
            "'(', ')', '[', ']', '.', '-', '/', ''', '@' and '_'",
        )
    held = call.db.scalar(select(Image.id).filter_by(**call.owner, name=name))
    if held:
        raise Ec2Error("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {held}")


def _check_machine(architecture: str, virtualization_type: str, boot_mode: str, sriov_net_support: str) -> None:
    if architecture not in ("i386", "x86_64"):
        raise unsupported("Architecture", f"The hosts cannot run {architecture}.")
    if virtualization_type != "hvm":
        if virtualization_type != "paravirtual":
            raise invalid("virtualizationType", virtualization_type)
        raise unsupported("VirtualizationType", "Only hvm is.")
    if boot_mode not in ("", "legacy-bios"):
        raise unsupported("BootMode", "Only legacy-bios is.")
    if sriov_net_support not in ("", "simple"):
        raise invalid("sriovNetSupport", sriov_net_support, "Valid values: simple.")


def _devices(call: Call, mappings: Sequence[Mapping[str, Any]], root: str) -> list[ImageBlockDevice]:
    """Return the rows of the disks, the root's among them; it must come from a snapshot, for something must boot."""
    for mapping in mappings:
        _check_mapping(mapping)
    names = [mapping["DeviceName"] for mapping in mappings]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise _bad_mapping(f"The device '{min(twice)}' is used in more than one block-device mapping")
    ids = sorted({mapping["Ebs"]["SnapshotId"] for mapping in mappings if mapping["Ebs"].get("SnapshotId")})
    snapshots = find_snapshots(call, ids)
    devices = [_device(mapping, snapshots) for mapping in mappings]
    if not any(device.device == root and device.snapshot_id for device in devices):
        raise _bad_mapping("No root snapshot specified in device mapping.")
    return devices


def _bad_mapping(message: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", message)


def _check_mapping(mapping: Mapping[str, Any]) -> None:
    if not mapping.get("DeviceName"):
        raise missing("BlockDeviceMapping.DeviceName")
    for name in ("NoDevice", "VirtualName"):
        if name in mapping:
            raise unsupported(f"BlockDeviceMapping.{name}")
    ebs = mapping.get("Ebs") or {}
    if not (ebs.get("SnapshotId") or ebs.get("VolumeSize")):
        raise missing("size or snapshotId")
    other = sorted(ebs.keys() - _EBS)
    if other:
        raise unsupported(f"BlockDeviceMapping.Ebs.{other[0]}")
    if "Encrypted" in ebs and ebs.get("SnapshotId"):
        raise combination("The parameter encrypted cannot be used with snapshotId: a snapshot's state is kept.")
    if ebs.get("Encrypted"):
        raise unsupported("BlockDeviceMapping.Ebs.Encrypted")


def _device(mapping: Mapping[str, Any], snapshots: Mapping[str, Snapshot]) -> ImageBlockDevice:
    """Return the row of one disk. Numbers that were not given stay out of it: clients compare what they sent."""
    ebs = mapping["Ebs"]
    snapshot = snapshots.get(ebs.get("SnapshotId", ""))
    size = ebs.get("VolumeSize") or (snapshot.volume_size if snapshot else 0)
    if snapshot is not None and snapshot.state != "completed":
        raise Ec2Error("IncorrectState", f"The snapshot '{snapshot.id}' is not in the completed state.")
    if snapshot is not None and size < snapshot.volume_size:
        raise _bad_mapping(
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.volume_size}GB"
        )
    volume_type = ebs.get("VolumeType", "gp2")
    check_volume(volume_type, size, ebs.get("Iops"), ebs.get("Throughput"))
    return ImageBlockDevice(
        device=mapping["DeviceName"], snapshot_id=snapshot.id if snapshot else "", size=size, volume_type=volume_type,
        iops=ebs.get("Iops"), throughput=ebs.get("Throughput"),
        delete_on_termination=ebs.get("DeleteOnTermination", True),
        encrypted=snapshot.encrypted if snapshot else False,
    )  # fmt: skip


@action
def deregister_image(call: Call, *, image_id: str, delete_associated_snapshots: bool = False) -> Result:
    """Forget an image at once. Instances go on: they took what they needed of it when they were launched."""
    image = own_image(call, image_id)
    snapshots = sorted({row.snapshot_id for row in block_devices(call, image) if row.snapshot_id})
    call.db.execute(delete(ImageBlockDevice).where(ImageBlockDevice.image_id == image_id))
    call.db.execute(delete(LaunchPermission).where(LaunchPermission.image_id == image_id))
    tags.forget(call, image_id)
    call.db.delete(image)
    call.db.flush()
    results = [_delete_snapshot(call, id) for id in snapshots] if delete_associated_snapshots else None
    return {"Return": True, "DeleteSnapshotResults": results}


def _delete_snapshot(call: Call, id: str) -> dict[str, str]:
    """Delete a snapshot unless another image names it, or a volume is only just being made of it.

    Disks cloned from it go on working, and the data of a snapshot without a row is an orphan, which the reconciler
    takes away.
    """
    if call.db.scalar(select(ImageBlockDevice.image_id).where(ImageBlockDevice.snapshot_id == id).limit(1)):
        return {"SnapshotId": id, "ReturnCode": "skipped"}
    snapshot = call.db.get(Snapshot, id, with_for_update=True)
    if snapshot is not None and snapshot.account != call.account:
        return {"SnapshotId": id, "ReturnCode": "missing-permissions"}
    if call.db.scalar(select(exists().where(Volume.snapshot_id == id, Volume.state == "creating"))):
        return {"SnapshotId": id, "ReturnCode": "client-error"}
    if snapshot is not None:
        tags.forget(call, id)
        call.db.delete(snapshot)
    return {"SnapshotId": id, "ReturnCode": "success"}

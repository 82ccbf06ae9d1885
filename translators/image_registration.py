"""Make an image out of snapshots, and take one away again."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from engine.state import Image, ImageBlockDevice, LaunchPermission, Snapshot, now
from translators import tags
from translators.errors import Ec2Error, invalid, refuse, unsupported
from translators.image_attributes import described, own_image
from translators.image_devices import bad_mapping, new_devices
from translators.images import block_devices
from translators.registry import Call, Result, action
from translators.snapshot_creation import remove, using_image
from translators.snapshot_locks import is_locked

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")


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
    image_location: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Register snapshots as an image.

    The defaults are EC2's, but for the type of virtualization: EC2's, paravirtual, has not been launchable on any
    type of this catalogue. A manifest in S3, kernels, images that boot from UEFI only, and NitroTPM are refused.
    """
    if image_location:  # Terraform sends it empty
        raise unsupported("ImageLocation")
    check_name(call, name)
    _check_machine(architecture, virtualization_type, boot_mode, sriov_net_support)
    devices = new_devices(call, block_device_mappings or [])
    # Something must boot.
    if not any(device.device == root_device_name and device.snapshot_id for device in devices):
        raise bad_mapping("No root snapshot specified in device mapping.")
    image = Image(
        id=Image.new_id(), **call.owner, name=name, description=described(description),
        location=f"{call.account}/{name}", architecture=architecture, boot_mode=boot_mode,
        root_device_name=root_device_name, ena_support=ena_support, sriov_net_support=sriov_net_support,
        imds_support=imds_support,
    )  # fmt: skip
    add_image(call, image, devices)
    tags.put_at_creation(call, tag_specifications, {"image": [image.id]})
    return {"ImageId": image.id}


def add_image(call: Call, image: Image, devices: Sequence[ImageBlockDevice]) -> None:
    call.db.add(image)
    call.db.flush()
    for device in devices:
        device.image_id = image.id
    call.db.add_all(devices)


def check_name(call: Call, name: str) -> None:
    """Refuse a name that no image can have, or that one of the caller's images has."""
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
    if boot_mode not in ("", "legacy-bios", "uefi-preferred"):
        raise unsupported("BootMode", "Machines boot with a BIOS: legacy-bios and uefi-preferred are.")
    if sriov_net_support not in ("", "simple"):
        raise invalid("sriovNetSupport", sriov_net_support, "Valid values: simple.")


@action
def deregister_image(call: Call, *, image_id: str, delete_associated_snapshots: bool = False) -> Result:
    """Forget an image at once. Instances go on: they took what they needed of it when they were launched."""
    image = own_image(call, image_id)
    if image.deregistration_protection != "disabled":
        refuse("OperationNotPermitted", f"Deregistration protection is enabled for the image '{image_id}'.")
    if image.protected_until > now():
        text = f"The image '{image_id}' is protected until {image.protected_until}: the cooldown is not over."
        refuse("OperationNotPermitted", text)
    snapshots = sorted({row.snapshot_id for row in block_devices(call, image) if row.snapshot_id})
    call.db.execute(delete(ImageBlockDevice).where(ImageBlockDevice.image_id == image_id))
    call.db.execute(delete(LaunchPermission).where(LaunchPermission.image_id == image_id))
    tags.forget(call, image_id)
    call.db.delete(image)
    call.db.flush()
    results = [_delete_snapshot(call, id) for id in snapshots] if delete_associated_snapshots else None
    return {"Return": True, "DeleteSnapshotResults": results}


def _delete_snapshot(call: Call, id: str) -> dict[str, str]:
    """Delete a snapshot unless another image names it, or it is locked or another account's."""
    snapshot = call.db.get(Snapshot, id, with_for_update=True)
    code = "success"
    if using_image(call, id):
        code = "skipped"
    elif snapshot is not None and snapshot.account != call.account:
        code = "missing-permissions"
    elif snapshot is not None and is_locked(call, snapshot):
        code = "client-error"
    elif snapshot is not None:
        remove(call, snapshot)
    return {"SnapshotId": id, "ReturnCode": code}

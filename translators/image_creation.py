"""Make an image of an instance: snapshots of its volumes at one moment, and what it was launched as."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import Image, ImageBlockDevice, Instance, Snapshot, Volume, VolumeAttachment
from translators import tags
from translators.errors import combination, refuse, unsupported
from translators.find import find
from translators.image_attributes import described
from translators.image_devices import bad_mapping, check_names, new_devices
from translators.image_registration import add_image, check_name
from translators.registry import Call, Result, action
from translators.root_volume_replacements import refuse_if_replacing
from translators.snapshot_creation import attached_volumes, take
from translators.volume_types import volume_type


@action
def create_image(
    call: Call,
    *,
    instance_id: str,
    name: str,
    description: str = "",
    no_reboot: bool = False,
    block_device_mappings: list[dict[str, Any]] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make an image of an instance that runs or is stopped.

    Unless ``no_reboot`` says otherwise, a guest that runs is shut down before and started after, so that its disks hold
    all that it wrote; its instance is running all the while.
    """
    instance = find(call, Instance, instance_id)
    if instance.state not in ("running", "stopped"):
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the running or stopped state.")
    refuse_if_replacing(call, instance)
    check_name(call, name)
    restarts = instance.state == "running" and not no_reboot
    image = _image_of(call, instance, name, described(description), restarts)
    kept, new = _mapped(call, instance, block_device_mappings or ())
    ids = [Snapshot.new_id() for _ in kept]
    take(call, [volume for volume, _ in kept], image.id, ids, f"Created by CreateImage({instance_id}) for {image.id}")
    add_image(call, image, [*_devices(kept, ids), *new])
    tags.put_at_creation(call, tag_specifications, {"image": [image.id], "snapshot": ids})
    tasks.start(call.db, image.id, "create_snapshot", call.region, new=True)
    if restarts:
        tasks.start(call.db, instance.id, "pause_instance", call.region)
    return {"ImageId": image.id}


def _image_of(call: Call, instance: Instance, name: str, description: str, restarts: bool) -> Image:
    source = select(Image.imds_support, Image.sriov_net_support).where(Image.id == instance.image_id)
    imds, sriov = call.db.execute(source).tuples().first() or ("", "")
    return Image(
        id=Image.new_id(), **call.owner, name=name, description=description, location=f"{call.account}/{name}",
        architecture=instance.architecture, platform=instance.platform, boot_mode=instance.boot_mode,
        root_device_name=instance.root_device_name, ena_support=instance.ena_support, sriov_net_support=sriov,
        imds_support=imds, state="pending", source_instance_id=instance.id, source_image_id=instance.image_id,
        source_image_region=call.region, restarts_instance=restarts,
    )  # fmt: skip


_Kept = tuple[Volume, ImageBlockDevice]


def _mapped(
    call: Call, instance: Instance, mappings: Sequence[Mapping[str, Any]]
) -> tuple[list[_Kept], list[ImageBlockDevice]]:
    """Return the volumes to keep, each with what the image says of it, and the disks that only the image has."""
    check_names(mappings)
    asked = {mapping["DeviceName"]: mapping for mapping in mappings}
    attached = attached_volumes(call, instance)
    if not any(attachment.guest_device == "vda" for _, attachment in attached):
        refuse("IncorrectState", f"The instance '{instance.id}' has no root volume.")
    kept = []
    for volume, attachment in attached:
        mapping = asked.pop(attachment.device, {})
        if "NoDevice" not in mapping:
            kept.append((volume, _kept(volume, attachment, mapping)))
        elif attachment.guest_device == "vda":
            raise bad_mapping("The root device cannot be left out.")
    unknown = [name for name, mapping in asked.items() if "NoDevice" in mapping]
    if unknown:
        raise bad_mapping(f"The instance '{instance.id}' has no device '{unknown[0]}' to leave out.")
    return kept, new_devices(call, list(asked.values()))


def _kept(volume: Volume, attachment: VolumeAttachment, mapping: Mapping[str, Any]) -> ImageBlockDevice:
    """Return what an image says of a volume; of that a request may change DeleteOnTermination alone."""
    ebs = mapping.get("Ebs") or {}
    if "VirtualName" in mapping:
        raise combination(f"The device '{attachment.device}' is an EBS volume: it has no VirtualName.")
    _check_unchanged(volume, attachment.device, ebs)
    kind = volume_type(volume.volume_type)
    return ImageBlockDevice(
        device=attachment.device, size=volume.size, volume_type=volume.volume_type, encrypted=volume.encrypted,
        iops=volume.iops if kind.iops else None, throughput=volume.throughput if kind.throughput else None,
        delete_on_termination=ebs.get("DeleteOnTermination", attachment.delete_on_termination),
    )  # fmt: skip


def _check_unchanged(volume: Volume, device: str, ebs: Mapping[str, Any]) -> None:
    same = {
        "Encrypted": volume.encrypted,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "VolumeSize": volume.size,
        "VolumeType": volume.volume_type,
    }
    for name, value in ebs.items():
        if name == "DeleteOnTermination" or (name in same and same[name] == value):
            continue
        text = f"Of the device '{device}', which the instance has, only DeleteOnTermination can be changed."
        raise unsupported(f"BlockDeviceMapping.Ebs.{name}", text)


def _devices(kept: Sequence[_Kept], ids: Sequence[str]) -> list[ImageBlockDevice]:
    devices = [device for _, device in kept]
    for device, id in zip(devices, ids, strict=True):
        device.snapshot_id = id
    return devices

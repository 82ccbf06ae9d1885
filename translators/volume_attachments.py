"""Volumes attached to instances and detached from them, running ones too."""

from typing import Any

from sqlalchemy import func, select

from engine import tasks
from engine.state import LEAVING, Instance, NetworkInterface, Volume, VolumeAttachment, now
from engine.volumes import end_attachment
from translators.catalogue import find_type
from translators.device_names import BOOT, check_name, free_slot, most_volumes, plain
from translators.errors import combination, invalid, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.volume_types import volume_type


def _shape(attachment: VolumeAttachment, state: str) -> dict[str, Any]:
    return {
        "VolumeId": attachment.volume_id,
        "InstanceId": attachment.instance_id,
        "Device": attachment.device,
        "State": state,
        "AttachTime": attachment.attach_time,
        "DeleteOnTermination": attachment.delete_on_termination,
    }


@action
def attach_volume(call: Call, *, volume_id: str, instance_id: str, device: str, ebs_card_index: int = 0) -> Result:
    """Plug a volume in; a running machine takes it at once, one that is off at its next start."""
    instance = find(call, Instance, instance_id)
    volume = find(call, Volume, volume_id)
    if ebs_card_index != 0:
        raise invalid("ebsCardIndex", ebs_card_index, "Instances have one EBS card: 0.")
    if instance.state not in ("running", "stopped"):
        refuse("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
    _check_volume(volume, instance)
    check_name(device, instance.root_device_name)
    slot = _free_slot(call, instance, volume, device)
    running = instance.state == "running"
    attachment = VolumeAttachment(
        volume_id=volume_id, instance_id=instance_id, device=device, guest_device=slot, attach_time=now(),
        delete_on_termination=False, state="attaching" if running else "attached",
    )  # fmt: skip
    call.db.add(attachment)
    call.db.flush()
    volume.state = "in-use"
    if running:
        tasks.start(call.db, attachment.id, "attach_volume", call.region, new=True)
    return _shape(attachment, "attaching")


def _check_volume(volume: Volume, instance: Instance) -> None:
    if volume.state == "in-use":
        refuse("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.state != "available":
        refuse("IncorrectState", f"{volume.id} is not 'available'.")
    if volume.zone != instance.zone:
        text = f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'"
        refuse("InvalidVolume.ZoneMismatch", text)


def _free_slot(call: Call, instance: Instance, volume: Volume, device: str) -> str:
    """Return what the machine calls the disk; refuse a name that is taken, and more disks than there can be."""
    rows = select(VolumeAttachment.device, VolumeAttachment.guest_device).filter_by(instance_id=instance.id)
    taken = call.db.execute(rows).tuples().all()
    if plain(device) in {plain(name) for name, _ in taken}:
        text = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        refuse("InvalidParameterValue", text)
    boots = plain(device) == plain(instance.root_device_name)
    if boots and not volume_type(volume.volume_type).boots:
        raise combination(f"A volume of the type {volume.volume_type} cannot be a root volume.")
    cards = call.db.scalar(select(func.count()).where(NetworkInterface.instance_id == instance.id)) or 0
    most = most_volumes(find_type(call, instance.instance_type), cards)
    slot = free_slot({slot for _, slot in taken}, boots)
    if slot is None or len(taken) >= most:
        refuse("AttachmentLimitExceeded", f"'{instance.id}' has {len(taken)} volumes: no more can be attached.")
    return slot


@action
def detach_volume(
    call: Call, *, volume_id: str, instance_id: str | None = None, device: str | None = None, force: bool = False
) -> Result:
    """Ask the guest to let go of the disk, as long as it takes; what is off has let go of it.

    With ``force`` a guest that was asked already is asked anew: no hypervisor can take a disk from a guest that holds
    on to it, so a busy volume is available when its guest lets go or is off.
    """
    attachment, instance = _attached(call, volume_id, instance_id, device)
    _check_may_go(instance, attachment)
    if attachment.state in LEAVING and not force:
        return _shape(attachment, attachment.state)
    if instance.state == "stopped":
        answer = _shape(attachment, "detaching")
        end_attachment(call.db, attachment)
        return answer
    attachment.state = "detaching"
    tasks.start(call.db, attachment.id, "detach_volume", call.region)
    return _shape(attachment, "detaching")


def _attached(
    call: Call, volume_id: str, instance_id: str | None, device: str | None
) -> tuple[VolumeAttachment, Instance]:
    """Return the attachment that is meant and its instance, which is locked first, as by every other call."""
    mine = select(VolumeAttachment).filter_by(volume_id=volume_id)
    own = (
        select(VolumeAttachment.instance_id).join(Volume).where(Volume.id == volume_id, Volume.account == call.account)
    )
    holder = instance_id or call.db.scalar(own)
    instance = find(call, Instance, holder) if holder else None
    volume = find(call, Volume, volume_id)
    found = call.db.scalars(mine.with_for_update()).first()
    if found is None or instance is None:
        refuse("IncorrectState", f"Volume '{volume_id}' is in the '{volume.state}' state.")
    if found.instance_id != instance.id:
        refuse("InvalidAttachment.NotFound", f"The volume '{volume_id}' is not attached to instance '{instance.id}'.")
    if device is not None and plain(device) != plain(found.device):
        text = f"The volume '{volume_id}' is not attached to instance '{instance.id}' as device '{device}'."
        refuse("InvalidAttachment.NotFound", text)
    return found, instance


def _check_may_go(instance: Instance, attachment: VolumeAttachment) -> None:
    if instance.state != "stopped" and attachment.guest_device == BOOT:
        text = f"Unable to detach root volume '{attachment.volume_id}' from instance '{instance.id}'"
        refuse("OperationNotPermitted", text)
    if instance.state == "shutting-down" and attachment.delete_on_termination:
        refuse("IncorrectState", f"Instance '{instance.id}' is being terminated, and the volume with it.")

"""Network interfaces attached to instances and detached from them, running ones too."""

from sqlalchemy import select

from engine import tasks
from engine.attachments import end_attachment, new_attachment
from engine.state import Instance, NetworkInterface
from translators.catalogue import find_type
from translators.errors import Ec2Error, combination, invalid, refuse
from translators.find import find
from translators.registry import Call, Result, action


@action
def attach_network_interface(
    call: Call, *, network_interface_id: str, instance_id: str, device_index: int, network_card_index: int = 0
) -> Result:
    """The interface may be of another VPC than the instance, as in EC2 since 2023, but not of another zone."""
    instance = find(call, Instance, instance_id)
    interface = find(call, NetworkInterface, network_interface_id)
    if network_card_index != 0:
        raise invalid("networkCardIndex", network_card_index, "Instances have one network card: 0.")
    if interface.status != "available":
        refuse("InvalidNetworkInterface.InUse", f"Interface: [{interface.id}] in use.")
    if instance.state not in ("running", "stopped"):
        refuse("IncorrectInstanceState", f"Instance '{instance_id}' is not 'running' or 'stopped'.")
    if interface.zone != instance.zone:
        text = "You may not attach a network interface to an instance if they are not in the same availability zone"
        raise combination(text)
    _check_room(call, instance, device_index)
    running = instance.state == "running"
    attachment = new_attachment(instance.id, device_index, "attaching" if running else "attached", False)
    for name, value in attachment.items():
        setattr(interface, name, value)
    if running:
        tasks.start(call.db, interface.id, "attach_interface", call.region)
    return {"AttachmentId": interface.attachment_id, "NetworkCardIndex": 0}


def _check_room(call: Call, instance: Instance, device_index: int) -> None:
    """Refuse a device index that is taken, and more interfaces than the type has; one that is going counts still."""
    if device_index < 0:
        raise invalid("deviceIndex", device_index, "It must not be negative.")
    held = select(NetworkInterface.device_index).where(NetworkInterface.instance_id == instance.id)
    taken = call.db.scalars(held).all()
    if device_index in taken:
        text = f"Instance '{instance.id}' already has an interface attached at device index '{device_index}'."
        refuse("InvalidParameterValue", text)
    if len(taken) >= find_type(call, instance.instance_type).max_interfaces:
        text = f"Interface count {len(taken) + 1} exceeds the limit for {instance.instance_type}"
        refuse("AttachmentLimitExceeded", text)


@action
def detach_network_interface(call: Call, *, attachment_id: str, force: bool = False) -> Result:
    """Ask the guest to let go of the card, and take the network from it after that; with ``force``, at once."""
    interface, is_off = _attached(call, attachment_id)
    if interface.managed_by:
        kind = attachment_id.rpartition("-")[0]
        refuse("OperationNotPermitted", f"You are not allowed to manage '{kind}' attachments.")
    if interface.device_index == 0:
        text = "The network interface at device index 0 and networkCard index 0 cannot be detached."
        refuse("OperationNotPermitted", text)
    if interface.attachment_status == "detaching" and not force:
        return {}
    if is_off:
        end_attachment(call.db, interface)
    else:
        interface.attachment_status = "detaching"
    tasks.start(call.db, interface.id, "force_detach_interface" if force else "detach_interface", call.region)
    return {}


def _attached(call: Call, attachment_id: str) -> tuple[NetworkInterface, bool]:
    """Return the caller's own interface with this attachment, and whether its instance is off; both stay so meanwhile.

    The instance is locked first, as by every other call.
    """
    mine = select(NetworkInterface).filter_by(**call.owner, attachment_id=attachment_id)
    held_by = call.db.scalar(mine.with_only_columns(NetworkInterface.instance_id))
    instance = call.db.get(Instance, held_by, with_for_update=True) if held_by else None
    interface = call.db.scalar(mine.with_for_update())
    if interface is None or interface.attachment_status == "detached":
        raise Ec2Error("InvalidAttachmentID.NotFound", f"The attachment ID '{attachment_id}' does not exist")
    return interface, instance is not None and instance.state == "stopped"

"""One attribute of an instance at a time: described, modified, reset."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.desired import interfaces
from engine.interfaces import replace_groups
from engine.state import Instance, InterfaceGroup, SecurityGroup, VolumeAttachment
from translators.catalogue import find_type
from translators.errors import Ec2Error, combination, invalid, missing, refuse, unsupported
from translators.find import find
from translators.launch import checked_user_data
from translators.launch_network import check_groups
from translators.registry import Call, Result, action


def _value(value: Any) -> dict[str, Any]:
    return {"Value": value} if value != "" else {}


def _groups(call: Call, instance: Instance) -> list[dict[str, str]]:
    cards = interfaces(call.db, instance.id)
    if not cards:
        return []
    rows = call.db.execute(
        select(SecurityGroup.id, SecurityGroup.name)
        .join(InterfaceGroup, InterfaceGroup.group_id == SecurityGroup.id)
        .where(InterfaceGroup.interface_id == cards[0].id)
        .order_by(InterfaceGroup.position)
    )
    return [{"GroupId": id, "GroupName": name} for id, name in rows]


def _source_dest_check(call: Call, instance: Instance) -> dict[str, Any]:
    cards = interfaces(call.db, instance.id)
    if len(cards) > 1:
        refuse(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance.id}'. Please specify an interface ID for "
            "the operation instead.",
        )
    return {"Value": cards[0].source_dest_check} if cards else {}


def _devices(call: Call, instance: Instance) -> list[dict[str, Any]]:
    rows = call.db.scalars(select(VolumeAttachment).filter_by(instance_id=instance.id).order_by("guest_device"))
    return [
        {
            "DeviceName": a.device,
            "Ebs": {
                "AttachTime": a.attach_time,
                "DeleteOnTermination": a.delete_on_termination,
                "Status": a.state,
                "VolumeId": a.volume_id,
            },
        }
        for a in rows
    ]


_READERS: dict[str, tuple[str, Callable[[Call, Instance], Any]]] = {
    "instanceType": ("InstanceType", lambda c, i: _value(i.instance_type)),
    "kernel": ("KernelId", lambda c, i: {}),
    "ramdisk": ("RamdiskId", lambda c, i: {}),
    "userData": ("UserData", lambda c, i: _value(i.user_data)),
    "disableApiTermination": ("DisableApiTermination", lambda c, i: _value(i.disable_api_termination)),
    "instanceInitiatedShutdownBehavior": (
        "InstanceInitiatedShutdownBehavior", lambda c, i: _value(i.shutdown_behavior)
    ),
    "rootDeviceName": ("RootDeviceName", lambda c, i: _value(i.root_device_name)),
    "blockDeviceMapping": ("BlockDeviceMappings", _devices),
    "productCodes": ("ProductCodes", lambda c, i: []),
    "sourceDestCheck": ("SourceDestCheck", _source_dest_check),
    "groupSet": ("Groups", _groups),
    "ebsOptimized": ("EbsOptimized", lambda c, i: _value(i.ebs_optimized)),
    "sriovNetSupport": ("SriovNetSupport", lambda c, i: {}),
    "enaSupport": ("EnaSupport", lambda c, i: _value(i.ena_support)),
    "enclaveOptions": ("EnclaveOptions", lambda c, i: {"Enabled": False}),
    "disableApiStop": ("DisableApiStop", lambda c, i: _value(i.disable_api_stop)),
}  # fmt: skip


@action
def describe_instance_attribute(call: Call, *, attribute: str, instance_id: str) -> Result:
    instance = find(call, Instance, instance_id)
    name, read = _READERS[attribute]
    return {"InstanceId": instance_id, name: read(call, instance)}


@action
def modify_instance_attribute(
    call: Call,
    *,
    instance_id: str,
    attribute: str | None = None,
    value: str | None = None,
    instance_type: dict[str, str] | None = None,
    user_data: dict[str, Any] | None = None,
    disable_api_termination: dict[str, bool] | None = None,
    disable_api_stop: dict[str, bool] | None = None,
    instance_initiated_shutdown_behavior: dict[str, str] | None = None,
    source_dest_check: dict[str, bool] | None = None,
    groups: list[str] | None = None,
    block_device_mappings: list[dict[str, Any]] | None = None,
    ebs_optimized: dict[str, bool] | None = None,
    ena_support: dict[str, bool] | None = None,
) -> Result:
    instance = find(call, Instance, instance_id)
    if instance.state in ("shutting-down", "terminated"):
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in a state in which it can be modified.")
    given: dict[str, Any] = {
        "instanceType": _plain(instance_type),
        "userData": _plain(user_data),
        "disableApiTermination": _plain(disable_api_termination),
        "disableApiStop": _plain(disable_api_stop),
        "instanceInitiatedShutdownBehavior": _plain(instance_initiated_shutdown_behavior),
        "sourceDestCheck": _plain(source_dest_check),
        "groupSet": groups,
        "blockDeviceMapping": block_device_mappings,
        "ebsOptimized": _plain(ebs_optimized),
        "enaSupport": _plain(ena_support),
    }
    asked = {name: v for name, v in given.items() if v is not None}
    if attribute is not None:
        if value is None and attribute not in asked:
            raise missing("value")
        asked.setdefault(attribute, value)
    if len(asked) != 1:
        raise combination("Fields for multiple attribute types specified") if asked else missing("attribute")
    ((name, wanted),) = asked.items()
    if name not in _WRITERS:
        raise unsupported(name, "This attribute cannot be modified.")
    _WRITERS[name](call, instance, wanted)
    return {}


def _plain(given: Mapping[str, Any] | None) -> Any:
    """Return the value inside; an empty structure, as the CLI's ``--user-data ''`` sends, is an empty value."""
    return None if given is None else given.get("Value", "")


def _flag(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise invalid("value", value, "Expecting true or false.")
    return str(value).lower() == "true"


def _require_stopped(instance: Instance) -> None:
    if instance.state != "stopped":
        refuse("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")


def _set_type(call: Call, instance: Instance, name: str) -> None:
    _require_stopped(instance)
    kind = find_type(call, name)
    if len(interfaces(call.db, instance.id)) > kind.max_interfaces:
        refuse("AttachmentLimitExceeded", f"{kind.name} has at most {kind.max_interfaces} network interfaces.")
    instance.instance_type, instance.vcpus, instance.memory_mib = kind.name, kind.vcpus, kind.memory_mib
    instance.threads_per_core, instance.cpu_credits = kind.threads_per_core, kind.credits


def _set_user_data(call: Call, instance: Instance, value: Any) -> None:
    _require_stopped(instance)
    instance.user_data = checked_user_data(value.decode("latin-1") if isinstance(value, bytes) else value)


def _set_flag(column: str) -> Callable[[Call, Instance, Any], None]:
    return lambda call, instance, value: setattr(instance, column, _flag(value))


def _set_stopped_flag(column: str) -> Callable[[Call, Instance, Any], None]:
    def write(call: Call, instance: Instance, value: Any) -> None:
        _require_stopped(instance)
        setattr(instance, column, _flag(value))

    return write


def _set_shutdown(call: Call, instance: Instance, value: str) -> None:
    if value not in ("stop", "terminate"):
        raise invalid("instanceInitiatedShutdownBehavior", value, "Expecting stop or terminate.")
    instance.shutdown_behavior = value


def _set_source_dest_check(call: Call, instance: Instance, value: Any) -> None:
    _source_dest_check(call, instance)
    for card in interfaces(call.db, instance.id):
        card.source_dest_check = _flag(value)
        tasks.start(call.db, card.id, "sync_port", call.region)


def _set_groups(call: Call, instance: Instance, ids: list[str]) -> None:
    cards = interfaces(call.db, instance.id)
    if len(cards) != 1:
        refuse("InvalidInstanceID", f"The instance '{instance.id}' has more than one interface: name the interface.")
    replace_groups(call.db, cards[0].id, check_groups(call, instance.vpc_id, ids))
    tasks.start(call.db, cards[0].id, "sync_port", call.region)


def _set_devices(call: Call, instance: Instance, mappings: list[dict[str, Any]]) -> None:
    held = {a.device: a for a in call.db.scalars(select(VolumeAttachment).filter_by(instance_id=instance.id))}
    for mapping in mappings:
        device, ebs = mapping.get("DeviceName", ""), mapping.get("Ebs") or {}
        for name in ("NoDevice", "VirtualName"):
            if mapping.get(name) is not None:
                raise unsupported(f"BlockDeviceMapping.{name}", "Attach or detach the volume instead.")
        if device not in held or ebs.get("VolumeId", held[device].volume_id) != held[device].volume_id:
            raise Ec2Error("InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")
        if "DeleteOnTermination" in ebs:
            held[device].delete_on_termination = ebs["DeleteOnTermination"]


_WRITERS: dict[str, Callable[[Call, Instance, Any], None]] = {
    "instanceType": _set_type,
    "userData": _set_user_data,
    "disableApiTermination": _set_flag("disable_api_termination"),
    "disableApiStop": _set_flag("disable_api_stop"),
    "instanceInitiatedShutdownBehavior": _set_shutdown,
    "sourceDestCheck": _set_source_dest_check,
    "groupSet": _set_groups,
    "blockDeviceMapping": _set_devices,
    "ebsOptimized": _set_stopped_flag("ebs_optimized"),
    "enaSupport": _set_stopped_flag("ena_support"),
}


@action
def reset_instance_attribute(call: Call, *, attribute: str, instance_id: str) -> Result:
    instance = find(call, Instance, instance_id)
    if attribute == "sourceDestCheck":
        _set_source_dest_check(call, instance, True)
        return {}
    raise Ec2Error(
        "InvalidParameterValue", f"The attribute '{attribute}' cannot be reset: instances have no such device."
    )

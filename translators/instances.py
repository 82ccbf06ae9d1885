"""Instances: described, started, stopped, rebooted and taken away."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import select, update

from engine import placement, tasks
from engine.addresses import Exhausted
from engine.interfaces import lend_at_start
from engine.state import Instance, VolumeAttachment, now
from translators.describe import describe
from translators.device_names import BOOT
from translators.errors import Ec2Error, invalid, refuse
from translators.find import find_all
from translators.instance_listing import INSTANCES, state
from translators.memo import Memo
from translators.registry import Call, Result, action


@action
def describe_instances(
    call: Call,
    *,
    instance_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, INSTANCES, instance_ids, filters, max_results, next_token)
    reservations = [
        {"ReservationId": id, "OwnerId": call.account, "Groups": [], "Instances": list(members)}
        for id, members in groupby(found, key=_reservation)
    ]
    return {"Reservations": reservations, "NextToken": token}


def _reservation(memo: Memo) -> Any:
    """The key of a memo is the row, which ends with the order of pages: reservation, instance."""
    return memo.key[-2]  # type: ignore[index]


@action
def start_instances(call: Call, *, instance_ids: list[str]) -> Result:
    return {"StartingInstances": _change(call, instance_ids, _start)}


def _start(call: Call, instance: Instance) -> None:
    if instance.state in ("running", "pending"):
        return
    _require(instance, ("stopped",), "started")
    _require_root(call, instance)
    try:
        instance.host = placement.claim(call.db, call.region, instance.vcpus, instance.memory_mib)
    except placement.NoCapacity:
        refuse("InsufficientInstanceCapacity", f"There is not enough capacity to start '{instance.id}' now.")
    instance.state, instance.state_reason_code, instance.state_reason = "pending", "", ""
    instance.launch_time, instance.transition_reason = now(), ""
    _lend(call, instance)
    tasks.start(call.db, instance.id, "start_instance", call.region)


def _require_root(call: Call, instance: Instance) -> None:
    if not call.db.scalar(select(VolumeAttachment.id).filter_by(instance_id=instance.id, guest_device=BOOT)):
        text = f"Instance does not have a volume attached at root ({instance.root_device_name})"
        raise invalid("instanceId", instance.id, text)


def _lend(call: Call, instance: Instance) -> None:
    try:
        lend_at_start(call.db, call.settings, instance.id)
    except Exhausted:
        refuse("InsufficientAddressCapacity", "There are not enough free public IP addresses to start the instance.")


@action
def stop_instances(
    call: Call, *, instance_ids: list[str], force: bool = False, hibernate: bool = False, skip_os_shutdown: bool = False
) -> Result:
    if hibernate:
        refuse("UnsupportedHibernationConfiguration", "The instance is not configured for hibernation.")
    return {"StoppingInstances": _change(call, instance_ids, lambda c, i: _stop(c, i, force or skip_os_shutdown))}


def _stop(call: Call, instance: Instance, force: bool) -> None:
    if instance.state == "stopped" or (instance.state == "stopping" and not force):
        return
    _require(instance, ("pending", "running", "stopping"), "stopped")
    if instance.disable_api_stop:
        refuse(
            "OperationNotPermitted",
            f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance attribute and "
            "try again.",
        )
    _user_initiated(instance, "stopping")
    tasks.start(call.db, instance.id, "force_stop_instance" if force else "stop_instance", call.region)


@action
def reboot_instances(call: Call, *, instance_ids: list[str]) -> Result:
    for instance in _found(call, instance_ids):
        _require(instance, ("pending", "running"), "rebooted")
        if instance.state == "running":
            tasks.start(call.db, instance.id, "reboot_instance", call.region)
    return {}


@action
def terminate_instances(
    call: Call, *, instance_ids: list[str], force: bool = False, skip_os_shutdown: bool = False
) -> Result:
    """Protected instances stop the whole request before anything is done."""
    for instance in _found(call, instance_ids):
        if instance.disable_api_termination and instance.state != "terminated":
            refuse(
                "OperationNotPermitted",
                f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                "attribute and try again.",
            )
    workflow = "force_terminate_instance" if force or skip_os_shutdown else "terminate_instance"
    return {"TerminatingInstances": _change(call, instance_ids, lambda c, i: _terminate(c, i, workflow))}


def _terminate(call: Call, instance: Instance, workflow: str) -> None:
    if instance.state in ("shutting-down", "terminated"):
        return
    _user_initiated(instance, "shutting-down")
    tasks.start(call.db, instance.id, workflow, call.region)


def _user_initiated(instance: Instance, becoming: str) -> None:
    instance.state, instance.state_reason_code = becoming, "Client.UserInitiatedShutdown"
    instance.state_reason = "Client.UserInitiatedShutdown: User initiated shutdown"
    moment = now()[:19].replace("T", " ")
    instance.transition_reason = f"User initiated ({moment} GMT)"


def _found(call: Call, ids: Sequence[str]) -> list[Instance]:
    if not ids:
        raise Ec2Error("MissingParameter", "The request must contain the parameter InstanceId")
    return find_all(call, Instance, list(dict.fromkeys(ids)))


def _change(call: Call, ids: Sequence[str], change: Callable[[Call, Instance], None]) -> list[dict[str, Any]]:
    """Change each instance or none; say of each what it was and what it is now."""
    changes = []
    for instance in _found(call, ids):
        before = instance.state
        change(call, instance)
        changes.append(
            {"InstanceId": instance.id, "PreviousState": state(before), "CurrentState": state(instance.state)}
        )
    return changes


def _require(instance: Instance, states: tuple[str, ...], verb: str) -> None:
    if instance.state not in states:
        refuse(
            "IncorrectInstanceState",
            f"The instance '{instance.id}' is not in a state from which it can be {verb}.",
        )


@action
def monitor_instances(call: Call, *, instance_ids: list[str]) -> Result:
    return _monitor(call, instance_ids, True)


@action
def unmonitor_instances(call: Call, *, instance_ids: list[str]) -> Result:
    return _monitor(call, instance_ids, False)


def _monitor(call: Call, ids: list[str], wanted: bool) -> Result:
    _found(call, ids)
    call.db.execute(update(Instance).where(Instance.id.in_(ids)).values(monitoring=wanted))
    text = "enabled" if wanted else "disabled"
    return {"InstanceMonitorings": [{"InstanceId": id, "Monitoring": {"State": text}} for id in ids]}

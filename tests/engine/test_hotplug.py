"""Cards that come and go while their instance does too: whatever comes first, all ends as was asked last."""

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

from engine import desired, tasks
from engine.drivers.base import DriverError, Machine
from engine.machines import sync_devices
from engine.reconciler import reconcile
from engine.state import Instance, NetworkInterface, Task
from tests.cloud import REGION, Cloud
from tests.engine.scenarios import cards, is_plugged, is_unplugged, network, plugged, running, unplugged
from tests.translators.test_instances import instance, state

BEGINNINGS = {"attach": plugged, "detach": unplugged(force=False), "force": unplugged(force=True)}
EITHER = pytest.mark.parametrize("beginning", BEGINNINGS)


def see(cloud: Cloud, id: str) -> Any:
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    return found


def begin(cloud: Cloud, beginning: str) -> tuple[str, str]:
    """Begin to attach or to detach a second interface; return its id and that of its instance."""
    id = BEGINNINGS[beginning](cloud)
    return id, str(see(cloud, id)["Attachment"]["InstanceId"])


def only(cloud: Cloud, id: str, steps: int) -> None:
    """Let a worker do steps of one resource's task, while those of others wait, and die."""
    far = 1e6
    with cloud.database.write() as db:
        db.execute(update(Task).where(Task.resource_id != id).values(run_at=Task.run_at + far))
    cloud.run_single_steps(steps)
    with cloud.database.write() as db:
        db.execute(update(Task).where(Task.resource_id != id).values(run_at=Task.run_at - far))


def ended_right(cloud: Cloud, beginning: str, id: str) -> bool:
    return is_plugged(cloud, id) if beginning == "attach" else is_unplugged(cloud, id)


# -- the instance moves meanwhile ------------------------------------------------


@EITHER
@pytest.mark.parametrize("of_instance", [0, 3])
@pytest.mark.parametrize("action", ["stop_instances", "reboot_instances", "terminate_instances"])
def test_an_instance_may_move_at_any_step(cloud: Cloud, beginning: str, of_instance: int, action: str) -> None:
    for count in range(4):
        id, holder = begin(cloud, beginning)
        only(cloud, id, count)
        getattr(cloud.ec2, action)(InstanceIds=[holder])
        only(cloud, holder, of_instance)
        only(cloud, id, 1)
        cloud.settle()
        check_after(cloud, beginning, id, holder, action)


def check_after(cloud: Cloud, beginning: str, id: str, holder: str, action: str) -> None:
    if action == "reboot_instances":
        assert ended_right(cloud, beginning, id)
        return
    found = see(cloud, id)
    assert id not in network(cloud).list_ports()
    if action == "terminate_instances":
        assert state(cloud, holder) == "terminated" and is_unplugged(cloud, id)
        return
    assert state(cloud, holder) == "stopped"
    expected = ("in-use", "attached") if beginning == "attach" else ("available", None)
    assert (found["Status"], found.get("Attachment", {}).get("Status")) == expected
    cloud.ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert state(cloud, holder) == "running" and ended_right(cloud, beginning, id)


@EITHER
def test_an_instance_may_be_stopped_and_started_before_the_interface_has_its_turn(cloud: Cloud, beginning: str) -> None:
    for count in range(4):
        id, holder = begin(cloud, beginning)
        only(cloud, id, count)
        cloud.ec2.stop_instances(InstanceIds=[holder])
        only(cloud, holder, 4)
        assert state(cloud, holder) == "stopped"
        cloud.ec2.start_instances(InstanceIds=[holder])
        only(cloud, holder, 2)
        only(cloud, id, 2)
        assert state(cloud, holder) == "pending"
        cloud.settle()
        assert state(cloud, holder) == "running" and ended_right(cloud, beginning, id)


@EITHER
def test_a_machine_that_is_off_though_its_instance_runs_is_waited_for(cloud: Cloud, beginning: str) -> None:
    id, holder = begin(cloud, beginning)
    cloud.backend.power_off(holder)
    only(cloud, id, 3)
    assert see(cloud, id)["Attachment"]["Status"] == f"{beginning.replace('force', 'detach')}ing"
    with cloud.database.write() as db:
        tasks.start(db, holder, "start_instance", REGION)
    cloud.settle()
    assert ended_right(cloud, beginning, id)


def test_an_interface_that_goes_with_its_instance_goes_unless_it_was_being_detached(cloud: Cloud, refused: Any) -> None:
    for beginning in ("attach", "detach"):
        id, holder = begin(cloud, beginning)
        changes = {"AttachmentId": see(cloud, id)["Attachment"]["AttachmentId"], "DeleteOnTermination": True}
        cloud.ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=changes)
        cloud.ec2.terminate_instances(InstanceIds=[holder])
        cloud.settle()
        if beginning == "detach":
            assert is_unplugged(cloud, id)
            continue
        with refused("InvalidNetworkInterfaceID.NotFound"):
            see(cloud, id)
        assert id not in network(cloud).list_ports()


# -- several changes at once -----------------------------------------------------


def test_a_change_of_an_interface_does_not_end_its_plugging(cloud: Cloud) -> None:
    for beginning in BEGINNINGS:
        id, _ = begin(cloud, beginning)
        only(cloud, id, 1)
        cloud.ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
        cloud.settle()
        assert ended_right(cloud, beginning, id)
        assert beginning != "attach" or network(cloud)._ports[id].forwarding


def test_what_is_attached_while_another_task_changes_the_machine_stays(cloud: Cloud, monkeypatch: Any) -> None:
    """A reading that is too old by the time it is applied is followed by a newer one."""
    holder = running(cloud)
    compute = cloud.backend.computes[cloud.look(lambda db: db.get_one(Instance, holder).host)]
    seen: list[int] = []
    apply = compute.ensure_devices

    def ensure(machine: Machine) -> bool:
        seen.append(len(machine.nics))
        if len(seen) == 1:
            subnet = instance(cloud, holder)["SubnetId"]
            id = cloud.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
            cloud.ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=holder, DeviceIndex=1)
            network(cloud).ensure_port(cloud.look(lambda db: desired.port(db, id)))
        return apply(machine)

    monkeypatch.setattr(compute, "ensure_devices", ensure)
    assert sync_devices(cloud.engine, holder)
    assert seen == [1, 2]
    cloud.settle()


def test_an_interface_moves_from_one_instance_to_another(cloud: Cloud) -> None:
    id, first = begin(cloud, "detach")
    cloud.run_steps(1)
    second = running(cloud)
    mac, address = see(cloud, id)["MacAddress"], see(cloud, id)["PrivateIpAddress"]
    for host in (second, first, second):
        if see(cloud, id)["Status"] == "in-use":
            cloud.ec2.detach_network_interface(AttachmentId=see(cloud, id)["Attachment"]["AttachmentId"])
            cloud.run_steps(1)
        with cloud.database.write() as db:
            db.execute(update(NetworkInterface).values(zone=db.get_one(Instance, host).zone))
        cloud.ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=host, DeviceIndex=1)
        cloud.settle()
        assert is_plugged(cloud, id) and see(cloud, id)["Attachment"]["InstanceId"] == host
        assert (see(cloud, id)["MacAddress"], see(cloud, id)["PrivateIpAddress"]) == (mac, address)


# -- guests and machines that do not play along ----------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_a_guest_that_clings_to_its_card_keeps_it_until_it_is_off(cloud: Cloud, force: bool) -> None:
    id, holder = begin(cloud, "attach")
    cloud.settle()
    cloud.backend.clinging.add(holder)
    cloud.ec2.detach_network_interface(AttachmentId=see(cloud, id)["Attachment"]["AttachmentId"], Force=force)
    begun = time.time()
    for later in range(1, 600, 20):
        tasks.run_one(cloud.engine, begun + later)
    assert see(cloud, id)["Attachment"]["Status"] == "detaching" and id in cards(cloud)
    assert (id in network(cloud).list_ports()) is not force, "only force takes the network from it at once"
    cloud.ec2.stop_instances(InstanceIds=[holder], Force=True)
    cloud.settle()
    assert see(cloud, id)["Status"] == "available" and id not in network(cloud).list_ports()
    cloud.ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert is_unplugged(cloud, id)


def test_a_detach_may_be_forced_while_it_waits_for_the_guest(cloud: Cloud) -> None:
    id, holder = begin(cloud, "attach")
    cloud.settle()
    cloud.backend.clinging.add(holder)
    attachment = see(cloud, id)["Attachment"]["AttachmentId"]
    cloud.ec2.detach_network_interface(AttachmentId=attachment)
    cloud.run_steps(1)
    assert id in network(cloud).list_ports()
    for force in (True, False):
        cloud.ec2.detach_network_interface(AttachmentId=attachment, Force=force)
        cloud.run_steps(1)
        assert id not in network(cloud).list_ports()


def test_a_card_that_cannot_be_plugged_in_is_given_up(cloud: Cloud) -> None:
    id, holder = begin(cloud, "attach")
    cloud.backend.fail_next("ensure_devices", DriverError("no slot is free"), 10)
    cloud.settle()
    assert is_unplugged(cloud, id) and state(cloud, holder) == "running"


def test_a_port_that_went_missing_meanwhile_is_made_again(cloud: Cloud) -> None:
    id, _ = begin(cloud, "attach")
    only(cloud, id, 2)
    network(cloud)._ports.pop(id)
    cloud.settle()
    assert is_plugged(cloud, id)


# -- the reconciler --------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 2, 3])
@EITHER
def test_a_lost_task_is_begun_again(cloud: Cloud, beginning: str, steps: int) -> None:
    id, _ = begin(cloud, beginning)
    only(cloud, id, steps)
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()
    assert ended_right(cloud, beginning, id)


def without_its_card(cloud: Cloud) -> str:
    """Take a second card out of a running machine behind the engine's back; return the interface's id."""
    id, holder = begin(cloud, "attach")
    cloud.settle()
    reconcile(cloud.engine)  # a host that is seen for the first time has its instances started
    cloud.settle()
    (guest,) = (g for c in cloud.backend.computes.values() if (g := c._guests.get(holder)))
    compute = cloud.backend.computes[cloud.look(lambda db: db.get_one(Instance, holder).host)]
    compute.ensure_devices(replace(guest.machine, nics=guest.machine.nics[:1]))
    assert id not in cards(cloud)
    return id


def test_a_card_that_a_machine_lacks_comes_back(cloud: Cloud) -> None:
    id = without_its_card(cloud)
    reconcile(cloud.engine)
    assert is_plugged(cloud, id)


def test_a_card_too_many_goes(cloud: Cloud) -> None:
    id, holder = begin(cloud, "attach")
    cloud.settle()
    reconcile(cloud.engine)
    cloud.settle()
    with cloud.database.write() as db:
        row = db.get_one(NetworkInterface, id)
        row.instance_id, row.attachment_status, row.attachment_id, row.status = None, None, None, "available"
    reconcile(cloud.engine)
    cloud.settle()
    assert is_unplugged(cloud, id) and state(cloud, holder) == "running"


def test_a_machine_that_a_task_is_changing_is_left_to_it(cloud: Cloud) -> None:
    id = without_its_card(cloud)
    with cloud.database.write() as db:
        tasks.start(db, id, "sync_port", REGION)
    reconcile(cloud.engine)
    assert id not in cards(cloud)


def test_a_machine_whose_devices_cannot_be_repaired_does_not_stop_the_round(cloud: Cloud) -> None:
    id = without_its_card(cloud)
    cloud.backend.fail_next("ensure_devices", DriverError("not now"))
    reconcile(cloud.engine)
    assert id not in cards(cloud)
    reconcile(cloud.engine)
    assert is_plugged(cloud, id)

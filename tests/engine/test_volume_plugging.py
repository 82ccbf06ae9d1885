"""Volumes that come and go while their instance does too: whatever comes first, all ends as was asked last."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, select

from engine import tasks
from engine.drivers.base import Disk, DriverError
from engine.reconciler import reconcile
from engine.state import Task, Volume, VolumeAttachment, VolumeModification
from tests.cloud import REGION, Cloud
from tests.engine import volumes
from tests.engine.test_hotplug import only
from tests.engine.volumes import attaching, creating, detaching, disks, disks_of, is_attached, is_detached, see
from tests.translators.test_instances import instance, state

BEGINNINGS: dict[str, Callable[[Cloud], str]] = {"attach": attaching, "detach": detaching}
EITHER = pytest.mark.parametrize("beginning", BEGINNINGS)


def begin(cloud: Cloud, beginning: str) -> tuple[str, str, str]:
    """Begin to attach or to detach a volume; return its attachment's id, its own, and that of its instance."""
    id = BEGINNINGS[beginning](cloud)
    row = cloud.look(lambda db: db.scalar(select(VolumeAttachment).filter_by(id=id)))
    assert row is not None
    return id, row.volume_id, row.instance_id


def ended_right(cloud: Cloud, beginning: str, id: str) -> bool:
    return is_attached(cloud, id) if beginning == "attach" else is_detached(cloud, id)


# -- the instance moves meanwhile ------------------------------------------------


@EITHER
@pytest.mark.parametrize("of_instance", [0, 3])
@pytest.mark.parametrize("action", ["stop_instances", "reboot_instances", "terminate_instances"])
def test_an_instance_may_move_at_any_step(cloud: Cloud, beginning: str, of_instance: int, action: str) -> None:
    for count in range(3):
        id, volume, holder = begin(cloud, beginning)
        only(cloud, id, count)
        getattr(cloud.ec2, action)(InstanceIds=[holder])
        only(cloud, holder, of_instance)
        only(cloud, id, 1)
        cloud.settle()
        if action == "reboot_instances":
            assert ended_right(cloud, beginning, id)
        elif action == "terminate_instances":
            assert state(cloud, holder) == "terminated" and is_detached(cloud, id) and volume in disks(cloud)
        else:
            check_stopped(cloud, beginning, id, volume, holder)


def check_stopped(cloud: Cloud, beginning: str, id: str, volume: str, holder: str) -> None:
    assert state(cloud, holder) == "stopped"
    assert see(cloud, volume)["State"] == ("in-use" if beginning == "attach" else "available")
    cloud.ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert state(cloud, holder) == "running" and ended_right(cloud, beginning, id)


@EITHER
def test_an_instance_may_be_stopped_and_started_before_the_volume_has_its_turn(cloud: Cloud, beginning: str) -> None:
    for count in range(3):
        id, _, holder = begin(cloud, beginning)
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
    id, volume, holder = begin(cloud, beginning)
    cloud.backend.power_off(holder)
    only(cloud, id, 3)
    assert see(cloud, volume)["Attachments"][0]["State"] == f"{beginning}ing"
    with cloud.database.write() as db:
        tasks.start(db, holder, "start_instance", REGION)
    cloud.settle()
    assert ended_right(cloud, beginning, id)


def test_a_volume_that_goes_with_its_instance_goes_unless_it_was_being_detached(cloud: Cloud) -> None:
    for beginning in BEGINNINGS:
        id, volume, holder = begin(cloud, beginning)
        cloud.ec2.modify_instance_attribute(
            InstanceId=holder,
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}],
        )
        cloud.ec2.terminate_instances(InstanceIds=[holder])
        cloud.settle()
        assert is_detached(cloud, id) and (volume in disks(cloud)) is (beginning == "detach")


def test_a_volume_may_be_detached_while_it_is_being_attached(cloud: Cloud) -> None:
    for count in range(3):
        id, volume, _ = begin(cloud, "attach")
        only(cloud, id, count)
        cloud.ec2.detach_volume(VolumeId=volume)
        cloud.settle()
        assert is_detached(cloud, id)


def test_a_launch_may_be_stopped_before_it_has_disks(cloud: Cloud) -> None:
    for steps in range(4):
        (id,) = volumes.launch(cloud)
        cloud.run_single_steps(steps)
        cloud.ec2.stop_instances(InstanceIds=[id])
        cloud.settle()
        root = instance(cloud, id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        cloud.ec2.detach_volume(VolumeId=root)
        cloud.settle()
        assert see(cloud, root)["State"] == "available" and root in disks(cloud)


# -- guests and machines that do not play along ----------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_a_guest_that_clings_to_its_disk_keeps_it_busy_until_it_is_off(cloud: Cloud, force: bool) -> None:
    id, volume, holder = begin(cloud, "attach")
    cloud.settle()
    cloud.backend.clinging.add(holder)
    cloud.ec2.detach_volume(VolumeId=volume, Force=force)
    begun = time.time()
    for later in range(1, 600, 20):
        tasks.run_one(cloud.engine, begun + later)
    assert see(cloud, volume)["Attachments"][0]["State"] == "busy" and volume in disks_of(cloud, holder)
    assert instance(cloud, holder)["BlockDeviceMappings"][1]["Ebs"]["Status"] == "busy"
    assert cloud.ec2.detach_volume(VolumeId=volume)["State"] == "busy"
    assert cloud.ec2.detach_volume(VolumeId=volume, Force=True)["State"] == "detaching", "the guest is asked anew"
    cloud.ec2.stop_instances(InstanceIds=[holder], Force=True)
    cloud.settle()
    assert see(cloud, volume)["State"] == "available"
    cloud.ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert is_detached(cloud, id)


def test_a_guest_that_lets_go_late_has_its_volume_detached(cloud: Cloud) -> None:
    id, volume, holder = begin(cloud, "attach")
    cloud.settle()
    cloud.backend.clinging.add(holder)
    cloud.ec2.detach_volume(VolumeId=volume)
    cloud.run_steps(1)
    cloud.backend.clinging.clear()
    cloud.settle()
    assert is_detached(cloud, id)


def test_a_volume_is_attached_though_the_guest_clings_to_another(cloud: Cloud) -> None:
    _, first, holder = begin(cloud, "attach")
    second = creating(cloud, instance(cloud, holder)["Placement"]["AvailabilityZone"])
    cloud.settle()
    cloud.backend.clinging.add(holder)
    cloud.ec2.detach_volume(VolumeId=first)
    cloud.ec2.attach_volume(VolumeId=second, InstanceId=holder, Device="/dev/sdg")
    id = volumes.attachment_of(cloud, second)
    only(cloud, id, 4)
    assert is_attached(cloud, id) and disks_of(cloud, holder)[second].device == "vdc"


def test_a_volume_that_cannot_be_plugged_in_is_given_up(cloud: Cloud) -> None:
    id, volume, holder = begin(cloud, "attach")
    cloud.backend.fail_next("ensure_devices", DriverError("no slot is free"), 10)
    cloud.settle()
    assert is_detached(cloud, id) and state(cloud, holder) == "running"
    assert see(cloud, volume)["State"] == "available" and volume in disks(cloud)


# -- the reconciler --------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 2])
@EITHER
def test_a_lost_task_of_an_attachment_is_begun_again(cloud: Cloud, beginning: str, steps: int) -> None:
    id, *_ = begin(cloud, beginning)
    only(cloud, id, steps)
    forget_tasks(cloud)
    reconcile(cloud.engine)
    cloud.settle()
    assert ended_right(cloud, beginning, id)


def forget_tasks(cloud: Cloud) -> None:
    with cloud.database.write() as db:
        db.execute(delete(Task))


def test_lost_tasks_of_volumes_are_begun_again(cloud: Cloud) -> None:
    new, old, large = creating(cloud), volumes.deleting(cloud), volumes.growing(cloud)
    forget_tasks(cloud)
    reconcile(cloud.engine)
    cloud.settle()
    assert see(cloud, new)["State"] == "available" and new in disks(cloud)
    assert volumes.is_gone(cloud, old) and volumes.is_modified(cloud, large)


def test_a_change_whose_task_was_lost_when_it_had_begun_is_completed(cloud: Cloud) -> None:
    id = volumes.growing(cloud)
    only(cloud, id, 5)
    assert cloud.look(lambda db: db.get_one(VolumeModification, id).state) == "optimizing"
    forget_tasks(cloud)
    reconcile(cloud.engine)
    cloud.settle()
    assert volumes.is_modified(cloud, id)


def test_a_disk_without_a_volume_goes_and_no_other(cloud: Cloud) -> None:
    free = creating(cloud)
    cloud.settle()
    error = creating(cloud)
    with cloud.database.write() as db:
        db.execute(delete(Task))
        db.get_one(Volume, error).state = "error"
    for storage in cloud.backend.storages.values():
        storage.ensure_disk(Disk("vol-00000000000000000", 1))
    reconcile(cloud.engine)
    cloud.settle()
    assert disks(cloud) == {free: 4} and see(cloud, error)["State"] == "error"


def test_a_disk_that_a_machine_lacks_comes_back(cloud: Cloud) -> None:
    id, volume, holder = begin(cloud, "attach")
    cloud.settle()
    reconcile(cloud.engine)  # a host that is seen for the first time has its instances started
    cloud.settle()
    (compute,) = (c for c in cloud.backend.computes.values() if holder in c._guests)
    machine = compute._guests[holder].machine
    compute.ensure_devices(replace(machine, disks=machine.disks[:1]))
    assert volume not in disks_of(cloud, holder)
    reconcile(cloud.engine)
    assert is_attached(cloud, id)


def test_a_machine_whose_volume_is_on_its_way_is_left_to_that(cloud: Cloud) -> None:
    id, volume, holder = begin(cloud, "attach")
    before: Any = disks_of(cloud, holder)
    reconcile(cloud.engine)
    assert disks_of(cloud, holder) == before and volume not in before
    cloud.settle()
    assert is_attached(cloud, id)

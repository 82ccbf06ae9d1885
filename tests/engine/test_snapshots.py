"""Snapshots taken while something else happens to the same disks, or to the worker."""

import time
from typing import Any

import pytest

from engine import tasks
from engine.drivers.base import DriverError, Refused
from engine.reconciler import reconcile
from engine.state import Snapshot, Task, Volume
from tests.cloud import REGION, Cloud
from tests.engine import snapshots
from tests.engine.scenarios import is_running, is_terminated
from tests.engine.test_workflows import kill
from tests.translators.test_instances import launch, leftovers, state

STEPS = len(tasks.steps("create_snapshot"))


def take(cloud: Cloud, instance: str, number: int = 0) -> str:
    volume = snapshots.volumes_of(cloud, instance)[number]
    return str(cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"])


def begin(cloud: Cloud, task: str, steps: int) -> None:
    """Let a worker do so many steps of one task, and then be killed."""
    kill(cloud, task, "create_snapshot", steps, inside=False)
    with cloud.database.write() as db:
        db.get_one(Task, task).leased_until = time.time() + 3600


def go_on(cloud: Cloud) -> None:
    """Let another worker find the task of a dead one."""
    tasks.take_over(cloud.database)
    cloud.settle()


def snapshot(cloud: Cloud, id: str) -> Snapshot:
    return cloud.look(lambda db: db.get_one(Snapshot, id))


@pytest.mark.parametrize("steps", range(STEPS))
def test_volumes_go_only_when_their_snapshots_are_taken(cloud: Cloud, steps: int) -> None:
    instance = snapshots.running_with_data(cloud)
    made = cloud.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"]
    begin(cloud, made[0]["SnapshotId"], steps)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.run_steps(20)
    assert state(cloud, instance) == "shutting-down" and leftovers(cloud)[1]
    go_on(cloud)
    assert is_terminated(cloud, instance)
    assert snapshots.are_completed(cloud, made[0]["SnapshotId"])


def test_a_deleted_volume_goes_only_when_its_snapshot_is_taken(cloud: Cloud) -> None:
    volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeId"]
    cloud.settle()
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.ec2.delete_volume(VolumeId=volume)
    cloud.settle()
    assert snapshots.are_completed(cloud, id) and leftovers(cloud)[1] == set()
    assert snapshot(cloud, id).volume_size == 2


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_machine_starts_only_when_its_disks_stay_where_they_are(cloud: Cloud, steps: int) -> None:
    instance = snapshots.stopped_with_data(cloud)
    id = take(cloud, instance)
    begin(cloud, id, steps)
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.run_steps(20)
    assert state(cloud, instance) == "pending"
    go_on(cloud)
    assert is_running(cloud, instance) and snapshots.are_completed(cloud, id)


def test_a_snapshot_of_a_machine_that_is_starting_is_taken_when_it_runs(cloud: Cloud) -> None:
    (instance,) = launch(cloud)
    id = take(cloud, instance)
    assert not tasks_began(cloud, id)
    cloud.settle()
    assert is_running(cloud, instance) and snapshots.are_completed(cloud, id)


def tasks_began(cloud: Cloud, id: str) -> bool:
    """Let the worker try the task of a snapshot once; say whether it has the disks."""
    with cloud.database.write() as db:
        db.get_one(Task, id).run_at = 0.0
    tasks.run_one(cloud.engine, 1.0)
    return snapshot(cloud, id).being_taken


def test_one_machines_disks_are_under_one_task_at_a_time(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    first, second, same = take(cloud, instance, 0), take(cloud, instance, 1), take(cloud, instance, 0)
    begin(cloud, first, 1)
    assert not tasks_began(cloud, second) and not tasks_began(cloud, same)
    go_on(cloud)
    for id in (first, second, same):
        assert snapshots.are_completed(cloud, id)


def test_another_machines_snapshot_does_not_wait(cloud: Cloud) -> None:
    here, there = snapshots.running_with_data(cloud), snapshots.running_with_data(cloud)
    first, second = take(cloud, here), take(cloud, there)
    begin(cloud, first, 1)
    cloud.run_steps(5)
    assert snapshots.are_completed(cloud, second)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_disk_is_plugged_in_only_when_it_stays_where_it_is(cloud: Cloud, steps: int) -> None:
    (instance,) = launch(cloud)
    volume = snapshots.spare(cloud, instance)
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    begin(cloud, id, steps)
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    cloud.run_steps(10)
    assert snapshots.attachment(cloud, volume) == "attaching"
    go_on(cloud)
    assert snapshots.attachment(cloud, volume) == "attached" and snapshots.are_completed(cloud, id)


def test_a_snapshot_of_a_disk_that_is_being_plugged_in_is_taken_when_it_is(cloud: Cloud) -> None:
    (instance,) = launch(cloud)
    volume = snapshots.spare(cloud, instance)
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    assert not tasks_began(cloud, id)
    cloud.settle()
    assert snapshots.attachment(cloud, volume) == "attached" and snapshots.are_completed(cloud, id)


def test_a_disk_that_its_guest_does_not_let_go_of_is_moved_too(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    cloud.backend.clinging.add(instance)
    volume = snapshots.volumes_of(cloud, instance)[1]
    cloud.ec2.detach_volume(VolumeId=volume)
    cloud.run_steps(3)
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.run_steps(10)
    assert snapshots.are_completed(cloud, id) and volume in leftovers(cloud)[1]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_disk_grows_only_when_it_stays_where_it_is(cloud: Cloud, steps: int) -> None:
    instance = snapshots.running_with_data(cloud)
    id = take(cloud, instance, 1)
    begin(cloud, id, steps)
    cloud.ec2.modify_volume(VolumeId=snapshots.volumes_of(cloud, instance)[1], Size=9)
    cloud.run_steps(10)
    go_on(cloud)
    assert snapshots.are_completed(cloud, id) and snapshot(cloud, id).volume_size == 3
    assert volume(cloud, instance).size == 9


def volume(cloud: Cloud, instance: str) -> Volume:
    return cloud.look(lambda db: db.get_one(Volume, snapshots.volumes_of(cloud, instance)[1]))


def test_a_snapshot_of_a_disk_that_is_growing_has_its_new_size(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    cloud.ec2.modify_volume(VolumeId=snapshots.volumes_of(cloud, instance)[1], Size=9)
    image = cloud.ec2.create_image(InstanceId=instance, Name="grown", NoReboot=True)["ImageId"]
    cloud.settle()
    (found,) = cloud.ec2.describe_images(ImageIds=[image])["Images"]
    assert [disk["Ebs"]["VolumeSize"] for disk in found["BlockDeviceMappings"]] == [9, 1]
    assert sorted(s.volume_size for s in snapshots.made(cloud, image)) == [1, 9]


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_pending_snapshot_can_be_deleted_at_any_step(cloud: Cloud, steps: int) -> None:
    instance = snapshots.running_with_data(cloud)
    made = cloud.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"]
    first, second = (one["SnapshotId"] for one in made)
    begin(cloud, first, steps)
    cloud.ec2.delete_snapshot(SnapshotId=first)
    assert [s["SnapshotId"] for s in cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]].count(first) == 0
    go_on(cloud)
    reconcile(cloud.engine)
    assert snapshots.is_removed(cloud, first) and snapshot(cloud, second).state == "completed"
    assert snapshots.machines_write_where_their_disks_are(cloud)


def test_what_is_being_made_of_a_snapshot_is_made_though_that_is_deleted(cloud: Cloud) -> None:
    id = snapshots.completed(cloud)
    volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    copy = cloud.ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=id)["SnapshotId"]
    cloud.ec2.delete_snapshot(SnapshotId=id)
    cloud.settle()
    assert snapshots.is_removed(cloud, id) and snapshots.are_completed(cloud, copy)
    assert cloud.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_an_image_and_its_snapshots_may_go_while_an_instance_of_it_is_pending(cloud: Cloud) -> None:
    image = snapshots.IMAGES["stopped"](cloud)
    cloud.settle()
    (instance,) = launch(cloud, ImageId=image)
    cloud.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    cloud.settle()
    assert is_running(cloud, instance) and not snapshots.made(cloud, image)


@pytest.mark.parametrize("steps", [2, 3])
def test_snapshots_under_way_are_no_orphans(cloud: Cloud, steps: int) -> None:
    id = snapshots.taking(cloud)
    begin(cloud, id, steps)
    reconcile(cloud.engine)
    assert snapshots.kept(cloud, snapshots.made(cloud, id))
    go_on(cloud)
    assert snapshots.are_completed(cloud, id)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_lost_task_of_a_snapshot_is_begun_again(cloud: Cloud, steps: int) -> None:
    instance = snapshots.running_with_data(cloud)
    first = cloud.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"][0]["SnapshotId"]
    begin(cloud, first, steps)
    snapshots.lose_tasks(cloud)
    assert snapshots.are_completed(cloud, first)


def test_lost_tasks_of_copies_and_removals_are_begun_again(cloud: Cloud) -> None:
    copy = snapshots.copying(cloud)
    snapshots.lose_tasks(cloud)
    assert snapshots.are_completed(cloud, copy)
    cloud.ec2.delete_snapshot(SnapshotId=copy)
    snapshots.lose_tasks(cloud)
    assert snapshots.is_removed(cloud, copy)


def test_a_deleted_snapshot_whose_task_was_lost_half_way_leaves_machines_as_they_should_be(cloud: Cloud) -> None:
    id = snapshots.taking(cloud)
    begin(cloud, id, 2)
    for one in snapshots.made(cloud, id):
        cloud.ec2.delete_snapshot(SnapshotId=one.id)
    snapshots.lose_tasks(cloud)
    reconcile(cloud.engine)
    assert snapshots.machines_write_where_their_disks_are(cloud) and snapshots.is_removed(cloud, id)


def test_a_snapshot_that_cannot_be_taken_is_an_error(cloud: Cloud) -> None:
    id = snapshots.taking(cloud)
    cloud.backend.fail_next("ensure_snapshot", Refused("no"), 1)
    cloud.settle()
    assert snapshots.have_failed(cloud, id)
    (shown,) = cloud.ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert (shown["State"], shown["StateMessage"]) == ("error", "The data of the volume or snapshot could not be kept.")


def test_a_machine_that_will_not_move_its_disks_is_asked_until_it_does(cloud: Cloud) -> None:
    """Giving up would leave it writing to the snapshot, and lose that at its next start."""
    id = snapshots.taking(cloud)
    cloud.backend.fail_next("move_disks", DriverError("not now"), tasks.MAX_ATTEMPTS + 3)
    cloud.settle()
    assert snapshots.have_failed(cloud, id)


def test_a_simulated_cloud_that_starts_anew_knows_its_snapshots(cloud: Cloud) -> None:
    from engine.fleet import simulate

    id = snapshots.completed(cloud)
    pending = snapshots.taking(cloud)
    backend = simulate(cloud.database)
    kept = {snapshot for storage in backend.storages.values() for snapshot in storage.list_snapshots()}
    assert id in kept and pending not in kept and len(set(map(id_of, backend.storages.values()))) == 1


def id_of(thing: Any) -> int:
    return id(thing)

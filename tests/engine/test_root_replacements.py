"""Root volumes replaced while something else happens to their instances."""

import pytest

from engine import tasks
from engine.drivers.base import DriverError
from engine.reconciler import check_machine, reconcile
from tests.cloud import Cloud
from tests.engine import root_replacements as roots
from tests.engine import snapshots
from tests.engine.scenarios import is_stopped, is_terminated
from tests.translators.test_instances import launch, state

STEPS = range(len(tasks.steps("replace_root_volume")))


@pytest.mark.parametrize("steps", STEPS)
def test_an_instance_that_is_stopped_meanwhile_has_one_root_or_the_other(cloud: Cloud, steps: int) -> None:
    instance = roots.replacing(cloud)
    cloud.run_single_steps(steps)
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.settle()
    reconcile(cloud.engine)
    cloud.settle()
    assert is_stopped(cloud, instance)
    assert roots.shown(cloud, instance)[0]["TaskState"] in ("failed", "succeeded")
    assert [v["VolumeId"] for v in cloud.ec2.describe_volumes()["Volumes"]] == snapshots.volumes_of(cloud, instance)
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.settle()
    assert roots.runs_with_its_volumes(cloud, instance)


@pytest.mark.parametrize("steps", STEPS)
def test_an_instance_that_is_terminated_meanwhile_leaves_no_volume(cloud: Cloud, steps: int) -> None:
    instance = roots.replacing(cloud)
    cloud.run_single_steps(steps)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.settle()
    reconcile(cloud.engine)
    cloud.settle()
    (left,) = roots.shown(cloud, instance)
    assert left["TaskState"] == "failed" and "CompleteTime" in left
    unattached = cloud.ec2.describe_volumes()["Volumes"]
    assert all(volume["Attachments"] == [] for volume in unattached) and len(unattached) <= 1
    assert is_terminated(cloud, instance) or unattached


@pytest.mark.parametrize("steps", STEPS)
def test_an_instance_that_is_rebooted_meanwhile_has_its_new_root(cloud: Cloud, steps: int) -> None:
    instance = roots.replacing(cloud)
    cloud.run_single_steps(steps)
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    cloud.settle()
    assert roots.is_replaced(cloud, instance)


@pytest.mark.parametrize("steps", STEPS)
def test_a_lost_task_is_begun_again(cloud: Cloud, steps: int) -> None:
    instance = roots.replacing(cloud)
    reconcile(cloud.engine)  # it learns which boot of the host this is
    cloud.run_single_steps(steps)
    snapshots.lose_tasks(cloud)
    assert roots.is_replaced(cloud, instance)


def test_a_host_that_restarts_meanwhile_lets_it_go_on(cloud: Cloud) -> None:
    instance = roots.replacing(cloud)
    cloud.run_steps(2)
    cloud.backend.boot_id = "another"
    for _ in range(2):
        reconcile(cloud.engine)
        cloud.settle()
    assert roots.is_replaced(cloud, instance)


def test_the_instance_runs_all_the_while(cloud: Cloud) -> None:
    instance = roots.replacing(cloud)
    for _ in range(15):
        cloud.run_steps(1)
        check_machine(cloud.engine, instance)
        assert state(cloud, instance) == "running"
    cloud.settle()
    assert roots.is_replaced(cloud, instance)


def test_where_the_new_root_does_not_boot_the_old_one_does_again(cloud: Cloud) -> None:
    instance = roots.running(cloud)
    before = snapshots.volumes_of(cloud, instance)
    roots.replace(cloud, instance, DeleteReplacedRootVolume=True)
    cloud.backend.fail_next("ensure_machine", DriverError("not now"), tasks.MAX_ATTEMPTS)
    cloud.settle()
    assert roots.has_failed(cloud, instance) and snapshots.volumes_of(cloud, instance) == before


def test_where_the_new_root_cannot_be_made_the_instance_goes_on(cloud: Cloud) -> None:
    instance = roots.running(cloud)
    roots.replace(cloud, instance)
    cloud.backend.fail_next("ensure_disk", DriverError("no room"), tasks.MAX_ATTEMPTS)
    cloud.settle()
    assert roots.has_failed(cloud, instance)


def test_a_volume_that_is_not_to_be_had_any_more_is_not_taken(cloud: Cloud) -> None:
    instance = roots.running(cloud)
    spare = snapshots.spare(cloud, instance)
    roots.replace(cloud, instance, VolumeId=spare)
    cloud.ec2.delete_volume(VolumeId=spare)
    cloud.settle()
    assert roots.has_failed(cloud, instance)


def test_a_snapshot_of_the_old_root_is_taken_though_that_goes(cloud: Cloud) -> None:
    instance = roots.running(cloud)
    (volume,) = snapshots.volumes_of(cloud, instance)
    first = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    roots.replace(cloud, instance, DeleteReplacedRootVolume=True)
    cloud.settle()
    assert snapshots.are_completed(cloud, first) and roots.is_replaced(cloud, instance)


def test_nothing_waits_for_ever_when_images_and_replacements_meet(cloud: Cloud) -> None:
    (first, second) = launch(cloud, count=2)
    cloud.settle()
    for instance in (first, second):
        roots.replace(cloud, instance)
        cloud.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})
    cloud.settle()
    image = cloud.ec2.create_image(InstanceId=first, Name="one")["ImageId"]
    cloud.settle()
    assert snapshots.is_available(cloud, image)

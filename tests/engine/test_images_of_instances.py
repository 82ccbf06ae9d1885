"""Images made of instances while something happens to these, or to the worker."""

import pytest

from engine import tasks
from engine.drivers.base import DriverError
from engine.reconciler import check_machine, reconcile
from engine.state import Image
from tests.cloud import Cloud
from tests.engine import snapshots
from tests.engine.scenarios import is_running, is_stopped, is_terminated
from tests.engine.test_workflows import kill
from tests.translators.test_instances import state

STEPS = len(tasks.steps("create_snapshot"))


@pytest.mark.parametrize("inside", [False, True], ids=["between-steps", "inside-a-step"])
@pytest.mark.parametrize("how", snapshots.IMAGES)
def test_an_image_survives_a_worker_killed_at_any_step(cloud: Cloud, how: str, inside: bool) -> None:
    for count in range(STEPS + (not inside)):
        image = snapshots.IMAGES[how](cloud)
        kill(cloud, image, "create_snapshot", count, inside)
        cloud.settle()
        assert snapshots.is_available(cloud, image), f"killed after {count} steps"
        instance = cloud.look(lambda db, image=image: db.get_one(Image, image).source_instance_id)
        assert state(cloud, instance) == ("stopped" if how == "stopped" else "running")


def test_an_image_whose_snapshots_cannot_be_taken_has_failed_and_its_instance_runs(cloud: Cloud) -> None:
    image = snapshots.IMAGES["shut-down"](cloud)
    cloud.backend.fail_next("ensure_snapshot", DriverError("not now"), tasks.MAX_ATTEMPTS)
    cloud.settle()
    (found,) = cloud.ec2.describe_images(ImageIds=[image])["Images"]
    assert (found["State"], found["StateReason"]["Code"]) == ("failed", "Server.InternalError")
    assert is_running(cloud, found["SourceInstanceId"])
    named = [disk["Ebs"]["SnapshotId"] for disk in found["BlockDeviceMappings"]]
    for id in named:
        cloud.ec2.delete_snapshot(SnapshotId=id)


def boots(cloud: Cloud, instance: str) -> int:
    return sum(c._guests[instance].boots for c in cloud.backend.computes.values() if instance in c._guests)


def test_a_guest_is_shut_down_for_an_image_and_its_instance_runs_all_the_while(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    image = cloud.ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    seen = set()
    for _ in range(40):
        cloud.run_steps(1)
        check_machine(cloud.engine, instance)
        power = machine_power(cloud, instance)
        taken = [s.state for s in snapshots.made(cloud, image)]
        assert taken == ["pending", "pending"] or power == "stopped" or "stopped" in seen
        assert state(cloud, instance) == "running"
        seen.add(power)
    cloud.settle()
    assert seen == {"running", "stopped"} and boots(cloud, instance) == 2
    assert snapshots.has_restarted(cloud, instance)


def machine_power(cloud: Cloud, instance: str) -> str:
    return next(c.list_machines()[instance] for c in cloud.backend.computes.values() if instance in c.list_machines())


def test_a_guest_goes_on_while_an_image_is_made_of_it_without_reboot(cloud: Cloud) -> None:
    image = snapshots.IMAGES["as-it-runs"](cloud)
    cloud.settle()
    instance = cloud.look(lambda db: db.get_one(Image, image).source_instance_id)
    assert snapshots.is_available(cloud, image) and boots(cloud, instance) == 1


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("action", ["stop_instances", "terminate_instances", "reboot_instances"])
def test_whatever_is_asked_of_an_instance_that_is_off_for_an_image_is_done(
    cloud: Cloud, action: str, steps: int
) -> None:
    instance = snapshots.running_with_data(cloud)
    image = cloud.ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    cloud.run_steps(steps)
    getattr(cloud.ec2, action)(InstanceIds=[instance])
    cloud.settle()
    assert snapshots.is_available(cloud, image)
    ended = {"stop_instances": is_stopped, "terminate_instances": is_terminated, "reboot_instances": is_running}
    assert ended[action](cloud, instance)


@pytest.mark.parametrize("steps", range(6))
def test_a_lost_task_of_an_instance_that_is_off_for_an_image_is_begun_again(cloud: Cloud, steps: int) -> None:
    instance = snapshots.running_with_data(cloud)
    image = cloud.ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    cloud.run_steps(steps)
    snapshots.lose_tasks(cloud)
    assert snapshots.is_available(cloud, image) and is_running(cloud, instance)


def test_two_images_of_a_running_instance_are_made_at_once(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    for steps in (1, 3, 5):
        names = f"a{steps}", f"b{steps}"
        first = cloud.ec2.create_image(InstanceId=instance, Name=f"{names[0]}--")["ImageId"]
        cloud.run_steps(steps)
        second = cloud.ec2.create_image(InstanceId=instance, Name=f"{names[1]}--")["ImageId"]
        cloud.settle()
        assert snapshots.is_available(cloud, first) and snapshots.is_available(cloud, second)
        assert snapshots.has_restarted(cloud, instance)


def test_a_host_that_restarts_while_an_instance_is_off_for_an_image_starts_it_again(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    image = cloud.ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    cloud.run_steps(2)
    cloud.backend.boot_id = "another"
    reconcile(cloud.engine)
    cloud.settle()
    assert is_running(cloud, instance) and snapshots.is_available(cloud, image)


def test_a_volume_attached_while_its_instance_is_off_for_an_image_is_in_it(cloud: Cloud) -> None:
    instance = snapshots.running_with_data(cloud)
    volume = snapshots.spare(cloud, instance)
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    image = cloud.ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    cloud.settle()
    assert snapshots.has_restarted(cloud, instance) and len(snapshots.made(cloud, image)) == 3
    assert snapshots.attachment(cloud, volume) == "attached"

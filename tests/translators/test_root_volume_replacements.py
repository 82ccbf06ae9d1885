"""CreateReplaceRootVolumeTask and DescribeReplaceRootVolumeTasks through a real client."""

from typing import Any

from tests.cloud import IMAGE, REGION, Cloud
from tests.engine.root_replacements import disks, is_replaced, replace, running, shown
from tests.engine.snapshots import spare, volumes_of
from tests.translators.test_images import MINE
from tests.translators.test_instances import launch

TAGS = [{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "k", "Value": "v"}]}]


def volume(cloud: Cloud, id: str) -> dict[str, Any]:
    (found,) = cloud.ec2.describe_volumes(VolumeIds=[id])["Volumes"]
    return dict(found)


def test_a_root_is_replaced_by_what_it_was_at_launch(cloud: Cloud, ec2: Any) -> None:
    (instance,) = launch(cloud, BlockDeviceMappings=[
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4, "VolumeType": "gp3", "DeleteOnTermination": False}}
    ])  # fmt: skip
    cloud.settle()
    (old,) = volumes_of(cloud, instance)
    made = volume(cloud, old)
    answer = replace(cloud, instance, TagSpecifications=TAGS)
    assert answer.pop("StartTime")
    assert answer == {
        "ReplaceRootVolumeTaskId": answer["ReplaceRootVolumeTaskId"], "InstanceId": instance, "TaskState": "pending",
        "SnapshotId": made["SnapshotId"], "DeleteReplacedRootVolume": False, "Tags": TAGS[0]["Tags"],
    }  # fmt: skip
    cloud.settle()
    (ended,) = ec2.describe_replace_root_volume_tasks(
        ReplaceRootVolumeTaskIds=[answer["ReplaceRootVolumeTaskId"]]
    )["ReplaceRootVolumeTasks"]  # fmt: skip
    assert ended["TaskState"] == "succeeded" and ended["CompleteTime"] >= ended["StartTime"]
    (new,) = volumes_of(cloud, instance)
    found = volume(cloud, new)
    assert new != old and disks(cloud, instance) == [new]
    for name in ("Size", "VolumeType", "Iops", "Throughput", "SnapshotId", "AvailabilityZone"):
        assert found[name] == made[name]
    (attachment,) = found["Attachments"]
    assert (attachment["Device"], attachment["DeleteOnTermination"]) == ("/dev/xvda", False)
    assert volume(cloud, old)["State"] == "available"


def test_an_encrypted_root_is_replaced_by_an_encrypted_one(cloud: Cloud, ec2: Any) -> None:
    (instance,) = launch(cloud, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}])
    cloud.settle()
    (old,) = volumes_of(cloud, instance)
    snapshot = ec2.create_snapshot(VolumeId=old)["SnapshotId"]
    cloud.settle()
    for asked in ({"SnapshotId": snapshot}, {}, {"ImageId": IMAGE}):
        replace(cloud, instance, **asked)
        cloud.settle()
        (new,) = volumes_of(cloud, instance)
        assert volume(cloud, new)["Encrypted"] is True and cloud.backend.storages[f"{REGION}a"].disks[new].key
        assert disks(cloud, instance) == [new]


def test_the_replaced_root_is_deleted_if_asked(cloud: Cloud, refused: Any) -> None:
    instance = running(cloud)
    (old,) = volumes_of(cloud, instance)
    assert replace(cloud, instance, DeleteReplacedRootVolume=True)["DeleteReplacedRootVolume"] is True
    cloud.settle()
    with refused("InvalidVolume.NotFound"):
        volume(cloud, old)
    assert is_replaced(cloud, instance)


def test_a_root_is_replaced_by_its_snapshot_an_image_or_another_volume(cloud: Cloud, ec2: Any) -> None:
    instance = running(cloud)
    (old,) = volumes_of(cloud, instance)
    snapshot = ec2.create_snapshot(VolumeId=old)["SnapshotId"]
    cloud.settle()
    assert replace(cloud, instance, SnapshotId=snapshot)["SnapshotId"] == snapshot
    cloud.settle()
    assert volume(cloud, volumes_of(cloud, instance)[0])["SnapshotId"] == snapshot
    assert replace(cloud, instance, ImageId=IMAGE)["ImageId"] == IMAGE
    cloud.settle()
    assert volume(cloud, volumes_of(cloud, instance)[0])["SnapshotId"] != snapshot
    other = spare(cloud, instance)
    assert "SnapshotId" not in replace(cloud, instance, VolumeId=other)
    cloud.settle()
    assert volumes_of(cloud, instance) == [other] == disks(cloud, instance)
    assert [task["TaskState"] for task in shown(cloud, instance)] == ["succeeded"] * 3


def test_a_larger_source_makes_a_larger_root(cloud: Cloud, ec2: Any) -> None:
    instance = running(cloud)
    (large,) = launch(cloud, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}])
    cloud.settle()
    image = ec2.create_image(InstanceId=large, Name="large", NoReboot=True)["ImageId"]
    cloud.settle()
    replace(cloud, instance, ImageId=image)
    cloud.settle()
    assert volume(cloud, volumes_of(cloud, instance)[0])["Size"] == 9


def test_a_root_that_cannot_be_replaced_so_is_refused(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance, other = running(cloud), running(cloud)
    (old,), (theirs,) = volumes_of(cloud, instance), volumes_of(cloud, other)
    foreign = ec2.create_snapshot(VolumeId=theirs)["SnapshotId"]
    elsewhere = ec2.create_volume(AvailabilityZone=zone_other(cloud, old), Size=1)["VolumeId"]
    cold = ec2.create_volume(AvailabilityZone=volume(cloud, old)["AvailabilityZone"], Size=125, VolumeType="sc1")
    cloud.settle()
    for asked, code in (
        ({"SnapshotId": foreign}, "InvalidParameterValue"),
        ({"SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound"),
        ({"ImageId": "ami-0123456789abcdef9"}, "InvalidAMIID.NotFound"),
        ({"VolumeId": "vol-0123456789abcdef0"}, "InvalidVolume.NotFound"),
        ({"VolumeId": theirs}, "IncorrectState"),
        ({"VolumeId": old}, "InvalidParameterValue"),
        ({"VolumeId": elsewhere}, "InvalidVolume.ZoneMismatch"),
        ({"VolumeId": cold["VolumeId"]}, "InvalidParameterValue"),
        ({"VolumeId": elsewhere, "ImageId": IMAGE}, "InvalidParameterCombination"),
        ({"VolumeInitializationRate": 100}, "UnsupportedOperation"),
        ({"TagSpecifications": [{"ResourceType": "volume", "Tags": []}]}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ):
        with refused(code):
            replace(cloud, instance, **asked)
    assert shown(cloud, instance) == []


def zone_other(cloud: Cloud, id: str) -> str:
    zone = volume(cloud, id)["AvailabilityZone"]
    return "us-east-1b" if zone != "us-east-1b" else "us-east-1a"


def test_an_instance_must_run_and_have_no_replacement_under_way(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance, other = running(cloud), running(cloud)
    ec2.stop_instances(InstanceIds=[other])
    with refused("IncorrectInstanceState"):
        replace(cloud, other)
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account(MINE).create_replace_root_volume_task(InstanceId=instance)
    replace(cloud, instance)
    with refused("IncorrectState", "is being replaced"):
        replace(cloud, instance)
    with refused("IncorrectState", "is being replaced"):
        ec2.create_image(InstanceId=instance, Name="one")
    cloud.settle()
    ec2.create_image(InstanceId=instance, Name="one")
    with refused("IncorrectState"):
        replace(cloud, instance)


def test_the_snapshot_of_the_launch_must_still_be_there(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance = running(cloud)
    ec2.deregister_image(ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    cloud.settle()
    with refused("InvalidSnapshot.NotFound"):
        replace(cloud, instance)


def test_replacements_are_found_by_instance_tag_and_page(cloud: Cloud, ec2: Any, refused: Any) -> None:
    first, second = running(cloud), running(cloud)
    tagged = replace(cloud, first, TagSpecifications=TAGS, ClientToken="t")
    assert replace(cloud, first, TagSpecifications=TAGS, ClientToken="t") == tagged
    replace(cloud, second)
    assert len(ec2.describe_replace_root_volume_tasks()["ReplaceRootVolumeTasks"]) == 2
    assert shown(cloud, first)[0]["ReplaceRootVolumeTaskId"] == tagged["ReplaceRootVolumeTaskId"]
    found = ec2.describe_replace_root_volume_tasks(Filters=[{"Name": "tag:k", "Values": ["v"]}])
    assert len(found["ReplaceRootVolumeTasks"]) == 1
    (tag,) = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["k"]}])["Tags"]
    assert tag["ResourceType"] == "replace-root-volume-task"
    mine = cloud.another_account(MINE)
    assert mine.describe_replace_root_volume_tasks()["ReplaceRootVolumeTasks"] == []
    with refused("InvalidReplaceRootVolumeTaskId.NotFound"):
        mine.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[tagged["ReplaceRootVolumeTaskId"]])
    with refused("InvalidParameterValue"):
        ec2.describe_replace_root_volume_tasks(Filters=[{"Name": "state", "Values": ["x"]}])

"""CreateSnapshot, CreateSnapshots and DeleteSnapshot through a real client."""

from typing import Any

import pytest

from engine.state import Volume
from tests.cloud import REGION, Cloud
from tests.engine.snapshots import running_with_data, spare, stored, volumes_of
from tests.translators.test_image_registration import root
from tests.translators.test_snapshots import MINE, add_snapshot, ids
from tests.translators.test_volumes import add_volume

TAGS = [{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}]


def test_a_snapshot_is_pending_and_then_completed_and_reads_back_as_asked(cloud: Cloud, ec2: Any) -> None:
    instance = running_with_data(cloud)
    volume = volumes_of(cloud, instance)[1]
    answer = ec2.create_snapshot(VolumeId=volume, Description="a <b> & c", TagSpecifications=TAGS)
    answer.pop("ResponseMetadata")
    started = answer.pop("StartTime")
    assert answer == {
        "SnapshotId": answer["SnapshotId"], "VolumeId": volume, "VolumeSize": 3, "State": "pending", "Progress": "0%",
        "OwnerId": "000000000000", "Description": "a <b> & c", "Encrypted": False, "StorageTier": "standard",
        "Tags": TAGS[0]["Tags"],
    }  # fmt: skip
    cloud.settle()
    (shown,) = ec2.describe_snapshots(SnapshotIds=[answer["SnapshotId"]])["Snapshots"]
    assert shown.pop("StartTime") == started <= shown.pop("CompletionTime")
    assert shown == answer | {"State": "completed", "Progress": "100%"}
    made = ec2.create_volume(AvailabilityZone="us-east-1c", SnapshotId=answer["SnapshotId"])
    cloud.settle()
    (volume,) = ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"]
    assert (volume["State"], volume["Size"], volume["SnapshotId"]) == ("available", 3, answer["SnapshotId"])


def test_a_waiter_sees_a_snapshot_completed(cloud: Cloud, ec2: Any) -> None:
    id = ec2.create_snapshot(VolumeId=spare(cloud, running_with_data(cloud)))["SnapshotId"]
    cloud.settle()
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 1})


def test_a_volume_must_be_there_and_whole(cloud: Cloud, ec2: Any, refused: Any) -> None:
    with refused("InvalidVolume.NotFound"):
        ec2.create_snapshot(VolumeId="vol-0123456789abcdef0")
    with refused("InvalidVolume.NotFound"):
        cloud.another_account(MINE).create_snapshot(VolumeId=add_volume(cloud))
    for state in ("creating", "deleting", "error"):
        with refused("IncorrectState", "available or in-use"):
            ec2.create_snapshot(VolumeId=add_volume(cloud, state=state))
    volume = add_volume(cloud)
    with refused("InvalidParameterValue"):
        ec2.create_snapshot(VolumeId=volume, Description="x" * 256)
    with refused("InvalidParameterValue"):
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=[{"ResourceType": "volume", "Tags": []}])
    for parameter in ({"OutpostArn": "arn"}, {"Location": "local"}):
        with refused("UnsupportedOperation"):
            ec2.create_snapshot(VolumeId=volume, **parameter)
    with refused("DryRunOperation"):
        ec2.create_snapshot(VolumeId=volume, DryRun=True)
    assert ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": ["vol-*"]}], OwnerIds=[MINE]) and (
        len(ids(ec2.describe_snapshots(OwnerIds=["self"]))) == 1
    )


def test_a_volume_that_goes_with_its_instance_is_kept_no_more(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance = running_with_data(cloud)
    volume = volumes_of(cloud, instance)[0]
    ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectState"):
        ec2.create_snapshot(VolumeId=volume)
    with refused("IncorrectInstanceState"):
        ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})


def test_there_are_no_more_snapshots_than_the_quota(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(quotas={"snapshots": 2})
    volume = add_volume(cloud)
    cloud.ec2.create_snapshot(VolumeId=volume)  # the other one is the image's
    with refused("SnapshotLimitExceeded"):
        cloud.ec2.create_snapshot(VolumeId=volume)


def test_the_snapshots_of_an_instance_are_of_one_moment(cloud: Cloud, ec2: Any) -> None:
    instance = running_with_data(cloud)
    volumes = volumes_of(cloud, instance)
    ec2.create_tags(Resources=[volumes[1]], Tags=[{"Key": "k", "Value": "of volume"}, {"Key": "n", "Value": "data"}])
    made = ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance}, Description="both", CopyTagsFromSource="volume",
        TagSpecifications=TAGS,
    )["Snapshots"]  # fmt: skip
    assert [(one["VolumeId"], one["VolumeSize"], one["State"]) for one in made] == [
        (volumes[0], 1, "pending"), (volumes[1], 3, "pending"),
    ]  # fmt: skip
    assert len({one["StartTime"] for one in made}) == 1 and {one["Description"] for one in made} == {"both"}
    assert [one["Tags"] for one in made] == [
        [{"Key": "k", "Value": "v"}], [{"Key": "k", "Value": "v"}, {"Key": "n", "Value": "data"}],
    ]  # fmt: skip
    cloud.settle()
    shown = ec2.describe_snapshots(SnapshotIds=[one["SnapshotId"] for one in made])["Snapshots"]
    assert {one["State"] for one in shown} == {"completed"}


def test_volumes_are_left_out_of_a_set_as_asked(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance = running_with_data(cloud)
    boot, data = volumes_of(cloud, instance)

    def taken(**asked: Any) -> list[str]:
        made = ec2.create_snapshots(InstanceSpecification={"InstanceId": instance, **asked})["Snapshots"]
        return [one["VolumeId"] for one in made]

    assert taken(ExcludeBootVolume=True) == [data] and taken(ExcludeDataVolumeIds=[data]) == [boot]
    with refused("InvalidParameterValue", "root volume"):
        taken(ExcludeDataVolumeIds=[boot])
    with refused("InvalidParameterValue", "not attached"):
        taken(ExcludeDataVolumeIds=[add_volume(cloud)])
    with refused("InvalidParameterValue", "no volumes"):
        taken(ExcludeBootVolume=True, ExcludeDataVolumeIds=[data])
    with refused("InvalidVolumeID.Malformed"):
        taken(ExcludeDataVolumeIds=["x"])
    with refused("InvalidInstanceID.NotFound"):
        ec2.create_snapshots(InstanceSpecification={"InstanceId": "i-0123456789abcdef0"})
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account(MINE).create_snapshots(InstanceSpecification={"InstanceId": instance})
    with refused("InvalidParameterValue"):
        ec2.create_snapshots(InstanceSpecification={"InstanceId": instance}, CopyTagsFromSource="instance")


def test_a_deleted_snapshot_is_gone_and_what_was_made_of_it_is_not(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance = running_with_data(cloud)
    id = ec2.create_snapshot(VolumeId=volumes_of(cloud, instance)[1], TagSpecifications=TAGS)["SnapshotId"]
    cloud.settle()
    made = ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=id)["VolumeId"]
    cloud.settle()
    with refused("DryRunOperation"):
        ec2.delete_snapshot(SnapshotId=id, DryRun=True)
    ec2.delete_snapshot(SnapshotId=id)
    for call in (ec2.delete_snapshot, ec2.lock_snapshot):
        with refused("InvalidSnapshot.NotFound"):
            call(SnapshotId=id, **({"LockMode": "governance", "LockDuration": 1} if call == ec2.lock_snapshot else {}))
    with refused("InvalidSnapshot.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[id])
    with refused("InvalidSnapshot.NotFound"):
        ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=id)
    with refused("InvalidSnapshot.NotFound"):
        ec2.create_tags(Resources=[id], Tags=[{"Key": "k", "Value": "v"}])
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"] == []
    cloud.settle()
    assert id not in stored(cloud)
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"


def test_a_snapshot_that_an_image_names_is_in_use(cloud: Cloud, refused: Any) -> None:
    mine = cloud.another_account(MINE)
    id = add_snapshot(cloud)
    image = mine.register_image(Name="web", BlockDeviceMappings=[root(id)])["ImageId"]
    with refused("InvalidSnapshot.InUse", f"The snapshot {id} is currently in use by {image}"):
        mine.delete_snapshot(SnapshotId=id)
    mine.disable_image(ImageId=image)
    with refused("InvalidSnapshot.InUse"):
        mine.delete_snapshot(SnapshotId=id)
    mine.deregister_image(ImageId=image)
    mine.delete_snapshot(SnapshotId=id)


def test_only_its_owner_deletes_a_snapshot(cloud: Cloud, ec2: Any, refused: Any) -> None:
    mine = cloud.another_account(MINE)
    id = add_snapshot(cloud)
    with refused("InvalidSnapshot.NotFound"):
        ec2.delete_snapshot(SnapshotId=id)
    mine.modify_snapshot_attribute(
        SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": "000000000000"}]}
    )  # fmt: skip
    with refused("AuthFailure"):
        ec2.delete_snapshot(SnapshotId=id)
    with refused("InvalidSnapshotID.Malformed"):
        ec2.delete_snapshot(SnapshotId="snap-x")


@pytest.mark.parametrize("region", ["eu-west-1"])
def test_a_snapshot_of_another_region_is_not_found(make_cloud: Any, refused: Any, region: str) -> None:
    cloud = make_cloud(regions=f"{REGION},{region}")
    id = cloud.ec2.create_snapshot(VolumeId=add_volume(cloud))["SnapshotId"]
    with refused("InvalidSnapshot.NotFound"):
        cloud.client(region=region).delete_snapshot(SnapshotId=id)
    assert cloud.look(lambda db: db.query(Volume).count()) == 1

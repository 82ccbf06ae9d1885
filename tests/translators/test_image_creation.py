"""CreateImage through a real client."""

from typing import Any

import pytest

from tests.cloud import IMAGE, OPERATOR, Cloud
from tests.engine.snapshots import running_with_data, spare, stopped_with_data, volumes_of
from tests.translators.test_image_registration import root
from tests.translators.test_images import MINE, ids, register
from tests.translators.test_instance_types import add_instance
from tests.translators.test_instances import launch, state


def shown(client: Any, id: str) -> dict[str, Any]:
    (image,) = client.describe_images(ImageIds=[id])["Images"]
    return dict(image)


def test_an_image_is_pending_and_then_available_and_says_what_its_instance_is(cloud: Cloud, ec2: Any) -> None:
    instance = running_with_data(cloud)
    tags = [{"Key": "k", "Value": "v"}]
    id = ec2.create_image(
        InstanceId=instance, Name="web [1]", Description="a <b>", NoReboot=True,
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
    )["ImageId"]  # fmt: skip
    pending = shown(ec2, id)
    assert (pending["State"], pending["Name"], pending["Description"]) == ("pending", "web [1]", "a <b>")
    with pytest.raises(Exception, match=r"InvalidAMIID\.Unavailable"):
        launch(cloud, ImageId=id)
    cloud.settle()
    image = shown(ec2, id)
    assert image == pending | {"State": "available"}
    assert (image["ImageLocation"], image["OwnerId"], image["Public"]) == (f"{OPERATOR}/web [1]", OPERATOR, False)
    assert (image["Architecture"], image["RootDeviceName"], image["EnaSupport"]) == ("x86_64", "/dev/xvda", True)
    assert (image["SourceInstanceId"], image["SourceImageId"], image["SourceImageRegion"]) == (
        instance, IMAGE, "us-east-1",
    )  # fmt: skip
    assert image["Tags"] == tags and "StateReason" not in image
    disks = {disk["DeviceName"]: disk["Ebs"] for disk in image["BlockDeviceMappings"]}
    kept = [disks[name].pop("SnapshotId") for name in ("/dev/xvda", "/dev/sdf")]
    common = {"VolumeType": "gp2", "DeleteOnTermination": True, "Encrypted": False}
    assert disks == {"/dev/xvda": common | {"VolumeSize": 1}, "/dev/sdf": common | {"VolumeSize": 3}}
    snapshots = {s["SnapshotId"]: s for s in ec2.describe_snapshots(SnapshotIds=kept)["Snapshots"]}
    assert [snapshots[id]["VolumeId"] for id in kept] == volumes_of(cloud, instance)
    about = f"Created by CreateImage({instance}) for {id}"
    assert {(s["State"], s["Description"], s["Tags"][0]["Key"]) for s in snapshots.values()} == {
        ("completed", about, "k")
    }


def test_an_instance_of_the_image_has_the_volumes_that_were_kept(cloud: Cloud, ec2: Any) -> None:
    instance = stopped_with_data(cloud)
    id = ec2.create_image(InstanceId=instance, Name="stopped")["ImageId"]
    cloud.settle()
    assert state(cloud, instance) == "stopped"
    (copy,) = launch(cloud, ImageId=id)
    cloud.settle()
    assert state(cloud, copy) == "running"
    made = {v["VolumeId"]: v for v in ec2.describe_volumes()["Volumes"]}
    assert [made[volume]["Size"] for volume in volumes_of(cloud, copy)] == [1, 3]
    assert all(made[volume]["SnapshotId"] for volume in volumes_of(cloud, copy))


def test_disks_are_left_out_added_and_changed_as_asked(cloud: Cloud, ec2: Any) -> None:
    instance = running_with_data(cloud)
    snapshot = ec2.create_snapshot(VolumeId=spare(cloud, instance))["SnapshotId"]
    cloud.settle()
    mappings = [
        {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False, "VolumeSize": 1, "VolumeType": "gp2"}},
        {"DeviceName": "/dev/sdf", "NoDevice": ""},
        {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}},
        {"DeviceName": "/dev/sdh", "Ebs": {"VolumeSize": 7}},
        {"DeviceName": "/dev/sdi", "VirtualName": "ephemeral0"},
    ]
    id = ec2.create_image(InstanceId=instance, Name="one", NoReboot=True, BlockDeviceMappings=mappings)["ImageId"]
    disks = {disk["DeviceName"]: disk for disk in shown(ec2, id)["BlockDeviceMappings"]}
    assert sorted(disks) == ["/dev/sdg", "/dev/sdh", "/dev/sdi", "/dev/xvda"]
    assert disks["/dev/xvda"]["Ebs"]["DeleteOnTermination"] is False
    assert (disks["/dev/sdg"]["Ebs"]["SnapshotId"], disks["/dev/sdg"]["Ebs"]["VolumeSize"]) == (snapshot, 2)
    assert "SnapshotId" not in disks["/dev/sdh"]["Ebs"]
    assert disks["/dev/sdi"] == {"DeviceName": "/dev/sdi", "VirtualName": "ephemeral0"}
    cloud.settle()
    (copy,) = launch(cloud, ImageId=id)
    cloud.settle()
    assert len(volumes_of(cloud, copy)) == 3 and state(cloud, copy) == "running"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Name": "a:b"}, "InvalidAMIName.Malformed"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"BootModeOverride": "uefi"}, "UnsupportedOperation"),
        ({"SnapshotLocation": "local"}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "NoDevice": ""}]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdx", "NoDevice": ""}]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "NoDevice": ""}] * 2}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{"NoDevice": ""}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}}]}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "k"}}]}, "UnsupportedOperation"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "VirtualName": "ephemeral0"}]},
            "InvalidParameterCombination",
        ),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdx", "Ebs": {}}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [root("snap-0123456789abcdef0")]}, "InvalidSnapshot.NotFound"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": []}]}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_an_image_that_cannot_be_made_is_refused(
    cloud: Cloud, ec2: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    instance = running_with_data(cloud)
    with refused(code):
        ec2.create_image(**({"InstanceId": instance, "Name": "one"} | asked))
    cloud.settle()
    assert ids(ec2) == [IMAGE] and len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1


def test_an_instance_must_be_the_callers_and_running_or_stopped(cloud: Cloud, ec2: Any, refused: Any) -> None:
    (pending,) = launch(cloud)
    with refused("IncorrectInstanceState"):
        ec2.create_image(InstanceId=pending, Name="one")
    cloud.settle()
    mine = cloud.another_account(MINE)
    with refused("InvalidInstanceID.NotFound"):
        mine.create_image(InstanceId=pending, Name="one")
    with refused("InvalidInstanceID.Malformed"):
        ec2.create_image(InstanceId="i-x", Name="one")
    with refused("IncorrectState", "no root volume"):
        ec2.create_image(InstanceId=add_instance(cloud, "t3.micro"), Name="one")
    ec2.create_image(InstanceId=pending, Name="one")
    with refused("InvalidAMIName.Duplicate"):
        ec2.create_image(InstanceId=pending, Name="one")


def test_a_pending_image_can_be_deregistered(cloud: Cloud, ec2: Any, refused: Any) -> None:
    instance = running_with_data(cloud)
    id = ec2.create_image(InstanceId=instance, Name="one")["ImageId"]
    snapshot = shown(ec2, id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with refused("InvalidSnapshot.InUse"):
        ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.deregister_image(ImageId=id)
    cloud.settle()
    assert ids(ec2) == [IMAGE] and state(cloud, instance) == "running"
    assert ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"


def test_images_are_found_by_what_they_were_made_of(cloud: Cloud, ec2: Any) -> None:
    instance = running_with_data(cloud)
    id = ec2.create_image(InstanceId=instance, Name="one", NoReboot=True)["ImageId"]
    register(cloud, ec2, "other", OPERATOR)

    def found(name: str, value: str) -> list[str]:
        return ids(ec2, Filters=[{"Name": name, "Values": [value]}])

    assert found("source-instance-id", instance) == found("source-image-id", IMAGE) == [id]
    assert found("source-image-region", "us-east-1") == found("state", "pending") == [id]
    assert found("state-reason-code", "Server.InternalError") == []

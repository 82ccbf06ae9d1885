"""Registering and deregistering images through a real client."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.state import Tag, Volume
from tests.cloud import IMAGE, OPERATOR, REGION, Cloud
from tests.translators.test_images import MINE, NOBODY, ids, register
from tests.translators.test_instance_types import add_instance
from tests.translators.test_snapshots import add_snapshot


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator."""
    return cloud.another_account(MINE)


def root(snapshot: str, **ebs: Any) -> dict[str, Any]:
    return {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot, **ebs}}


def test_a_registered_image_is_read_back_as_it_was_sent(cloud: Cloud, mine: Any) -> None:
    snapshot = add_snapshot(cloud, volume_size=8)
    mappings = [
        root(snapshot, VolumeSize=20, VolumeType="gp3", Iops=4000, Throughput=500, DeleteOnTermination=False),
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "VolumeType": "gp3"}},
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
    ]
    id = mine.register_image(
        Name="my image [v1] (a/b) '@_-", Description="a <b> & c", Architecture="x86_64", VirtualizationType="hvm",
        RootDeviceName="/dev/sda1", EnaSupport=True, SriovNetSupport="simple", BootMode="legacy-bios",
        ImdsSupport="v2.0", BlockDeviceMappings=mappings, ImageLocation="",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}],
    )["ImageId"]  # fmt: skip
    (image,) = mine.describe_images(ImageIds=[id])["Images"]
    assert image["Name"] == "my image [v1] (a/b) '@_-" and image["Description"] == "a <b> & c"
    assert image["ImageLocation"] == f"{MINE}/my image [v1] (a/b) '@_-"
    assert (image["OwnerId"], image["Public"], image["State"]) == (MINE, False, "available")
    assert (image["Architecture"], image["EnaSupport"], image["SriovNetSupport"]) == ("x86_64", True, "simple")
    assert (image["BootMode"], image["ImdsSupport"]) == ("legacy-bios", "v2.0")
    assert image["Tags"] == [{"Key": "k", "Value": "v"}] and "ImageOwnerAlias" not in image
    for mapping, more in zip(mappings[:2], ({}, {"DeleteOnTermination": True}), strict=True):
        mapping["Ebs"] |= {"Encrypted": False} | more
    assert image["BlockDeviceMappings"] == mappings


def test_what_is_not_said_of_an_image_has_ec2s_defaults(cloud: Cloud, mine: Any) -> None:
    snapshot = add_snapshot(cloud, volume_size=7)
    id = mine.register_image(Name="bare", BlockDeviceMappings=[root(snapshot)])["ImageId"]
    (image,) = mine.describe_images(ImageIds=[id])["Images"]
    assert (image["Architecture"], image["RootDeviceName"], image["EnaSupport"]) == ("i386", "/dev/sda1", False)
    assert not image.keys() & {"Description", "BootMode", "ImdsSupport", "SriovNetSupport", "Tags"}
    (mapping,) = image["BlockDeviceMappings"]
    assert mapping["Ebs"] == {
        "SnapshotId": snapshot, "VolumeSize": 7, "VolumeType": "gp2", "DeleteOnTermination": True, "Encrypted": False,
    }  # fmt: skip


def test_a_name_is_well_formed_and_the_accounts_only_one(cloud: Cloud, mine: Any, ec2: Any, refused: Any) -> None:
    for name in ("a:b:c", "name\n", "näme", "a*c"):
        with refused("InvalidAMIName.Malformed"):
            register(cloud, mine, name)
    for name in ("ab", "x" * 129):
        with pytest.raises(ClientError):
            register(cloud, mine, name)
    id = register(cloud, mine, "web")
    with refused("InvalidAMIName.Duplicate", f"AMI name web is already in use by AMI {id}"):
        register(cloud, mine, "web")
    assert register(cloud, ec2, "web", OPERATOR)
    mine.deregister_image(ImageId=id)
    assert register(cloud, mine, "web")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Architecture": "arm64"}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 1}}]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {}}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "NoDevice": ""}]}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"Ebs": {"VolumeSize": 1}}]}, "MissingParameter"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "etherial0"}]},
            "InvalidBlockDeviceMapping",
        ),
        (
            {
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0", "Ebs": {"VolumeSize": 1}}
                ]
            },
            "InvalidParameterCombination",
        ),
        ({"BlockDeviceMappings": []}, "InvalidBlockDeviceMapping"),
        ({"BootMode": "uefi"}, "UnsupportedOperation"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"ImageLocation": "bucket/manifest.xml"}, "UnsupportedOperation"),
        ({"KernelId": "aki-1"}, "UnsupportedOperation"),
        ({"RootDeviceName": "/dev/sda1"}, "InvalidBlockDeviceMapping"),
        ({"SriovNetSupport": "complex"}, "InvalidParameterValue"),
        ({"TpmSupport": "v2.0"}, "UnsupportedOperation"),
        ({"VirtualizationType": "paravirtual"}, "UnsupportedOperation"),
        ({"VirtualizationType": "x"}, "InvalidParameterValue"),
    ],
)
def test_an_image_that_could_not_be_launched_is_refused(
    cloud: Cloud, mine: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    with refused(code):
        register(cloud, mine, **asked)
    assert ids(mine) == [IMAGE]


def test_a_snapshot_must_be_there_whole_and_no_larger_than_the_disk(cloud: Cloud, mine: Any, refused: Any) -> None:
    def make(mapping: dict[str, Any]) -> None:
        mine.register_image(Name="web", BlockDeviceMappings=[mapping])

    mine_too, theirs = add_snapshot(cloud, volume_size=8), add_snapshot(cloud, OPERATOR)
    with refused("InvalidSnapshot.NotFound"):
        make(root(theirs))
    with refused("InvalidSnapshotID.Malformed"):
        make(root("snap-x"))
    with refused("IncorrectState"):
        make(root(add_snapshot(cloud, state="pending")))
    with refused("InvalidBlockDeviceMapping", "expect size >= 8GB"):
        make(root(mine_too, VolumeSize=7))
    with refused("InvalidParameterCombination"):
        make(root(mine_too, Encrypted=True))
    with refused("InvalidParameterCombination"):
        make(root(mine_too, VolumeType="gp2", Iops=100))
    with refused("UnsupportedOperation", "KmsKeyId"):
        make(root(mine_too, KmsKeyId="k"))
    with refused("InvalidBlockDeviceMapping", "/dev/sda1"):
        mine.register_image(Name="web", BlockDeviceMappings=[root(mine_too), root(mine_too)])
    with refused("DryRunOperation"):
        mine.register_image(Name="web", BlockDeviceMappings=[root(mine_too)], DryRun=True)
    assert ids(mine) == [IMAGE]


def test_an_image_can_be_made_of_a_public_images_snapshot(mine: Any) -> None:
    (public,) = mine.describe_images(ImageIds=[IMAGE])["Images"]
    snapshot = public["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    id = mine.register_image(Name="copy", BlockDeviceMappings=[root(snapshot)])["ImageId"]
    assert ids(mine, Owners=["self"]) == [id]


def test_a_deregistered_image_is_gone_and_its_snapshot_stays(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine, TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}])
    mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}, {"UserId": OPERATOR}]})
    cloud.ec2.create_tags(Resources=[id], Tags=[{"Key": "theirs", "Value": "v"}])
    with refused("DryRunOperation"):
        mine.deregister_image(ImageId=id, DryRun=True)
    answer = mine.deregister_image(ImageId=id)
    assert answer["Return"] is True and not answer.get("DeleteSnapshotResults")
    with refused("InvalidAMIID.NotFound"):
        mine.describe_images(ImageIds=[id])
    with refused("InvalidAMIID.NotFound"):
        mine.deregister_image(ImageId=id)
    assert len(mine.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1
    with cloud.database.read() as db:
        assert db.query(Tag).filter_by(resource_id=id).count() == 0


def test_an_image_that_instances_came_from_is_unavailable_once_deregistered(
    cloud: Cloud, mine: Any, refused: Any
) -> None:
    id = register(cloud, mine)
    mine.deregister_image(ImageId=id)
    with cloud.database.write() as db:
        instance = add_instance(cloud, "t3.micro", MINE)
        db.connection().exec_driver_sql(f"UPDATE instance SET image_id = '{id}' WHERE id = '{instance}'")
    with refused("InvalidAMIID.Unavailable", f"The image ID '{id}' is no longer available"):
        mine.deregister_image(ImageId=id)


def test_snapshots_go_with_their_image_unless_something_needs_them(cloud: Cloud, mine: Any) -> None:
    alone, shared, busy, locked = (add_snapshot(cloud) for _ in range(4))
    mine.lock_snapshot(SnapshotId=locked, LockMode="governance", LockDuration=1)
    public = mine.describe_images(ImageIds=[IMAGE])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    others = [
        {"DeviceName": f"/dev/sd{n}", "Ebs": {"SnapshotId": s}}
        for n, s in zip("bcde", (shared, busy, locked, public), strict=True)
    ]
    id = mine.register_image(Name="one", BlockDeviceMappings=[root(alone), *others])["ImageId"]
    mine.register_image(Name="two", BlockDeviceMappings=[root(shared)])
    with cloud.database.write() as db:
        volume = {"zone": "us-east-1a", "size": 8, "state": "creating", "snapshot_id": busy}
        db.add(Volume(id=Volume.new_id(), account=MINE, region=REGION, **volume))
    answer = mine.deregister_image(ImageId=id, DeleteAssociatedSnapshots=True)
    results = {r["SnapshotId"]: r["ReturnCode"] for r in answer["DeleteSnapshotResults"]}
    assert results == {alone: "success", shared: "skipped", busy: "success", locked: "client-error", public: "skipped"}
    left = [s["SnapshotId"] for s in mine.describe_snapshots(OwnerIds=["self"])["Snapshots"]]
    assert left == sorted([shared, locked])


def test_only_its_owner_deregisters_an_image(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    with refused("AuthFailure", IMAGE):
        mine.deregister_image(ImageId=IMAGE)
    with refused("InvalidAMIID.NotFound"):
        cloud.another_account("333333333333").deregister_image(ImageId=id)
    with refused("InvalidAMIID.NotFound"):
        mine.deregister_image(ImageId=NOBODY)
    with refused("InvalidAMIID.Malformed"):
        mine.deregister_image(ImageId="ami-x")

"""Images through a real client: who sees which, and what is said of them."""

from typing import Any

import pytest

from engine.machines import machine_of
from engine.state import Image, ImageBlockDevice
from tests.cloud import IMAGE, OPERATOR, Cloud
from tests.translators.test_instance_types import add_instance
from tests.translators.test_snapshots import MINE, add_snapshot
from translators.errors import Ec2Error
from translators.images import block_devices, find_image
from translators.registry import Call

NOBODY = "ami-0123456789abcdef9"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator."""
    return cloud.another_account(MINE)


def register(cloud: Cloud, client: Any, name: str = "web", account: str = MINE, size: int = 8, **asked: Any) -> str:
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": add_snapshot(cloud, account, volume_size=size)}}
    defaults = {
        "Name": name, "RootDeviceName": "/dev/xvda", "Architecture": "x86_64", "BlockDeviceMappings": [mapping],
    }  # fmt: skip
    return str(client.register_image(**(defaults | asked))["ImageId"])


def ids(client: Any, **asked: Any) -> list[str]:
    return [image["ImageId"] for image in client.describe_images(**asked)["Images"]]


def test_the_operators_public_image_is_shown_to_everybody(mine: Any) -> None:
    (image,) = mine.describe_images(Owners=["amazon"])["Images"]
    assert (image["ImageId"], image["OwnerId"], image["ImageOwnerAlias"]) == (IMAGE, OPERATOR, "amazon")
    assert image["Public"] is True and image["State"] == "available"
    assert image["ImageLocation"] == f"{OPERATOR}/groundfog-demo"
    assert (image["PlatformDetails"], image["UsageOperation"]) == ("Linux/UNIX", "RunInstances")
    assert (image["RootDeviceType"], image["VirtualizationType"], image["Hypervisor"]) == ("ebs", "hvm", "xen")
    assert "Platform" not in image and image["CreationDate"].endswith("Z")
    (root,) = image["BlockDeviceMappings"]
    assert root["DeviceName"] == image["RootDeviceName"] == "/dev/xvda"
    assert root["Ebs"].pop("SnapshotId").startswith("snap-")
    assert root["Ebs"] == {"VolumeSize": 1, "VolumeType": "gp2", "DeleteOnTermination": True, "Encrypted": False}


def test_a_private_image_is_shown_to_its_owner_and_to_whom_it_is_shared_with(cloud: Cloud, mine: Any) -> None:
    id = register(cloud, mine)
    third, fourth = cloud.another_account("333333333333"), cloud.another_account("444444444444")
    assert ids(mine) == sorted([IMAGE, id]) and ids(third) == [IMAGE]
    mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": "333333333333"}]})
    assert ids(third, ImageIds=[id]) == [id] and ids(fourth) == [IMAGE]
    assert ids(third, ExecutableUsers=["self"]) == ids(third, ExecutableUsers=["333333333333"]) == [id]
    assert ids(mine, ExecutableUsers=["333333333333"]) == [id]
    assert ids(mine, ExecutableUsers=["self"]) == ids(fourth, ExecutableUsers=["333333333333"]) == []
    assert ids(mine, ExecutableUsers=["all"]) == [IMAGE]


def test_an_image_that_is_not_visible_is_not_found(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    third = cloud.another_account("333333333333")
    with refused("InvalidAMIID.NotFound", f"The image id '[{id}]' does not exist"):
        third.describe_images(ImageIds=[IMAGE, id])
    with refused("InvalidAMIID.NotFound"):
        mine.describe_images(ImageIds=[NOBODY], Owners=["self"])
    for malformed in ("ami-1", "vol-0123456789abcdef0", "x"):
        with refused("InvalidAMIID.Malformed"):
            mine.describe_images(ImageIds=[malformed])
    with refused("DryRunOperation"):
        mine.describe_images(DryRun=True)
    assert ids(mine, ImageIds=[IMAGE, id], Owners=["self"]) == [id]


def test_images_are_scoped_by_owner(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    assert ids(mine, Owners=["self"]) == ids(mine, Owners=[MINE]) == [id]
    assert ids(mine, Owners=[OPERATOR]) == [IMAGE]
    assert ids(mine, Owners=["self", "amazon"]) == sorted([id, IMAGE])
    assert ids(mine, Owners=["aws-marketplace", "aws-backup-vault"]) == []
    for scope in ("Owners", "ExecutableUsers"):
        with refused("InvalidUserID.Malformed"):
            mine.describe_images(**{scope: ["canonical"]})


def test_an_image_of_another_region_is_not_found(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(regions="us-east-1,eu-west-1")
    there = cloud.client(region="eu-west-1")
    (here_id,), (there_id,) = ids(cloud.ec2), ids(there)
    with refused("InvalidAMIID.NotFound"):
        there.describe_images(ImageIds=[here_id])
    with refused("InvalidAMIID.NotFound"):
        cloud.ec2.describe_images(ImageIds=[there_id])


def test_images_are_filtered(cloud: Cloud, mine: Any, refused: Any) -> None:
    wanted = register(
        cloud, mine, "web-2026.01", Description="the web", SriovNetSupport="simple", BootMode="legacy-bios",
        EnaSupport=True, TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}],
        RootDeviceName="/dev/sda1", BlockDeviceMappings=[{
            "DeviceName": "/dev/sda1",
            "Ebs": {"SnapshotId": add_snapshot(cloud), "VolumeType": "gp3", "VolumeSize": 11,
                    "DeleteOnTermination": False},
        }],
    )  # fmt: skip
    register(cloud, mine, "dbs", Architecture="i386")
    (shown,) = mine.describe_images(ImageIds=[wanted])["Images"]
    snapshot = shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]

    def found(name: str, *values: str) -> list[str]:
        return ids(mine, Owners=["self"], Filters=[{"Name": name, "Values": values}])

    for name, value in (
        ("architecture", "x86_64"), ("block-device-mapping.delete-on-termination", "false"),
        ("block-device-mapping.device-name", "/dev/sda1"), ("block-device-mapping.snapshot-id", snapshot),
        ("block-device-mapping.volume-size", "11"), ("block-device-mapping.volume-type", "gp3"),
        ("boot-mode", "legacy-bios"), ("creation-date", shown["CreationDate"]), ("description", "the*"),
        ("ena-support", "true"), ("image-id", wanted), ("manifest-location", f"{MINE}/web*"), ("name", "web-????.??"),
        ("root-device-name", "/dev/sda1"), ("sriov-net-support", "simple"), ("tag:k", "v"), ("tag-key", "k"),
    ):  # fmt: skip
        assert found(name, value) == [wanted], name
    for name, value in (("hypervisor", "xen"), ("image-type", "machine"), ("is-public", "false"), ("owner-id", MINE),
                        ("root-device-type", "ebs"), ("state", "available"), ("virtualization-type", "hvm"),
                        ("block-device-mapping.encrypted", "false")):  # fmt: skip
        assert len(found(name, value)) == 2, name
    for name in ("kernel-id", "owner-alias", "platform", "product-code", "source-image-id", "state-reason-code"):
        assert found(name, "x") == [], name
    with refused("InvalidParameterValue", "nonsense"):
        found("nonsense", "x")


def test_images_come_in_pages(cloud: Cloud, mine: Any) -> None:
    made = sorted(register(cloud, mine, f"image-{number}") for number in range(7))
    pages = mine.get_paginator("describe_images").paginate(Owners=["self"], PaginationConfig={"PageSize": 3})
    assert [[i["ImageId"] for i in p["Images"]] for p in pages] == [made[:3], made[3:6], made[6:]]
    assert ids(mine, ImageIds=made) == made


def test_a_deprecated_image_is_hidden_from_those_who_do_not_own_it(cloud: Cloud, mine: Any, ec2: Any) -> None:
    with cloud.database.write() as db:
        db.query(Image).update({Image.deprecation_time: "2020-01-01T00:00:00.000Z"})
    assert ids(mine) == [] and ids(ec2) == [IMAGE]
    assert ids(mine, ImageIds=[IMAGE]) == ids(mine, IncludeDeprecated=True) == [IMAGE]
    with cloud.database.write() as db:
        db.query(Image).update({Image.deprecation_time: "2999-01-01T00:00:00.000Z"})
    (image,) = mine.describe_images()["Images"]
    assert image["DeprecationTime"] == "2999-01-01T00:00:00.000Z"


def test_a_disabled_image_is_shown_only_when_asked_for(cloud: Cloud, ec2: Any) -> None:
    with cloud.database.write() as db:
        db.query(Image).update({Image.state: "disabled"})
    assert ids(ec2) == [] and ids(ec2, IncludeDisabled=True) == [IMAGE]


def test_everybody_tags_a_public_image_for_himself(mine: Any, ec2: Any) -> None:
    mine.create_tags(Resources=[IMAGE], Tags=[{"Key": "k", "Value": "mine"}])
    assert mine.describe_images(ImageIds=[IMAGE])["Images"][0]["Tags"] == [{"Key": "k", "Value": "mine"}]
    assert "Tags" not in ec2.describe_images(ImageIds=[IMAGE])["Images"][0]


def test_a_windows_image_says_so(cloud: Cloud, ec2: Any) -> None:
    with cloud.database.write() as db:
        db.query(Image).update({Image.platform: "windows"})
    (image,) = ec2.describe_images(Filters=[{"Name": "platform", "Values": ["windows"]}])["Images"]
    assert (image["Platform"], image["PlatformDetails"]) == ("windows", "Windows")
    assert image["UsageOperation"] == "RunInstances:0002"


def test_a_launch_finds_the_image_and_its_disks_the_root_first(cloud: Cloud, mine: Any) -> None:
    id = register(cloud, mine)
    with cloud.database.write() as db:
        db.add(ImageBlockDevice(image_id=id, device="/dev/sda", size=1))
    with cloud.database.read() as db:
        call = Call(MINE, "us-east-1", db, cloud.settings)
        image = find_image(call, id)
        assert (image.id, find_image(call, IMAGE).id) == (id, IMAGE)
        assert [device.device for device in block_devices(call, image)] == ["/dev/xvda", "/dev/sda"]
        assert _refusal(call, NOBODY) == "InvalidAMIID.NotFound"
        assert _refusal(call, "ami-x") == "InvalidAMIID.Malformed"
        assert _refusal(Call("333333333333", "us-east-1", db, cloud.settings), id) == "InvalidAMIID.NotFound"
    with cloud.database.write() as db:
        db.query(Image).update({Image.state: "pending"})
        assert _refusal(Call(MINE, "us-east-1", db, cloud.settings), IMAGE) == "InvalidAMIID.Unavailable"


def _refusal(call: Call, id: str) -> str:
    with pytest.raises(Ec2Error) as error:
        find_image(call, id)
    return error.value.code


def test_uefi_data_is_refused_as_the_callers_mistake(cloud: Cloud, ec2: Any, refused: Any) -> None:
    with refused("InvalidInstanceID.Malformed"):
        ec2.get_instance_uefi_data(InstanceId=IMAGE)
    with refused("InvalidInstanceID.NotFound"):
        ec2.get_instance_uefi_data(InstanceId="i-0123456789abcdef0")
    with refused("UnsupportedOperation"):
        ec2.get_instance_uefi_data(InstanceId=add_instance(cloud, "t3.micro"))


@pytest.mark.parametrize(
    ("asked", "current"),
    [("", "legacy-bios"), ("legacy-bios", "legacy-bios"), ("uefi", "uefi"), ("uefi-preferred", "uefi")],
)
def test_the_boot_mode_of_an_image_is_that_of_its_machines(
    cloud: Cloud, ec2: Any, refused: Any, asked: str, current: str
) -> None:
    with cloud.database.write() as db:
        db.get_one(Image, IMAGE).boot_mode = asked
    id = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    cloud.settle()
    (instance,) = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"]
    assert (instance.get("BootMode", ""), instance["CurrentInstanceBootMode"]) == (asked, current)
    chosen = [{"Name": "current-instance-boot-mode", "Values": [current]}]
    assert ec2.describe_instances(Filters=chosen)["Reservations"][0]["Instances"][0]["InstanceId"] == id
    assert machine_of(cloud.engine, id).firmware == current.removeprefix("legacy-")
    with refused("UnsupportedOperation"):
        ec2.get_instance_uefi_data(InstanceId=id)

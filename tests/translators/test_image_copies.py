"""CopyImage through a real client."""

from typing import Any

import pytest

from engine.state import Zone
from tests.cloud import IMAGE, OPERATOR, REGION, Cloud
from tests.translators.test_images import MINE, ids, register
from tests.translators.test_instances import launch, state

ELSEWHERE = "eu-west-1"
THIRD = "333333333333"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator; a third account is there too."""
    cloud.another_account(THIRD)
    return cloud.another_account(MINE)


def copy(client: Any, source: str = IMAGE, name: str = "copy", region: str = REGION, **asked: Any) -> str:
    return str(client.copy_image(SourceImageId=source, SourceRegion=region, Name=name, **asked)["ImageId"])


def shown(client: Any, id: str) -> dict[str, Any]:
    (image,) = client.describe_images(ImageIds=[id])["Images"]
    return dict(image)


def test_a_copy_has_snapshots_of_its_own_and_what_it_is_made_of(cloud: Cloud, ec2: Any, mine: Any) -> None:
    mine.create_tags(Resources=[IMAGE], Tags=[{"Key": "mine", "Value": "v"}])
    ec2.create_tags(Resources=[IMAGE], Tags=[{"Key": "theirs", "Value": "v"}])
    tags = [{"Key": "k", "Value": "v"}]
    tagged = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    id = copy(mine, Description="a copy", CopyImageTags=True, TagSpecifications=tagged)
    assert shown(mine, id)["State"] == "pending"
    cloud.settle()
    image, source = shown(mine, id), shown(mine, IMAGE)
    assert (image["State"], image["Name"], image["Description"]) == ("available", "copy", "a copy")
    assert (image["OwnerId"], image["Public"], image["ImageLocation"]) == (MINE, False, f"{MINE}/copy")
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (IMAGE, REGION) and "SourceInstanceId" not in image
    assert image["Tags"] == [{"Key": "k", "Value": "v"}, {"Key": "mine", "Value": "v"}]
    for name in ("Architecture", "RootDeviceName", "VirtualizationType", "EnaSupport"):
        assert image[name] == source[name]
    (mapping,), (original,) = image["BlockDeviceMappings"], source["BlockDeviceMappings"]
    kept, first = mapping["Ebs"].pop("SnapshotId"), original["Ebs"].pop("SnapshotId")
    assert mapping == original and kept != first
    (snapshot,) = mine.describe_snapshots(SnapshotIds=[kept])["Snapshots"]
    assert (
        snapshot["Description"] == f"Copied for DestinationAmi {id} from SourceAmi {IMAGE} for SourceSnapshot {first}"
    )
    assert (snapshot["State"], snapshot["OwnerId"]) == ("completed", MINE)
    assert snapshot["Tags"] == [{"Key": "k", "Value": "v"}]


def test_what_is_not_asked_for_is_not_copied(cloud: Cloud, mine: Any) -> None:
    source = register(
        cloud, mine, Description="first", ImdsSupport="v2.0", BootMode="uefi-preferred", SriovNetSupport="simple",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}],
    )  # fmt: skip
    mine.modify_image_attribute(ImageId=source, LaunchPermission={"Add": [{"Group": "all"}, {"UserId": OPERATOR}]})
    mine.enable_image_deregistration_protection(ImageId=source)
    image = shown(mine, copy(mine, source))
    assert not image.keys() & {"Description", "Tags"} and image["Public"] is False
    assert image["DeregistrationProtection"] == "disabled"
    assert (image["ImdsSupport"], image["BootMode"], image["SriovNetSupport"]) == ("v2.0", "uefi-preferred", "simple")


def test_an_instance_is_launched_of_a_copy_though_the_source_is_gone(cloud: Cloud, ec2: Any) -> None:
    id = copy(ec2)
    cloud.settle()
    ec2.deregister_image(ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    cloud.settle()
    (instance,) = launch(cloud, ImageId=id)
    cloud.settle()
    assert state(cloud, instance) == "running"


def test_a_copy_goes_to_a_region_that_shares_the_store(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(regions=f"{REGION},{ELSEWHERE}")
    there = cloud.client(region=ELSEWHERE)
    id = copy(there)
    cloud.settle()
    assert (shown(there, id)["State"], shown(there, id)["SourceImageRegion"]) == ("available", REGION)
    with refused("InvalidAMIID.NotFound"):
        cloud.ec2.describe_images(ImageIds=[id])
    with cloud.database.write() as db:
        db.query(Zone).filter_by(region=ELSEWHERE).update({Zone.storage: "remote"})
    with refused("UnsupportedOperation", "do not share"):
        copy(there, name="another")


def test_a_shared_image_is_copied_only_if_its_snapshots_are_shared_too(cloud: Cloud, mine: Any, refused: Any) -> None:
    source, third = register(cloud, mine), cloud.another_account(THIRD)
    mine.modify_image_attribute(ImageId=source, LaunchPermission={"Add": [{"UserId": THIRD}]})
    with refused("InvalidRequest", "You do not have permission to access the storage of this ami"):
        copy(third, source)
    snapshot = shown(mine, source)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
    assert shown(third, copy(third, source))["OwnerId"] == THIRD


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"name": "a:b"}, "InvalidAMIName.Malformed"),
        ({"source": "ami-0123456789abcdef9"}, "InvalidAMIID.NotFound"),
        ({"source": "ami-x"}, "InvalidAMIID.Malformed"),
        ({"region": "mars-1"}, "InvalidParameterValue"),
        ({"Encrypted": True, "KmsKeyId": "k"}, "KMS.NotFoundException"),
        ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency"),
        ({"DestinationOutpostArn": "arn"}, "UnsupportedOperation"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused(
    cloud: Cloud, mine: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    with refused(code):
        copy(mine, **asked)
    assert ids(mine) == [IMAGE] and mine.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_a_name_and_a_state_must_fit(cloud: Cloud, mine: Any, refused: Any) -> None:
    source = register(cloud, mine, "web")
    with refused("InvalidAMIName.Duplicate"):
        copy(mine, source, "web")
    mine.disable_image(ImageId=source)
    with refused("InvalidAMIID.Unavailable"):
        copy(mine, source)
    assert copy(mine, ClientToken="one") == copy(mine, ClientToken="one")
    with refused("IdempotentParameterMismatch"):
        copy(mine, name="other", ClientToken="one")

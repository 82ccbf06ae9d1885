"""CopySnapshot through a real client."""

from typing import Any

import pytest

from engine.state import Snapshot, Zone
from tests.cloud import REGION, Cloud
from tests.engine.snapshots import stored
from tests.translators.test_snapshots import MINE, add_snapshot

ELSEWHERE = "eu-west-1"
TAGS = [{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}]


@pytest.fixture
def cloud(make_cloud: Any) -> Any:
    return make_cloud(regions=f"{REGION},{ELSEWHERE}")


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.ec2


def snapshot(cloud: Cloud) -> str:
    volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeId"]
    cloud.settle()
    id = cloud.ec2.create_snapshot(VolumeId=volume, Description="first")["SnapshotId"]
    cloud.settle()
    return str(id)


def test_a_copy_is_pending_and_then_completed_and_reads_back_as_asked(cloud: Cloud, ec2: Any) -> None:
    source = snapshot(cloud)
    answer = ec2.copy_snapshot(
        SourceRegion=REGION, SourceSnapshotId=source, Description="second", TagSpecifications=TAGS, Encrypted=False
    )
    assert answer["Tags"] == TAGS[0]["Tags"]
    (shown,) = ec2.describe_snapshots(SnapshotIds=[answer["SnapshotId"]])["Snapshots"]
    assert (shown["State"], shown["Progress"], shown["Description"]) == ("pending", "0%", "second")
    cloud.settle()
    (shown,) = ec2.describe_snapshots(SnapshotIds=[answer["SnapshotId"]])["Snapshots"]
    assert (shown["State"], shown["Progress"], shown["VolumeSize"]) == ("completed", "100%", 2)
    assert (shown["VolumeId"], shown["TransferType"], shown["Tags"]) == ("vol-ffffffff", "standard", TAGS[0]["Tags"])
    ec2.delete_snapshot(SnapshotId=source)
    cloud.settle()
    assert answer["SnapshotId"] in stored(cloud) and source not in stored(cloud)
    copies = ec2.describe_snapshots(Filters=[{"Name": "transfer-type", "Values": ["standard"]}])["Snapshots"]
    assert [copy["SnapshotId"] for copy in copies] == [answer["SnapshotId"]]


def test_a_copy_goes_to_a_region_that_shares_the_store(cloud: Cloud, ec2: Any, refused: Any) -> None:
    source = snapshot(cloud)
    there = cloud.client(region=ELSEWHERE)
    id = there.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source)["SnapshotId"]
    cloud.settle()
    assert there.describe_snapshots(SnapshotIds=[id])["Snapshots"][0]["State"] == "completed"
    with refused("InvalidSnapshot.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[id])
    volume = there.create_volume(AvailabilityZone=f"{ELSEWHERE}a", SnapshotId=id)["VolumeId"]
    cloud.settle()
    assert there.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_a_copy_to_a_region_with_a_store_of_its_own_is_refused(cloud: Cloud, ec2: Any, refused: Any) -> None:
    source = snapshot(cloud)
    with cloud.database.write() as db:
        db.query(Zone).filter_by(region=ELSEWHERE).update({Zone.storage: "remote"})
    with refused("UnsupportedOperation", "do not share a store of disks"):
        cloud.client(region=ELSEWHERE).copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source)


def test_a_snapshot_lies_in_the_store_of_its_zone(cloud: Cloud, ec2: Any) -> None:
    """One in every store of its region is copied to every one; another one to where it is."""
    with cloud.database.write() as db:
        db.get_one(Zone, "us-east-1b").storage = "other"
    everywhere = ec2.describe_images()["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    sources = everywhere, snapshot(cloud)
    both, one = (ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=id)["SnapshotId"] for id in sources)
    held = {id: cloud.look(lambda db, id=id: db.get_one(Snapshot, id).storage) for id in (both, one)}
    assert held == {both: "", one: "default"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"SourceRegion": "mars-1"}, "InvalidParameterValue"),
        ({"SourceSnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound"),
        ({"SourceSnapshotId": "snap-x"}, "InvalidSnapshotID.Malformed"),
        ({"SourceRegion": ELSEWHERE}, "InvalidSnapshot.NotFound"),
        ({"Encrypted": True, "KmsKeyId": "k"}, "KMS.NotFoundException"),
        ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency"),
        ({"CompletionDurationMinutes": 15}, "UnsupportedOperation"),
        ({"DestinationOutpostArn": "arn"}, "UnsupportedOperation"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused(cloud: Cloud, refused: Any, asked: dict[str, Any], code: str) -> None:
    mine = cloud.another_account(MINE)
    source = add_snapshot(cloud)
    with refused(code):
        mine.copy_snapshot(**({"SourceRegion": REGION, "SourceSnapshotId": source} | asked))
    assert len(mine.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1


def test_only_what_is_completed_and_may_be_used_is_copied(cloud: Cloud, ec2: Any, refused: Any) -> None:
    mine = cloud.another_account(MINE)
    pending, theirs = add_snapshot(cloud, state="pending"), add_snapshot(cloud, "000000000000")
    with refused("IncorrectState"):
        mine.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=pending)
    with refused("InvalidSnapshot.NotFound"):
        mine.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=theirs)
    ec2.modify_snapshot_attribute(SnapshotId=theirs, CreateVolumePermission={"Add": [{"UserId": MINE}]})
    id = mine.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=theirs)["SnapshotId"]
    (shown,) = mine.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert (shown["OwnerId"], shown["Description"]) == (MINE, "")

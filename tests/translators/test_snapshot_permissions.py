"""Sharing snapshots with other accounts and with everybody, through a real client."""

from typing import Any

import pytest

from tests.cloud import OPERATOR, Cloud
from tests.translators.test_image_registration import root
from tests.translators.test_snapshots import MINE, add_snapshot, ids, public_snapshot

THIRD = "333333333333"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator; a third account is there too."""
    cloud.another_account(THIRD)
    return cloud.another_account(MINE)


@pytest.fixture
def third(cloud: Cloud) -> Any:
    return cloud.another_account(THIRD)


def permissions(client: Any, id: str) -> list[dict[str, str]]:
    answer = client.describe_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")
    assert answer["SnapshotId"] == id
    return list(answer["CreateVolumePermissions"])


def kept(cloud: Cloud) -> str:
    """A snapshot of the first account that its store really has."""
    volume = cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeId"]
    cloud.settle()
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    return str(id)


def test_whom_a_snapshot_is_shared_with_sees_it_and_makes_volumes_and_images_of_it(
    cloud: Cloud, ec2: Any, third: Any, refused: Any
) -> None:
    id = kept(cloud)
    with refused("InvalidSnapshot.NotFound"):
        third.create_volume(AvailabilityZone="us-east-1a", SnapshotId=id)
    ec2.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
    (shown,) = third.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert shown["OwnerId"] == OPERATOR and id in ids(third.describe_snapshots())
    volume = third.create_volume(AvailabilityZone="us-east-1a", SnapshotId=id)["VolumeId"]
    cloud.settle()
    assert third.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    image = third.register_image(Name="of theirs", BlockDeviceMappings=[root(id)])["ImageId"]
    with refused("InvalidSnapshot.InUse", image):
        ec2.delete_snapshot(SnapshotId=id)
    assert id not in ids(cloud.another_account("444444444444").describe_snapshots())


def test_a_snapshot_that_is_no_longer_shared_is_not_found(cloud: Cloud, mine: Any, third: Any) -> None:
    id = add_snapshot(cloud)
    mine.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
    assert ids(third.describe_snapshots(RestorableByUserIds=["self"])) == [id]
    assert ids(third.describe_snapshots(RestorableByUserIds=[THIRD])) == [id]
    assert ids(mine.describe_snapshots(RestorableByUserIds=[THIRD])) == [id]
    assert ids(mine.describe_snapshots(RestorableByUserIds=["444444444444"])) == []
    assert ids(third.describe_snapshots(OwnerIds=[MINE])) == [id]
    mine.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Remove": [{"UserId": THIRD}]})
    assert ids(third.describe_snapshots(OwnerIds=[MINE])) == []


def test_a_public_snapshot_is_everybodys_to_use(cloud: Cloud, mine: Any, third: Any) -> None:
    id, public = add_snapshot(cloud), public_snapshot(cloud)
    mine.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [{"Group": "all"}]})
    assert ids(third.describe_snapshots(RestorableByUserIds=["all"])) == sorted([id, public])
    (shown,) = third.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert "OwnerAlias" not in shown
    assert permissions(mine, id) == [{"Group": "all"}]


def test_permissions_are_given_and_taken_in_both_ways(cloud: Cloud, mine: Any) -> None:
    id = add_snapshot(cloud)
    assert permissions(mine, id) == []
    mine.modify_snapshot_attribute(
        SnapshotId=id, Attribute="createVolumePermission", OperationType="add", UserIds=[THIRD, OPERATOR],
        GroupNames=["all"],
    )  # fmt: skip
    assert permissions(mine, id) == [{"Group": "all"}, {"UserId": OPERATOR}, {"UserId": THIRD}]
    mine.modify_snapshot_attribute(SnapshotId=id, OperationType="remove", GroupNames=["all"], UserIds=[THIRD])
    assert permissions(mine, id) == [{"UserId": OPERATOR}]
    mine.modify_snapshot_attribute(
        SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": OPERATOR}, {"Group": "all"}]}
    )  # fmt: skip
    assert permissions(mine, id) == [{"Group": "all"}, {"UserId": OPERATOR}]
    mine.reset_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")
    assert permissions(mine, id) == []
    answer = mine.describe_snapshot_attribute(SnapshotId=id, Attribute="productCodes")
    assert answer["ProductCodes"] == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "MissingParameter"),
        ({"UserIds": [THIRD]}, "MissingParameter"),
        ({"OperationType": "add"}, "MissingParameter"),
        ({"CreateVolumePermission": {}}, "MissingParameter"),
        ({"Attribute": "productCodes", "OperationType": "add", "UserIds": [THIRD]}, "InvalidParameterValue"),
        (
            {"CreateVolumePermission": {"Add": [{"UserId": THIRD}]}, "OperationType": "add"},
            "InvalidParameterCombination",
        ),
        (
            {"CreateVolumePermission": {"Add": [{"UserId": THIRD}], "Remove": [{"UserId": OPERATOR}]}},
            "InvalidParameterCombination",
        ),
        ({"CreateVolumePermission": {"Add": [{"UserId": THIRD, "Group": "all"}]}}, "InvalidParameterCombination"),
        ({"CreateVolumePermission": {"Add": [{"UserId": "12"}]}}, "InvalidUserID.Malformed"),
        ({"CreateVolumePermission": {"Add": [{"UserId": "999999999999"}]}}, "InvalidParameterValue"),
        ({"OperationType": "add", "GroupNames": ["some"]}, "InvalidParameterValue"),
        ({"OperationType": "add", "UserIds": [THIRD] * 501}, "InvalidParameterValue"),
        ({"OperationType": "add", "UserIds": [THIRD], "DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_change_that_ec2_refuses_is_refused(
    cloud: Cloud, mine: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    id = add_snapshot(cloud)
    with refused(code):
        mine.modify_snapshot_attribute(SnapshotId=id, **asked)
    assert permissions(mine, id) == []


def test_an_encrypted_snapshot_is_not_shared(cloud: Cloud, mine: Any, third: Any, refused: Any) -> None:
    id = add_snapshot(cloud, encrypted=True)
    for whom in ({"Group": "all"}, {"UserId": THIRD}):
        with refused("OperationNotPermitted", "default key cannot be shared"):
            mine.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [whom]})


def test_only_its_owner_asks_for_permissions_or_changes_them(cloud: Cloud, mine: Any, third: Any, refused: Any) -> None:
    id = add_snapshot(cloud)

    def asked(code: str) -> None:
        with refused(code):
            third.describe_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")
        with refused(code):
            third.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
        with refused(code):
            third.reset_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")

    asked("InvalidSnapshot.NotFound")
    mine.modify_snapshot_attribute(SnapshotId=id, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
    asked("AuthFailure")


@pytest.mark.parametrize("state", ["block-all-sharing", "block-new-sharing"])
def test_where_sharing_is_blocked_nothing_more_becomes_public(
    cloud: Cloud, mine: Any, third: Any, refused: Any, state: str
) -> None:
    old, new = add_snapshot(cloud), add_snapshot(cloud)
    public = {"Add": [{"Group": "all"}]}
    mine.modify_snapshot_attribute(SnapshotId=old, CreateVolumePermission=public)
    assert mine.get_snapshot_block_public_access_state()["State"] == "unblocked"
    assert mine.enable_snapshot_block_public_access(State=state)["State"] == state
    answer = mine.get_snapshot_block_public_access_state()
    assert (answer["State"], answer["ManagedBy"]) == (state, "account")
    with refused("OperationNotPermitted"):
        mine.modify_snapshot_attribute(SnapshotId=new, CreateVolumePermission=public)
    mine.modify_snapshot_attribute(SnapshotId=new, CreateVolumePermission={"Add": [{"UserId": THIRD}]})
    seen = [new] if state == "block-all-sharing" else sorted([old, new])
    assert ids(third.describe_snapshots(OwnerIds=[MINE])) == seen
    assert permissions(mine, old) == [{"Group": "all"}] and old in ids(mine.describe_snapshots())
    assert mine.disable_snapshot_block_public_access()["State"] == "unblocked"
    mine.modify_snapshot_attribute(SnapshotId=new, CreateVolumePermission=public)
    assert ids(third.describe_snapshots(OwnerIds=[MINE])) == sorted([old, new])


def test_what_one_account_blocks_is_its_own_matter(cloud: Cloud, mine: Any, third: Any, refused: Any) -> None:
    mine.enable_snapshot_block_public_access(State="block-all-sharing")
    assert third.get_snapshot_block_public_access_state()["State"] == "unblocked"
    third.modify_snapshot_attribute(
        SnapshotId=add_snapshot(cloud, THIRD), CreateVolumePermission={"Add": [{"Group": "all"}]}
    )  # fmt: skip
    with refused("InvalidParameterValue"):
        mine.enable_snapshot_block_public_access(State="unblocked")

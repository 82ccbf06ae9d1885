"""Tiers, fast restores and the recycle bin: what EC2 has and nothing here needs, through a real client."""

from typing import Any

import pytest

from tests.cloud import IMAGE, Cloud
from tests.translators.test_snapshots import MINE, add_snapshot


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator."""
    return cloud.another_account(MINE)


def test_every_snapshot_is_in_the_standard_tier(cloud: Cloud, mine: Any) -> None:
    first, second = add_snapshot(cloud, volume_id="vol-1"), add_snapshot(cloud, volume_id="vol-2")
    mine.create_tags(Resources=[first], Tags=[{"Key": "k", "Value": "v"}])

    def found(**asked: str) -> list[str]:
        filters = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in asked.items()]
        return [s["SnapshotId"] for s in mine.describe_snapshot_tier_status(Filters=filters)["SnapshotTierStatuses"]]

    (shown,) = [s for s in mine.describe_snapshot_tier_status()["SnapshotTierStatuses"] if s["SnapshotId"] == first]
    assert shown == {
        "SnapshotId": first, "VolumeId": "vol-1", "Status": "completed", "OwnerId": MINE, "StorageTier": "standard",
        "Tags": [{"Key": "k", "Value": "v"}],
    }  # fmt: skip
    assert found() == sorted([first, second]) and found(volume_id="vol-2") == [second]
    assert found(snapshot_id=first) == [first] and found(last_tiering_operation="archival-completed") == []


def test_a_snapshot_is_neither_archived_nor_brought_back(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = add_snapshot(cloud)
    with refused("UnsupportedOperation", "no archive tier"):
        mine.modify_snapshot_tier(SnapshotId=id, StorageTier="archive")
    with refused("IncorrectState", "not in the archive tier"):
        mine.restore_snapshot_tier(SnapshotId=id, PermanentRestore=True)
    with refused("InvalidSnapshot.NotFound"):
        cloud.ec2.modify_snapshot_tier(SnapshotId=id, StorageTier="archive")


def test_fast_restores_are_refused_item_by_item(cloud: Cloud, mine: Any, refused: Any) -> None:
    first, second = add_snapshot(cloud), add_snapshot(cloud)
    for call, code in (
        (mine.enable_fast_snapshot_restores, "UnsupportedOperation"),
        (mine.disable_fast_snapshot_restores, "IncorrectState"),
    ):
        answer = call(SourceSnapshotIds=[first, second], AvailabilityZones=["us-east-1a", "us-east-1b"])
        assert answer.get("Successful", []) == []
        assert [item["SnapshotId"] for item in answer["Unsuccessful"]] == [first, second]
        for item in answer["Unsuccessful"]:
            errors = item["FastSnapshotRestoreStateErrors"]
            assert [(e["AvailabilityZone"], e["AvailabilityZoneId"], e["Error"]["Code"]) for e in errors] == [
                ("us-east-1a", "use1-az1", code), ("us-east-1b", "use1-az2", code),
            ]  # fmt: skip
        (item,) = call(SourceSnapshotIds=[first], AvailabilityZoneIds=["use1-az3"])["Unsuccessful"]
        assert item["FastSnapshotRestoreStateErrors"][0]["AvailabilityZone"] == "us-east-1c"
        with refused("InvalidSnapshot.NotFound"):
            call(SourceSnapshotIds=["snap-0123456789abcdef0"], AvailabilityZones=["us-east-1a"])
        with refused("InvalidParameterValue"):
            call(SourceSnapshotIds=[first], AvailabilityZones=["mars-1a"])
        with refused("MissingParameter"):
            call(SourceSnapshotIds=[first])
        with refused("InvalidParameterCombination"):
            call(SourceSnapshotIds=[first], AvailabilityZones=["us-east-1a"], AvailabilityZoneIds=["use1-az1"])
    assert mine.describe_fast_snapshot_restores()["FastSnapshotRestores"] == []
    with refused("InvalidParameterValue"):
        mine.describe_fast_snapshot_restores(Filters=[{"Name": "x", "Values": ["x"]}])


def test_the_recycle_bin_is_empty(mine: Any, refused: Any) -> None:
    assert mine.list_snapshots_in_recycle_bin()["Snapshots"] == []
    assert mine.list_snapshots_in_recycle_bin(SnapshotIds=["snap-0123456789abcdef0"])["Snapshots"] == []
    assert mine.list_images_in_recycle_bin(ImageIds=[IMAGE])["Images"] == []
    with refused("InvalidSnapshot.NotFound"):
        mine.restore_snapshot_from_recycle_bin(SnapshotId="snap-0123456789abcdef0")
    with refused("InvalidAMIID.NotFound"):
        mine.restore_image_from_recycle_bin(ImageId="ami-0123456789abcdef9")
    with refused("InvalidSnapshotID.Malformed"):
        mine.list_snapshots_in_recycle_bin(SnapshotIds=["x"])
    with refused("InvalidAMIID.Malformed"):
        mine.list_images_in_recycle_bin(ImageIds=["x"])

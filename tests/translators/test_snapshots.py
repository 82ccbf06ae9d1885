"""Snapshots through a real client."""

from typing import Any

import pytest

from engine.state import Image, ImageBlockDevice, Snapshot
from tests.cloud import OPERATOR, REGION, Cloud

MINE = "222222222222"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator."""
    return cloud.another_account(MINE)


def add_snapshot(cloud: Cloud, account: str = MINE, **columns: Any) -> str:
    """Put a row there as if a volume had been copied; return its id."""
    id = Snapshot.new_id()
    values: dict[str, Any] = {"volume_size": 8, "state": "completed", "progress": "100%"} | columns
    with cloud.database.write() as db:
        db.add(Snapshot(id=id, account=account, region=REGION, **values))
    return id


def public_snapshot(cloud: Cloud) -> str:
    with cloud.database.read() as db:
        return str(db.query(ImageBlockDevice.snapshot_id).filter(ImageBlockDevice.snapshot_id != "").scalar())


def ids(answer: Any) -> list[str]:
    return [s["SnapshotId"] for s in answer["Snapshots"]]


def test_a_snapshot_shows_what_terraform_reads(cloud: Cloud, mine: Any) -> None:
    id = add_snapshot(cloud, volume_id="vol-1", description="before", state="pending", progress="40%")
    mine.create_tags(Resources=[id], Tags=[{"Key": "k", "Value": "v"}])
    (found,) = mine.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert found.pop("StartTime").tzinfo
    assert found == {
        "SnapshotId": id, "VolumeId": "vol-1", "VolumeSize": 8, "State": "pending", "Progress": "40%",
        "OwnerId": MINE, "Description": "before", "Encrypted": False, "StorageTier": "standard",
        "Tags": [{"Key": "k", "Value": "v"}],
    }  # fmt: skip


def test_the_operators_snapshots_are_shared_with_its_public_images_only(cloud: Cloud, mine: Any, refused: Any) -> None:
    own, public, private = add_snapshot(cloud), public_snapshot(cloud), add_snapshot(cloud, OPERATOR)
    assert ids(mine.describe_snapshots()) == sorted([own, public])
    with refused("InvalidSnapshot.NotFound", f"The snapshot '{private}' does not exist."):
        mine.describe_snapshots(SnapshotIds=[private])
    (shared,) = mine.describe_snapshots(OwnerIds=["amazon"])["Snapshots"]
    assert (shared["SnapshotId"], shared["OwnerAlias"], shared["OwnerId"]) == (public, "amazon", OPERATOR)
    with cloud.database.write() as db:
        db.query(Image).update({Image.public: False})
    assert ids(mine.describe_snapshots()) == [own]
    third = cloud.another_account("333333333333")
    assert ids(third.describe_snapshots()) == []


def test_snapshots_are_scoped_by_owner_and_by_who_may_use_them(cloud: Cloud, mine: Any, refused: Any) -> None:
    own, public = add_snapshot(cloud), public_snapshot(cloud)
    assert ids(mine.describe_snapshots(OwnerIds=["self"])) == ids(mine.describe_snapshots(OwnerIds=[MINE])) == [own]
    assert ids(mine.describe_snapshots(OwnerIds=[OPERATOR])) == [public]
    assert ids(mine.describe_snapshots(OwnerIds=["self", "amazon"])) == sorted([own, public])
    assert ids(mine.describe_snapshots(RestorableByUserIds=["self"])) == [own]
    assert ids(mine.describe_snapshots(RestorableByUserIds=["all"])) == [public]
    assert ids(mine.describe_snapshots(RestorableByUserIds=["333333333333"])) == []
    assert ids(mine.describe_snapshots(SnapshotIds=[own, public], OwnerIds=["self"])) == [own]
    with refused("InvalidSnapshot.NotFound"):
        mine.describe_snapshots(SnapshotIds=["snap-00000000000000009"], OwnerIds=["self"])
    for scope in ("OwnerIds", "RestorableByUserIds"):
        with refused("InvalidUserID.Malformed"):
            mine.describe_snapshots(**{scope: ["nobody"]})


def test_snapshots_are_filtered(cloud: Cloud, mine: Any, refused: Any) -> None:
    add_snapshot(cloud)
    wanted = add_snapshot(
        cloud, volume_id="vol-7", volume_size=77, description="x*y", state="pending", progress="5%",
        created="2025-01-01T00:00:00.000Z", encrypted=True,
    )  # fmt: skip
    mine.create_tags(Resources=[wanted], Tags=[{"Key": "k", "Value": "v"}])

    def found(name: str, value: str) -> list[str]:
        return ids(mine.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": name, "Values": [value]}]))

    for name, value in (
        ("description", r"x\*y"), ("encrypted", "true"), ("progress", "5%"), ("snapshot-id", wanted),
        ("start-time", "2025*"), ("status", "pending"), ("volume-id", "vol-7"), ("volume-size", "77"),
        ("tag:k", "v"), ("tag-key", "k"),
    ):  # fmt: skip
        assert found(name, value) == [wanted], name
    assert len(found("owner-id", MINE)) == len(found("storage-tier", "standard")) == 2
    assert (
        found("storage-tier", "archive") == found("transfer-type", "time-based") == found("owner-alias", "amazon") == []
    )
    with refused("InvalidParameterValue"):
        found("nonsense", "x")


def test_snapshots_come_in_pages(cloud: Cloud, mine: Any, refused: Any) -> None:
    made = sorted(add_snapshot(cloud) for _ in range(7))
    pages = mine.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 3})
    assert [ids(p) for p in pages] == [made[:3], made[3:6], made[6:]]
    with refused("InvalidParameterCombination"):
        mine.describe_snapshots(SnapshotIds=made, MaxResults=5)
    with refused("InvalidSnapshotID.Malformed"):
        mine.describe_snapshots(SnapshotIds=["snap-xyz"])
    with refused("DryRunOperation"):
        mine.describe_snapshots(DryRun=True)

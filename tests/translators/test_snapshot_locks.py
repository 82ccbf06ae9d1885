"""Locks of snapshots through a real client."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.state import SnapshotLock, timestamp
from tests.cloud import Cloud
from tests.translators.test_snapshots import MINE, add_snapshot, ids


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator."""
    return cloud.another_account(MINE)


def lock(client: Any, id: str, mode: str = "governance", **asked: Any) -> dict[str, Any]:
    duration = {} if "ExpirationDate" in asked else {"LockDuration": 10}
    answer: dict[str, Any] = client.lock_snapshot(SnapshotId=id, LockMode=mode, **(duration | asked))
    del answer["ResponseMetadata"]
    return answer


def described(client: Any, **asked: Any) -> list[dict[str, Any]]:
    return list(client.describe_locked_snapshots(**asked)["Snapshots"])


def age(cloud: Cloud, id: str, days: float) -> None:
    """Have a lock be older than it is."""
    earlier = timedelta(days=days)
    with cloud.database.write() as db:
        row = db.get_one(SnapshotLock, id)
        for column in ("created", "starts", "expires", "cool_off_ends"):
            moment = getattr(row, column)
            setattr(row, column, timestamp(datetime.fromisoformat(moment) - earlier) if moment else "")


def test_a_locked_snapshot_shows_until_when_and_is_not_deleted(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = add_snapshot(cloud)
    answer = lock(mine, id)
    start = answer["LockDurationStartTime"]
    assert answer == {
        "SnapshotId": id, "LockState": "governance", "LockDuration": 10, "LockCreatedOn": start,
        "LockDurationStartTime": start, "LockExpiresOn": start + timedelta(days=10),
    }  # fmt: skip
    assert described(mine, SnapshotIds=[id]) == [answer | {"OwnerId": MINE}]
    with refused("SnapshotLocked"):
        mine.delete_snapshot(SnapshotId=id)
    assert ids(mine.describe_snapshots(OwnerIds=["self"])) == [id]


def test_a_governance_lock_is_changed_and_taken_away_at_will(cloud: Cloud, mine: Any) -> None:
    id = add_snapshot(cloud)
    lock(mine, id)
    assert lock(mine, id, LockDuration=2)["LockDuration"] == 2
    day = datetime.now(UTC).replace(microsecond=0) + timedelta(days=4.5)
    answer = lock(mine, id, ExpirationDate=day)
    assert (answer["LockExpiresOn"], answer["LockDuration"]) == (day, 5)
    assert mine.unlock_snapshot(SnapshotId=id)["SnapshotId"] == id
    assert described(mine) == []
    mine.delete_snapshot(SnapshotId=id)


def test_a_compliance_lock_cools_off_and_can_then_only_be_made_longer(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = add_snapshot(cloud)
    answer = lock(mine, id, "compliance", CoolOffPeriod=24)
    assert (answer["LockState"], answer["CoolOffPeriod"]) == ("compliance-cooloff", 24)
    assert answer["CoolOffPeriodExpiresOn"] == answer["LockCreatedOn"] + timedelta(hours=24)
    assert lock(mine, id, "governance", LockDuration=5)["LockState"] == "governance"
    lock(mine, id, "compliance", CoolOffPeriod=24)
    age(cloud, id, 2)
    assert described(mine)[0]["LockState"] == "compliance"
    with refused("OperationNotPermitted"):
        mine.unlock_snapshot(SnapshotId=id)
    for mode, asked in (
        ("governance", {"LockDuration": 20}), ("compliance", {"LockDuration": 10}), ("compliance", {"LockDuration": 9}),
        ("compliance", {"LockDuration": 20, "CoolOffPeriod": 1}),
        ("compliance", {"ExpirationDate": datetime.now(UTC) + timedelta(days=1)}),
    ):  # fmt: skip
        with refused("OperationNotPermitted"):
            lock(mine, id, mode, **asked)
    longer = lock(mine, id, "compliance", LockDuration=20)
    assert longer["LockExpiresOn"] == longer["LockDurationStartTime"] + timedelta(days=20)
    with refused("SnapshotLocked"):
        mine.delete_snapshot(SnapshotId=id)


def test_a_compliance_lock_without_cooling_off_holds_at_once(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = add_snapshot(cloud)
    assert lock(mine, id, "compliance")["LockState"] == "compliance"
    with refused("OperationNotPermitted"):
        mine.unlock_snapshot(SnapshotId=id)


def test_a_compliance_lock_is_taken_away_while_it_cools_off(cloud: Cloud, mine: Any) -> None:
    id = add_snapshot(cloud)
    lock(mine, id, "compliance", CoolOffPeriod=1)
    mine.unlock_snapshot(SnapshotId=id)
    mine.delete_snapshot(SnapshotId=id)


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_a_lock_ends_by_itself(cloud: Cloud, mine: Any, refused: Any, mode: str) -> None:
    id = add_snapshot(cloud)
    lock(mine, id, mode)
    age(cloud, id, 11)
    assert described(mine)[0]["LockState"] == "expired"
    with refused("IncorrectState"):
        mine.unlock_snapshot(SnapshotId=id)
    assert lock(mine, id, "governance", LockDuration=1)["LockState"] == "governance"
    age(cloud, id, 2)
    mine.delete_snapshot(SnapshotId=id)
    cloud.settle()
    assert described(mine) == []


def test_the_days_of_a_lock_on_a_pending_snapshot_begin_when_it_is_completed(cloud: Cloud, ec2: Any) -> None:
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    id = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    answer = lock(ec2, id)
    assert answer["LockState"] == "governance" and not answer.keys() & {"LockExpiresOn", "LockDurationStartTime"}
    cloud.settle()
    (shown,) = described(ec2)
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    assert shown["LockDurationStartTime"] == snapshot["CompletionTime"]
    assert shown["LockExpiresOn"] == snapshot["CompletionTime"] + timedelta(days=10)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"LockMode": "governance"}, "MissingParameter"),
        ({"LockMode": "open", "LockDuration": 1}, "InvalidParameterValue"),
        ({"LockMode": "governance", "LockDuration": 0}, "InvalidParameterValue"),
        ({"LockMode": "governance", "LockDuration": 36501}, "InvalidParameterValue"),
        ({"LockMode": "governance", "LockDuration": 1, "CoolOffPeriod": 1}, "InvalidParameterCombination"),
        ({"LockMode": "compliance", "LockDuration": 1, "CoolOffPeriod": 73}, "InvalidParameterValue"),
        ({"LockMode": "compliance", "LockDuration": 1, "CoolOffPeriod": 0}, "InvalidParameterValue"),
        (
            {"LockMode": "compliance", "LockDuration": 1, "ExpirationDate": "2999-01-01T00:00:00Z"},
            "InvalidParameterCombination",
        ),
        ({"LockMode": "governance", "ExpirationDate": "2020-01-01T00:00:00Z"}, "InvalidParameterValue"),
        ({"LockMode": "governance", "ExpirationDate": "2999-01-01T00:00:00Z"}, "InvalidParameterValue"),
        ({"LockMode": "governance", "LockDuration": 1, "DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_lock_that_cannot_be_is_refused(
    cloud: Cloud, mine: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    id = add_snapshot(cloud)
    with refused(code):
        mine.lock_snapshot(SnapshotId=id, **asked)
    assert described(mine) == []


def test_only_its_owner_locks_a_snapshot_that_is_there(cloud: Cloud, mine: Any, ec2: Any, refused: Any) -> None:
    id = add_snapshot(cloud)
    lock(mine, id)
    for call in (lambda: lock(ec2, id), lambda: ec2.unlock_snapshot(SnapshotId=id)):
        with refused("InvalidSnapshot.NotFound"):
            call()
    assert described(ec2) == []
    with refused("InvalidSnapshot.NotFound"):
        described(ec2, SnapshotIds=[id])
    with refused("IncorrectState"):
        lock(mine, add_snapshot(cloud, state="error"))
    with refused("IncorrectState"):
        mine.unlock_snapshot(SnapshotId=add_snapshot(cloud))


def test_locks_are_filtered_and_come_in_pages(cloud: Cloud, mine: Any, refused: Any) -> None:
    governed, cooling, kept, over, never = (add_snapshot(cloud) for _ in range(5))
    lock(mine, governed)
    lock(mine, cooling, "compliance", CoolOffPeriod=1)
    lock(mine, kept, "compliance")
    lock(mine, over, "compliance", CoolOffPeriod=72)
    age(cloud, over, 11)

    def found(*values: str) -> set[str]:
        return {s["SnapshotId"] for s in described(mine, Filters=[{"Name": "lock-state", "Values": values}])}

    assert found("governance") == {governed} and found("compliance-cooloff") == {cooling}
    assert found("compliance") == {kept} and found("expired") == {over}
    assert found("compliance*") == {cooling, kept} and found("x") == set()
    assert [s["SnapshotId"] for s in described(mine, SnapshotIds=[never, kept])] == [kept]
    more = [add_snapshot(cloud) for _ in range(3)]
    for id in more:
        lock(mine, id)
    first = mine.describe_locked_snapshots(MaxResults=5)
    second = mine.describe_locked_snapshots(MaxResults=5, NextToken=first["NextToken"])
    pages = [[s["SnapshotId"] for s in page["Snapshots"]] for page in (first, second)]
    assert [len(page) for page in pages] == [5, 2]
    assert pages[0] + pages[1] == sorted([governed, cooling, kept, over, *more])
    with refused("InvalidParameterValue"):
        described(mine, Filters=[{"Name": "x", "Values": ["x"]}])

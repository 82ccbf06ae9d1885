"""Writing snapshots block by block through a real client."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.drivers.base import DriverError, Refused
from engine.reconciler import reconcile
from engine.state import Snapshot, SnapshotDraft, Task, timestamp
from engine.workflows import complete_snapshot
from tests.cloud import REGION, Cloud
from tests.translators.blocks import BLOCK, ONE, SHA, THREE, TWO, content, digest, put, write
from tests.translators.test_snapshot_blocks import client, reason
from tests.translators.test_snapshots import MINE


@pytest.fixture
def ebs(cloud: Cloud) -> Any:
    return client(cloud)


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.another_account(MINE)


def start(ebs: Any, **asked: Any) -> str:
    return str(ebs.start_snapshot(**{"VolumeSize": 1, **asked})["SnapshotId"])


def shown(ec2: Any, id: str) -> dict[str, Any]:
    [snapshot] = ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    return dict(snapshot)


def complete(ebs: Any, id: str, count: int, **asked: Any) -> Any:
    return ebs.complete_snapshot(SnapshotId=id, ChangedBlocksCount=count, **asked)


def test_a_snapshot_is_started_written_and_completed(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    tags = [{"Key": "Name", "Value": "backup"}]
    started = ebs.start_snapshot(VolumeSize=2, Description="from home", Tags=tags, Timeout=10)
    id = started["SnapshotId"]
    assert abs(started.pop("StartTime") - datetime.now(UTC)) < timedelta(minutes=1)
    assert started.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    assert started == {
        "SnapshotId": id, "Description": "from home", "OwnerId": MINE, "Status": "pending", "VolumeSize": 2,
        "BlockSize": BLOCK, "Tags": tags,
    }  # fmt: skip
    pending = shown(ec2, id)
    assert (pending["State"], pending["Progress"], pending["VolumeSize"]) == ("pending", "0%", 2)
    assert (pending["Tags"], pending["Description"], pending["VolumeId"]) == (tags, "from home", "vol-ffffffff")
    done = put(ebs, id, 3000, ONE, Progress=40)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (done["Checksum"], done["ChecksumAlgorithm"]) == (digest(ONE), SHA)
    assert shown(ec2, id)["Progress"] == "40%"
    put(ebs, id, 0, TWO)
    put(ebs, id, 3000, THREE)
    answer = complete(ebs, id, 2)
    assert (answer["Status"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("pending", 202)
    cloud.settle()
    found = shown(ec2, id)
    assert (found["State"], found["Progress"]) == ("completed", "100%") and found["CompletionTime"]
    assert content(ebs, id) == {0: TWO, 3000: THREE}
    volume = ec2.create_volume(SnapshotId=id, AvailabilityZone="us-east-1a")
    assert volume["Size"] == 2


def test_the_sum_of_all_blocks_is_checked(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    id = start(ebs)
    for index, data in ((9, ONE), (1, TWO)):
        put(ebs, id, index, data)
    linear = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in (TWO, ONE))).digest()
    good = {
        "Checksum": base64.b64encode(linear).decode(), "ChecksumAlgorithm": SHA, "ChecksumAggregationMethod": "LINEAR"
    }  # fmt: skip
    for count, asked in ((1, good), (3, {}), (2, good | {"Checksum": digest(b"x")}), (2, {"Checksum": digest(b"x")})):
        assert reason(lambda c=count, a=asked: complete(ebs, id, c, **a)) == "INVALID_PARAMETER_VALUE"
    assert shown(ec2, id)["State"] == "pending"
    complete(ebs, id, 2, **good)
    cloud.settle()
    assert shown(ec2, id)["State"] == "completed"


def test_a_snapshot_is_written_upon_its_parent(cloud: Cloud, ebs: Any) -> None:
    parent = write(cloud, ebs, {0: ONE, 1: ONE})
    started = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)
    assert started["ParentSnapshotId"] == parent
    id = started["SnapshotId"]
    put(ebs, id, 1, TWO)
    complete(ebs, id, 1)
    cloud.settle()
    assert content(ebs, id) == {0: ONE, 1: TWO}


def test_a_parent_is_kept_for_those_that_are_written_upon_it(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    parent = write(cloud, ebs, {0: ONE})
    id = start(ebs, ParentSnapshotId=parent)
    ec2.delete_snapshot(SnapshotId=parent)
    cloud.run_steps(3)
    complete(ebs, id, 0)
    cloud.settle()
    assert content(ebs, id) == {0: ONE}
    assert parent not in cloud.backend.storages["us-east-1a"].list_snapshots()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"VolumeSize": 0}, "INVALID_PARAMETER_VALUE"),
        ({"VolumeSize": 65537}, "INVALID_VOLUME_SIZE"),
        ({"Timeout": 9}, "INVALID_PARAMETER_VALUE"),
        ({"Encrypted": True, "KmsKeyArn": "arn:aws:kms:us-east-1:222222222222:key/x"}, "INVALID_CUSTOMER_KEY"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:222222222222:key/x"}, "INVALID_PARAMETER_VALUE"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, "INVALID_TAG"),
        ({"Tags": [{"Key": "a", "Value": "y"}] * 2}, "INVALID_TAG"),
    ],
)
def test_what_cannot_be_started_is_refused(cloud: Cloud, ebs: Any, asked: dict[str, Any], why: str) -> None:
    assert reason(lambda: start(ebs, **asked)) == why
    with cloud.database.read() as db:
        assert db.query(Snapshot).filter_by(account=MINE).count() == db.query(SnapshotDraft).count() == 0


@pytest.fixture
def by_default(ec2: Any) -> None:
    ec2.enable_ebs_encryption_by_default()


def key_of(cloud: Cloud, id: str) -> str | None:
    """Return the key that the store was given for a snapshot."""
    return cloud.backend.storages["us-east-1a"].snapshot_keys[id]


def test_an_encrypted_snapshot_is_started_written_and_read(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    started = ebs.start_snapshot(VolumeSize=1, Encrypted=True)
    id, arn = started["SnapshotId"], started["KmsKeyArn"]
    assert arn.startswith(f"arn:aws:kms:{REGION}:{MINE}:key/")
    put(ebs, id, 3, ONE)
    complete(ebs, id, 1)
    cloud.settle()
    assert (shown(ec2, id)["Encrypted"], shown(ec2, id)["KmsKeyId"]) == (True, arn)
    assert content(ebs, id) == {3: ONE} and key_of(cloud, id)
    child = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=id)
    assert child["KmsKeyArn"] == arn
    put(ebs, child["SnapshotId"], 4, TWO)
    complete(ebs, child["SnapshotId"], 1)
    named = write(cloud, ebs, {0: ONE}, Encrypted=True, KmsKeyArn=arn)
    assert content(ebs, child["SnapshotId"]) == {3: ONE, 4: TWO}
    assert key_of(cloud, child["SnapshotId"]) == key_of(cloud, id) != key_of(cloud, named)
    changed = ebs.list_changed_blocks(FirstSnapshotId=id, SecondSnapshotId=child["SnapshotId"])["ChangedBlocks"]
    assert [block["BlockIndex"] for block in changed] == [4]


def test_where_an_account_encrypts_everything_so_are_its_drafts(
    cloud: Cloud, ebs: Any, ec2: Any, by_default: None
) -> None:
    id = write(cloud, ebs, {0: ONE})
    assert shown(ec2, id)["Encrypted"] and key_of(cloud, id) and content(ebs, id) == {0: ONE}
    assert reason(lambda: start(ebs, Encrypted=False)) == "INVALID_PARAMETER_VALUE"
    arn = shown(ec2, id)["KmsKeyId"]
    assert shown(ec2, start(ebs, KmsKeyArn=arn))["KmsKeyId"] == arn


def test_how_a_snapshot_is_encrypted_is_its_parents_matter(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    plain, secret = write(cloud, ebs, {0: ONE}), write(cloud, ebs, {0: ONE}, Encrypted=True)
    arn = shown(ec2, secret)["KmsKeyId"]
    for parent in (plain, secret):
        for asked in ({"Encrypted": True}, {"Encrypted": False}, {"KmsKeyArn": arn}):
            assert reason(lambda a=asked, p=parent: start(ebs, ParentSnapshotId=p, **a)) == "INVALID_PARAMETER_VALUE"
    assert not shown(ec2, start(ebs, ParentSnapshotId=plain))["Encrypted"]
    ec2.enable_ebs_encryption_by_default()
    assert reason(lambda: start(ebs, ParentSnapshotId=plain)) == "INVALID_PARAMETER_VALUE"
    assert shown(ec2, start(ebs, ParentSnapshotId=secret))["Encrypted"]


def test_a_parent_must_be_there_whole_and_no_larger(cloud: Cloud, ebs: Any) -> None:
    parent, pending = write(cloud, ebs, {}, size=2), start(ebs)
    assert reason(lambda: start(ebs, ParentSnapshotId=parent)) == "INVALID_VOLUME_SIZE"
    assert reason(lambda: start(ebs, ParentSnapshotId=pending)) == "INVALID_SNAPSHOT_ID"
    asked = {"ParentSnapshotId": parent, "VolumeSize": 2, "Encrypted": False}
    assert reason(lambda: start(ebs, **asked)) == "INVALID_PARAMETER_VALUE"
    other = client(cloud, "333333333333")
    lost = lambda: start(other, ParentSnapshotId=parent, VolumeSize=2)  # noqa: E731
    assert reason(lost, "ResourceNotFoundException") == "SNAPSHOT_NOT_FOUND"


def test_a_client_token_starts_one_snapshot(ebs: Any) -> None:
    first = start(ebs, ClientToken="t")
    assert start(ebs, ClientToken="t") == first != start(ebs)
    assert reason(lambda: start(ebs, ClientToken="t", VolumeSize=2), "ConflictException") == "None"


def test_an_account_has_so_many_snapshots(make_cloud: Any) -> None:
    cloud = make_cloud(quotas={"snapshots": 1})
    ebs = client(cloud)
    start(ebs)
    full = "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
    assert reason(lambda: start(ebs), "ServiceQuotaExceededException") == full


def test_a_block_must_be_whole_within_the_snapshot_and_as_its_sum_says(ebs: Any) -> None:
    id = start(ebs)
    for index, data, more, why in (
        (0, b"x", {}, "INVALID_BLOCK"),
        (0, ONE, {"DataLength": 1}, "INVALID_BLOCK"),
        (0, ONE + ONE[:10], {}, "INVALID_BLOCK"),
        (2048, ONE, {}, "INVALID_BLOCK"),
        (0, ONE, {"Checksum": digest(TWO)}, "INVALID_PARAMETER_VALUE"),
        (0, ONE, {"ChecksumAlgorithm": "MD5"}, "INVALID_PARAMETER_VALUE"),
        (0, ONE, {"Progress": 101}, "INVALID_PARAMETER_VALUE"),
    ):
        assert reason(lambda i=index, d=data, m=more: put(ebs, id, i, d, **m)) == why
    assert reason(lambda: complete(ebs, id, 1)) == "INVALID_PARAMETER_VALUE"


def test_only_its_owner_writes_a_snapshot_and_only_while_it_is_one_to_be_written(
    cloud: Cloud, ebs: Any, ec2: Any
) -> None:
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    cloud.settle()
    id, other = start(ebs), client(cloud, "333333333333")
    nobody = "snap-0123456789abcdef9"
    for call in (
        lambda: put(other, id, 0, ONE),
        lambda: complete(other, id, 0),
        lambda: put(ebs, nobody, 0, ONE),
        lambda: complete(ebs, nobody, 0),
    ):
        assert reason(call, "ResourceNotFoundException") == "SNAPSHOT_NOT_FOUND"
    complete(ebs, id, 0)
    taken = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    for closed in (id, taken):
        assert reason(lambda c=closed: put(ebs, c, 0, ONE)) == "INVALID_SNAPSHOT_ID"
        assert reason(lambda c=closed: complete(ebs, c, 0)) == "INVALID_SNAPSHOT_ID"
    cloud.settle()
    assert reason(lambda: put(ebs, id, 0, ONE)) == "INVALID_SNAPSHOT_ID"
    ec2.delete_snapshot(SnapshotId=id)
    assert reason(lambda: put(ebs, id, 0, ONE), "ResourceNotFoundException") == "SNAPSHOT_NOT_FOUND"


def test_a_store_without_room_takes_no_block(make_cloud: Any) -> None:
    cloud = make_cloud(disk_reserved_gib=10**12)
    ebs = client(cloud)
    id = start(ebs)
    assert reason(lambda: put(ebs, id, 0, ONE), "ServiceQuotaExceededException") == "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"


def test_a_deleted_draft_leaves_nothing(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    storage = cloud.backend.storages["us-east-1a"]
    waiting, sealed = start(ebs), start(ebs)
    for id in (waiting, sealed):
        put(ebs, id, 0, ONE)
    complete(ebs, sealed, 1)
    for id in (waiting, sealed):
        ec2.delete_snapshot(SnapshotId=id)
    cloud.settle()
    reconcile(cloud.engine)
    assert not storage.list_snapshots() & {waiting, sealed}
    with cloud.database.read() as db:
        assert db.query(SnapshotDraft).count() == db.query(Snapshot).filter_by(account=MINE).count() == 0


def late(cloud: Cloud, id: str) -> None:
    """Let a draft have waited too long."""
    with cloud.database.write() as db:
        db.get_one(SnapshotDraft, id).expires = timestamp(datetime.now(UTC) - timedelta(seconds=1))


def test_a_draft_that_nobody_completes_in_time_is_an_error(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    id, other = start(ebs, Timeout=10), start(ebs)
    put(ebs, id, 0, ONE)
    reconcile(cloud.engine)
    assert shown(ec2, id)["State"] == "pending"
    late(cloud, id)
    reconcile(cloud.engine)
    assert reason(lambda: put(ebs, id, 0, ONE)) == "INVALID_SNAPSHOT_ID"
    cloud.settle()
    found = shown(ec2, id)
    assert (found["State"], found["StateMessage"]) == ("error", "The snapshot was not completed in time.")
    assert id not in cloud.backend.storages["us-east-1a"].list_snapshots()
    assert shown(ec2, other)["State"] == "pending"
    assert reason(lambda: complete(ebs, id, 1)) == "INVALID_SNAPSHOT_ID"


def test_each_block_gives_a_draft_more_time(cloud: Cloud, ebs: Any) -> None:
    id = start(ebs, Timeout=10)
    with cloud.database.write() as db:
        db.get_one(SnapshotDraft, id).expires = timestamp(datetime.now(UTC) + timedelta(minutes=2))
    put(ebs, id, 0, ONE)
    with cloud.database.read() as db:
        expires = datetime.fromisoformat(db.get_one(SnapshotDraft, id).expires)
    assert expires - datetime.now(UTC) > timedelta(minutes=9)


@pytest.mark.parametrize("error", [Refused("cannot complete: it was lost"), DriverError("no room")])
def test_a_draft_that_cannot_be_made_a_snapshot_is_an_error(cloud: Cloud, ebs: Any, ec2: Any, error: Exception) -> None:
    id = start(ebs)
    put(ebs, id, 0, ONE)
    cloud.backend.fail_next("complete_draft", error, times=100)
    complete(ebs, id, 1)
    cloud.settle()
    found = shown(ec2, id)
    assert (found["State"], found["StateMessage"]) == ("error", "The blocks that were written could not be kept.")
    assert id not in cloud.backend.storages["us-east-1a"].list_snapshots()


def test_a_lost_task_is_found_again(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    sealed, expired = start(ebs), start(ebs)
    put(ebs, sealed, 0, ONE)
    complete(ebs, sealed, 1)
    late(cloud, expired)
    reconcile(cloud.engine)
    with cloud.database.write() as db:
        assert db.query(Task).delete() == 2
    reconcile(cloud.engine)
    cloud.settle()
    assert shown(ec2, sealed)["State"] == "completed" and shown(ec2, expired)["State"] == "error"
    assert content(ebs, sealed) == {0: ONE}


def test_a_large_draft_takes_several_turns(cloud: Cloud, ebs: Any, ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = type(cloud.backend.storages["us-east-1a"])
    outcomes, whole = iter([False, False, True]), storage.complete_draft
    monkeypatch.setattr(storage, "complete_draft", lambda *a: next(outcomes) and whole(*a))
    id = write(cloud, ebs, {0: ONE})
    assert next(outcomes, None) is None and shown(ec2, id)["State"] == "completed"
    assert complete_snapshot.GIVE_UP == "cancel_draft"


def test_a_worker_may_be_killed_after_any_step(cloud: Cloud, ebs: Any, ec2: Any) -> None:
    for steps in range(4):
        id = start(ebs)
        put(ebs, id, 0, ONE)
        complete(ebs, id, 1)
        cloud.run_single_steps(steps)
        cloud.settle()
        assert shown(ec2, id)["State"] == "completed" and content(ebs, id) == {0: ONE}

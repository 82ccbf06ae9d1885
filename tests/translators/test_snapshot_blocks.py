"""Reading snapshots block by block through a real client."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.drivers.base import DriverError
from engine.state import Snapshot
from tests.cloud import Cloud
from tests.translators.blocks import BLOCK, ONE, THREE, TWO, content, digest, keep, tokens, write
from tests.translators.test_snapshots import MINE, add_snapshot, public_snapshot
from translators import block_tokens, snapshot_blocks


@pytest.fixture
def ebs(cloud: Cloud) -> Any:
    return client(cloud)


def client(cloud: Cloud, account: str = MINE) -> Any:
    cloud.another_account(account)
    return cloud.client("ebs", key=f"AKIA{account}", secret=f"secret{account}")


def reason(call: Any, code: str = "ValidationException") -> str:
    """Return the reason of the error that a call must end with."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response.get("Reason"))


def changed(ebs: Any, first: str, second: str, **asked: Any) -> list[tuple[int, bool, bool]]:
    found = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second, **asked)["ChangedBlocks"]
    return [(b["BlockIndex"], "FirstBlockToken" in b, "SecondBlockToken" in b) for b in found]


def test_a_snapshot_is_listed_and_read_as_it_was_written(cloud: Cloud, ebs: Any) -> None:
    id = write(cloud, ebs, {2047: ONE, 3: TWO})
    listed = ebs.list_snapshot_blocks(SnapshotId=id)
    assert [block["BlockIndex"] for block in listed["Blocks"]] == [3, 2047]
    assert (listed["VolumeSize"], listed["BlockSize"]) == (1, BLOCK) and "NextToken" not in listed
    assert timedelta(days=6) < listed["ExpiryTime"] - datetime.now(UTC) < timedelta(days=8)
    got = ebs.get_snapshot_block(SnapshotId=id, BlockIndex=3, BlockToken=listed["Blocks"][0]["BlockToken"])
    assert (got["DataLength"], got["Checksum"], got["ChecksumAlgorithm"]) == (BLOCK, digest(TWO), "SHA256")
    assert got["BlockData"].read() == TWO
    assert got["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/octet-stream"
    assert content(ebs, id) == {3: TWO, 2047: ONE}


def test_a_list_has_pages(cloud: Cloud, ebs: Any) -> None:
    id = keep(cloud, range(0, 2 * 250, 2))
    found, token, sizes = [], {}, []
    while True:
        page = ebs.list_snapshot_blocks(SnapshotId=id, MaxResults=100, **token)
        found += [block["BlockIndex"] for block in page["Blocks"]]
        sizes.append(len(page["Blocks"]))
        if "NextToken" not in page:
            break
        # A place in the list counts more than where it was to begin.
        token = {"NextToken": page["NextToken"], "StartingBlockIndex": 7}
    assert found == list(range(0, 500, 2)) and sizes == [100, 100, 50]
    later = ebs.list_snapshot_blocks(SnapshotId=id, StartingBlockIndex=495)["Blocks"]
    assert [block["BlockIndex"] for block in later] == [496, 498]
    assert ebs.list_snapshot_blocks(SnapshotId=id, StartingBlockIndex=10**6)["Blocks"] == []


def test_a_page_ends_where_a_store_was_asked_enough(cloud: Cloud, ebs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_blocks, "_WINDOW", 1000)
    monkeypatch.setattr(snapshot_blocks, "_WINDOWS", 1)
    id = write(cloud, ebs, {1: ONE, 1500: TWO})
    pages, token = [], {}
    for _ in range(3):
        page = ebs.list_snapshot_blocks(SnapshotId=id, **token)
        pages.append([block["BlockIndex"] for block in page["Blocks"]])
        token = {"NextToken": page.get("NextToken")}
    assert pages == [[1], [1500], []] and token == {"NextToken": None}


def test_two_snapshots_are_compared(cloud: Cloud, ebs: Any) -> None:
    first = write(cloud, ebs, {0: ONE, 1: ONE, 2: ONE})
    second = write(cloud, ebs, {1: TWO, 3000: THREE}, size=2, ParentSnapshotId=first)
    answer = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second)
    assert (answer["VolumeSize"], answer["BlockSize"]) == (2, BLOCK)
    assert changed(ebs, first, second) == [(1, True, True), (3000, False, True)]
    assert changed(ebs, second, first) == [(1, True, True), (3000, True, False)]
    assert changed(ebs, first, first) == []
    assert changed(ebs, first, second, StartingBlockIndex=2) == [(3000, False, True)]
    block = answer["ChangedBlocks"][0]
    for id, token, data in ((first, "FirstBlockToken", ONE), (second, "SecondBlockToken", TWO)):
        got = ebs.get_snapshot_block(SnapshotId=id, BlockIndex=1, BlockToken=block[token])
        assert got["BlockData"].read() == data


def test_a_volumes_snapshots_and_copies_are_related(cloud: Cloud, ebs: Any) -> None:
    ec2 = cloud.another_account(MINE)
    parent = write(cloud, ebs, {5: ONE})
    volume = ec2.create_volume(SnapshotId=parent, AvailabilityZone="us-east-1a")["VolumeId"]
    cloud.settle()
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    copy = ec2.copy_snapshot(SourceSnapshotId=snapshot, SourceRegion="us-east-1")["SnapshotId"]
    cloud.settle()
    assert content(ebs, snapshot) == content(ebs, copy) == {5: ONE}
    assert changed(ebs, parent, copy) == changed(ebs, snapshot, copy) == []


def test_unrelated_snapshots_cannot_be_compared(cloud: Cloud, ebs: Any) -> None:
    first, second = (write(cloud, ebs, {0: ONE}) for _ in range(2))
    assert reason(lambda: changed(ebs, first, second)) == "UNRELATED_SNAPSHOTS"
    assert reason(lambda: ebs.list_changed_blocks(SecondSnapshotId=second)) == "INVALID_PARAMETER_VALUE"


def test_a_token_is_good_for_its_block_account_and_time_only(
    cloud: Cloud, ebs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, other = (write(cloud, ebs, {0: ONE, 1: ONE}) for _ in range(2))
    third = client(cloud, "333333333333")
    cloud.another_account(MINE).modify_snapshot_attribute(
        SnapshotId=id, Attribute="createVolumePermission", OperationType="add", UserIds=["333333333333"]
    )
    good = tokens(ebs, id)
    assert content(third, id) == {0: ONE, 1: ONE}

    def get(ebs: Any, id: str, index: int, token: str) -> Any:
        return lambda: ebs.get_snapshot_block(SnapshotId=id, BlockIndex=index, BlockToken=token)

    raw = bytearray(base64.b64decode(good[0]))
    raw[7] ^= 1
    wrong = (
        get(ebs, id, 0, good[1]), get(ebs, other, 0, good[0]), get(third, id, 0, good[0]), get(ebs, id, 0, "AAAA"),
        get(ebs, id, 0, "A"), get(ebs, id, 0, base64.b64encode(raw).decode()),
    )  # fmt: skip
    assert {reason(call) for call in wrong} == {"INVALID_BLOCK_TOKEN"}
    monkeypatch.setattr(block_tokens, "LIFETIME", timedelta(seconds=-1))
    assert reason(get(ebs, id, 0, tokens(ebs, id)[0])) == "INVALID_BLOCK_TOKEN"
    get(ebs, id, 0, good[0])()


def test_a_page_token_is_good_for_its_list_only(cloud: Cloud, ebs: Any) -> None:
    id, other = (keep(cloud, range(101)) for _ in range(2))
    token = ebs.list_snapshot_blocks(SnapshotId=id, MaxResults=100)["NextToken"]
    forged = [base64.b64encode(text.encode()).decode() for text in ("x", "[]", "1", json.dumps([id, -1]))]
    wrong = [
        lambda: ebs.list_snapshot_blocks(SnapshotId=other, NextToken=token),
        lambda: ebs.list_changed_blocks(FirstSnapshotId=id, SecondSnapshotId=id, NextToken=token),
        *(lambda t=t: ebs.list_snapshot_blocks(SnapshotId=id, NextToken=t) for t in ("AAA", *forged)),
    ]
    assert {reason(call) for call in wrong} == {"INVALID_PAGE_TOKEN"}


def test_only_those_who_may_make_volumes_of_a_snapshot_read_it(cloud: Cloud, ebs: Any) -> None:
    id, third = write(cloud, ebs, {0: ONE}), client(cloud, "333333333333")
    token = tokens(ebs, id)[0]
    for call in (
        lambda: third.list_snapshot_blocks(SnapshotId=id),
        lambda: third.list_changed_blocks(FirstSnapshotId=id, SecondSnapshotId=id),
        lambda: third.get_snapshot_block(SnapshotId=id, BlockIndex=0, BlockToken=token),
        lambda: ebs.list_snapshot_blocks(SnapshotId="snap-0123456789abcdef9"),
        lambda: ebs.list_snapshot_blocks(SnapshotId="snap-1"),
        lambda: cloud.client("ebs", region="us-east-1").list_snapshot_blocks(SnapshotId=id),
    ):
        assert reason(call, "ResourceNotFoundException") == "SNAPSHOT_NOT_FOUND"
    assert ebs.list_snapshot_blocks(SnapshotId=public_snapshot(cloud))["Blocks"] == []


def test_what_is_not_whole_or_not_readable_is_refused(cloud: Cloud, ebs: Any) -> None:
    for id in (add_snapshot(cloud, state="pending"), add_snapshot(cloud, state="error")):
        assert reason(lambda id=id: ebs.list_snapshot_blocks(SnapshotId=id)) == "INVALID_SNAPSHOT_ID"
    id = write(cloud, ebs, {0: ONE})
    get = lambda: ebs.get_snapshot_block(SnapshotId=id, BlockIndex=2048, BlockToken="AAAA")  # noqa: E731
    assert reason(get) == "INVALID_BLOCK"


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        ("list_snapshot_blocks", {"SnapshotId": "vol-1"}),
        ("list_snapshot_blocks", {"SnapshotId": "snap-1", "MaxResults": 99}),
        ("list_snapshot_blocks", {"SnapshotId": "snap-1", "MaxResults": 10001}),
        ("list_snapshot_blocks", {"SnapshotId": "snap-1", "StartingBlockIndex": -1}),
        ("list_snapshot_blocks", {"SnapshotId": "snap-1", "NextToken": "-_-"}),
        ("get_snapshot_block", {"SnapshotId": "snap-1", "BlockIndex": 0, "BlockToken": "A" * 257}),
        ("get_snapshot_block", {"SnapshotId": "snap-1", "BlockIndex": "x", "BlockToken": "A"}),
    ],
)
def test_what_the_model_forbids_is_refused(ebs: Any, call: str, asked: dict[str, Any]) -> None:
    assert reason(lambda: getattr(ebs, call)(**asked)) == "INVALID_PARAMETER_VALUE"


def test_a_store_that_fails_is_a_reason_to_try_again(cloud: Cloud, ebs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    id = write(cloud, ebs, {0: ONE})
    token = tokens(ebs, id)[0]

    def fail(*_: Any) -> bytes:
        raise DriverError("the disks are away: /secret/path")

    monkeypatch.setattr(type(cloud.backend.storages["us-east-1a"]), "read_snapshot", fail)
    with pytest.raises(ClientError, match="InternalServerException") as caught:
        ebs.get_snapshot_block(SnapshotId=id, BlockIndex=0, BlockToken=token)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500 and "secret" not in str(caught.value)


def test_a_store_that_is_elsewhere_is_refused(cloud: Cloud, ebs: Any) -> None:
    id = write(cloud, ebs, {0: ONE})
    blocks = cloud.app.extensions["groundfog"].blocks
    blocks.storages = dict.fromkeys(blocks.storages, object())
    for call in (
        lambda: ebs.list_snapshot_blocks(SnapshotId=id),
        lambda: ebs.start_snapshot(VolumeSize=1),
        lambda: ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=id),
    ):
        assert reason(call) == "INVALID_DEPENDENCY_REQUEST"
    with cloud.database.read() as db:
        assert db.query(Snapshot).filter_by(account=MINE).count() == 1

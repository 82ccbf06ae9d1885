"""Images stored as objects and made of them again: what comes back, and what is not believed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.imports.rows import KINDS
from engine.state import Image, Snapshot
from tests.cloud import Cloud
from tests.engine import exports, imports
from tests.engine.exports import BUCKET, own_image, rewritten, stored, with_store
from tests.engine.imports import CONTENT
from tests.translators.test_exports import imported
from tests.translators.test_imports import content, keep_files


def restored(cloud: Cloud, file: Path, **more: Any) -> dict[str, Any]:
    id = cloud.ec2.create_restore_image_task(Bucket=BUCKET, ObjectKey=file.name, **more)["ImageId"]
    assert image(cloud, id)["State"] == "pending"
    cloud.settle()
    return image(cloud, id)


def image(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(cloud.ec2.describe_images(ImageIds=[id])["Images"][0])


def task_of(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(cloud.ec2.describe_store_image_tasks(ImageIds=[id])["StoreImageTaskResults"][0])


def test_an_image_is_stored_and_made_again(cloud: Cloud, tmp_path: Path) -> None:
    storage = keep_files(cloud)
    with_store(cloud)
    first = imported(cloud)
    snapshot = image(cloud, first)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    source = cloud.ec2.register_image(
        Name="mine", Description="an image", Architecture="x86_64", BootMode="legacy-bios", ImdsSupport="v2.0",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdd", "Ebs": {"VolumeSize": 4, "VolumeType": "io1", "Iops": 100}},
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 9, "DeleteOnTermination": False}},
        ],
    )["ImageId"]  # fmt: skip
    file = stored(cloud, source)
    told = task_of(cloud, source)
    assert (told["StoreTaskState"], told["ProgressPercentage"], told["Bucket"]) == ("Completed", 100, BUCKET)
    assert told["S3objectKey"] == file.name == f"{source}.bin" and "StoreTaskFailureReason" not in told
    before = image(cloud, source)
    cloud.ec2.deregister_image(ImageId=source)
    tags = [{"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]} for kind in ("image", "snapshot")]
    after = restored(cloud, file, TagSpecifications=tags)
    assert after["State"] == "available" and after["Tags"] == tags[0]["Tags"], after
    disks = {disk["DeviceName"]: disk.get("Ebs", {}) for disk in after["BlockDeviceMappings"]}
    made = disks["/dev/xvda"].pop("SnapshotId")
    del before["BlockDeviceMappings"][2]["Ebs"]["SnapshotId"]
    assert after["BlockDeviceMappings"] == before["BlockDeviceMappings"]
    same = before.keys() - {"ImageId", "CreationDate", "Tags", "BlockDeviceMappings"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    (found,) = cloud.ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"]
    assert (found["State"], found["Tags"]) == ("completed", tags[1]["Tags"])
    assert content(storage, made, tmp_path) == CONTENT
    assert exports.nothing_is_left(cloud)


def test_the_store_may_be_s3_and_gives_the_object_its_tags(cloud: Cloud, refused: Any) -> None:
    source = own_image(cloud)
    with exports.s3_store() as (url, client):
        with_store(cloud, url)
        ask = {"ImageId": source, "Bucket": BUCKET, "S3ObjectTags": [{"Key": "a", "Value": "b c"}]}
        key = cloud.ec2.create_store_image_task(**ask)["ObjectKey"]
        assert task_of(cloud, source)["StoreTaskState"] == "InProgress"
        with refused("InvalidRequest"):
            cloud.ec2.create_store_image_task(**ask)
        cloud.settle()
        assert client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"] == ask["S3ObjectTags"]
        made = restored(cloud, Path(key), Name="another")
        assert (made["State"], made["Name"]) == ("available", "another")


def test_a_bucket_that_is_not_there_fails_the_task(cloud: Cloud) -> None:
    source = own_image(cloud)
    with exports.s3_store() as (url, client):
        client.delete_bucket(Bucket=BUCKET)
        with_store(cloud, url)
        cloud.ec2.create_store_image_task(ImageId=source, Bucket=BUCKET)
        cloud.settle()
    told = task_of(cloud, source)
    assert told["StoreTaskState"] == "Failed" and "could not be written" in told["StoreTaskFailureReason"]


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1600] ^= 1
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3000])


def _with_backing(about: dict[str, Any], found: dict[str, bytes]) -> None:
    header = bytearray(found["disk-0.qcow2"])
    header[8:20] = (1 << 10).to_bytes(8, "big") + (11).to_bytes(4, "big")
    found["disk-0.qcow2"] = bytes(header)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "flipped": _flip,
    "cut": _cut,
    "empty": lambda file: file.write_bytes(b""),
    "not-one": lambda file: file.write_bytes(b"hello" * 1000),
    "backing": lambda file: rewritten(file, _with_backing),
    "path": lambda file: rewritten(file, lambda about, found: found.update({"../../x": b""})),
    "raw-disk": lambda file: rewritten(file, lambda about, found: found.update({"disk-0.qcow2": bytes(1 << 20)})),
    "more-disks": lambda file: rewritten(file, lambda about, found: found.update({"disk-7.qcow2": b"x"})),
    "no-root": lambda file: rewritten(file, lambda about, found: about.update(root_device_name="/dev/none")),
    "other-machine": lambda file: rewritten(file, lambda about, found: about.update(architecture="arm64")),
    "newer": lambda file: rewritten(file, lambda about, found: about.update(version=2)),
    "huge-text": lambda file: rewritten(file, lambda about, found: about.update(more="x" * (2 << 20))),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_was_not_stored_like_that_is_refused_with_the_reason(cloud: Cloud, kind: str) -> None:
    file = stored(cloud)
    HOSTILE[kind](file)
    made = restored(cloud, file, Name="hostile")
    assert made["State"] == "failed", made
    assert made["StateReason"]["Message"].startswith("ClientError: ") and str(cloud.settings.data) not in str(made)
    assert imports.nothing_is_left(cloud)
    cloud.ec2.deregister_image(ImageId=made["ImageId"])


def test_a_name_that_is_taken_fails_the_image(cloud: Cloud, refused: Any) -> None:
    file = stored(cloud)
    made = restored(cloud, file)
    assert made["State"] == "failed" and "already in use" in made["StateReason"]["Message"]
    with refused("InvalidAMIName.Duplicate"):
        cloud.ec2.create_restore_image_task(Bucket=BUCKET, ObjectKey=file.name, Name="mine")


def test_the_accounts_default_of_encryption_holds_for_what_is_restored(cloud: Cloud) -> None:
    file = stored(cloud)
    cloud.ec2.enable_ebs_encryption_by_default()
    (mapping,) = restored(cloud, file, Name="closed")["BlockDeviceMappings"]
    (snapshot,) = cloud.ec2.describe_snapshots(SnapshotIds=[mapping["Ebs"]["SnapshotId"]])["Snapshots"]
    assert snapshot["Encrypted"] is mapping["Ebs"]["Encrypted"] is True and "KmsKeyId" in snapshot


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_an_image_that_is_deregistered_while_it_is_restored_leaves_nothing(cloud: Cloud, steps: int) -> None:
    file = stored(cloud)
    known = cloud.look(lambda db: db.query(Snapshot).count())
    id = cloud.ec2.create_restore_image_task(Bucket=BUCKET, ObjectKey=file.name, Name="gone")["ImageId"]
    cloud.run_single_steps(steps)
    cloud.ec2.deregister_image(ImageId=id)
    cloud.settle()
    assert cloud.look(lambda db: (db.get(Image, id), db.query(Snapshot).count())) == (None, known)
    assert imports.nothing_is_left(cloud)


def test_tasks_are_filtered_paged_and_their_owners(cloud: Cloud, refused: Any) -> None:
    source = own_image(cloud)
    stored(cloud, source)
    cloud.ec2.create_store_image_task(ImageId=source, Bucket=BUCKET)
    describe = cloud.ec2.describe_store_image_tasks

    def states(**asked: Any) -> list[str]:
        return sorted(task["StoreTaskState"] for task in describe(**asked)["StoreImageTaskResults"])

    assert states() == states(ImageIds=[source]) == ["Completed", "InProgress"]
    assert states(Filters=[{"Name": "task-state", "Values": ["InProgress"]}]) == ["InProgress"]
    assert states(Filters=[{"Name": "bucket", "Values": ["none"]}]) == []
    assert states(ImageIds=[source], Filters=[{"Name": "bucket", "Values": ["none"]}]) == ["Completed", "InProgress"]
    first = describe(MaxResults=1)
    rest = describe(MaxResults=1, NextToken=first["NextToken"])
    assert len(first["StoreImageTaskResults"] + rest["StoreImageTaskResults"]) == 2 and "NextToken" not in rest
    assert cloud.another_account().describe_store_image_tasks()["StoreImageTaskResults"] == []
    with refused("InvalidParameterCombination"):
        describe(ImageIds=[source], MaxResults=1)
    with refused("InvalidAMIID.Malformed"):
        describe(ImageIds=["i-1"])
    with refused("InvalidParameterValue"):
        describe(ImageIds=[source] * 21)


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("InvalidParameter", {"Bucket": "others"}),
        ("MissingParameter", {"Bucket": ""}),
        ("InvalidAMIID.NotFound", {"ImageId": "ami-" + "0" * 16 + "f"}),
        ("UnsupportedOperation", {"S3ObjectTags": [{"Key": "a", "Value": "b"}]}),
    ],
)
def test_what_cannot_be_stored_is_refused(cloud: Cloud, refused: Any, code: str, extra: dict[str, Any]) -> None:
    with_store(cloud)
    with refused(code):
        cloud.ec2.create_store_image_task(**{"ImageId": own_image(cloud), "Bucket": BUCKET, **extra})


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("InvalidParameter", {"Bucket": "others"}),
        ("InvalidParameter", {"ObjectKey": "../others/a"}),
        ("MissingParameter", {"ObjectKey": ""}),
        ("InvalidAMIName.Malformed", {"Name": "a!!!"}),
        ("InvalidParameterValue", {"TagSpecifications": [{"ResourceType": "volume", "Tags": []}]}),
    ],
)
def test_what_cannot_be_restored_is_refused(cloud: Cloud, refused: Any, code: str, extra: dict[str, Any]) -> None:
    with_store(cloud)
    with refused(code):
        cloud.ec2.create_restore_image_task(**{"Bucket": BUCKET, "ObjectKey": "a.bin", **extra})
    assert cloud.look(lambda db: db.query(KINDS["restore-ami"]).count()) == 0


def test_a_task_of_a_restored_image_is_no_import_that_can_be_cancelled(cloud: Cloud, refused: Any) -> None:
    with_store(cloud)
    cloud.ec2.create_restore_image_task(Bucket=BUCKET, ObjectKey="none.bin")
    id = cloud.look(lambda db: db.query(KINDS["restore-ami"]).one().id)
    with refused("InvalidConversionTaskId.Malformed"):
        cloud.ec2.cancel_import_task(ImportTaskId=id)
    cloud.settle()

"""Exports of images and instances: what is in the object, what tasks say, and what is refused."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from engine import tasks
from engine.exports.ovf import OVF
from engine.state import Image, ImageBlockDevice, Snapshot, Volume
from tests.cloud import IMAGE, Cloud
from tests.engine import exports, imports
from tests.engine.exports import BUCKET, exporting, exporting_instance, image_task, instance_task, own_image, with_store
from tests.engine.imports import CONTENT, uploaded
from tests.translators.test_imports import keep_files
from tests.translators.test_instances import launch


def imported(cloud: Cloud) -> str:
    """Return an image whose disk has something on it."""
    id = cloud.ec2.import_image(DiskContainers=[{"Url": uploaded(cloud)}])["ImportTaskId"]
    cloud.settle()
    return str(imports.image_task(cloud, id)["ImageId"])


def content(file: Path, kind: str, folder: Path) -> bytes:
    raw = folder / "looked-at"
    subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", file, raw], check=True)
    return raw.read_bytes()[512 : 512 + len(CONTENT)]


@pytest.mark.parametrize(("kind", "format"), [("VMDK", "vmdk"), ("RAW", "raw"), ("VHD", "vpc")])
def test_an_image_becomes_an_object_of_any_format(cloud: Cloud, tmp_path: Path, kind: str, format: str) -> None:
    keep_files(cloud)
    bucket = with_store(cloud)
    sent = {
        "ImageId": imported(cloud), "DiskImageFormat": kind, "Description": "mine", "RoleName": "vmimport",
        "S3ExportLocation": {"S3Bucket": BUCKET, "S3Prefix": "some/where-"},
        "TagSpecifications": [{"ResourceType": "export-image-task", "Tags": [{"Key": "a", "Value": "b"}]}],
    }  # fmt: skip
    made = cloud.ec2.export_image(**sent)
    tagged = sent.pop("TagSpecifications")
    assert {name: made[name] for name in sent} == sent and made["Tags"] == tagged[0]["Tags"]
    assert (made["Status"], made["StatusMessage"], made["Progress"]) == ("active", "pending", "0")
    cloud.settle()
    task = image_task(cloud, made["ExportImageTaskId"])
    assert task["Status"] == "completed" and "Progress" not in task, task
    file = bucket / f"some/where-{made['ExportImageTaskId']}.{kind.lower()}"
    assert content(file, format, tmp_path) == CONTENT
    assert exports.nothing_is_left(cloud)


def test_a_large_object_goes_to_an_s3_store_in_parts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_files(cloud)
    image = imported(cloud)
    with cloud.database.write() as db:
        (disk,) = db.query(ImageBlockDevice).filter_by(image_id=image)
        file = cloud.settings.data / "snapshots" / f"{disk.snapshot_id}.qcow2"
    file.chmod(0o600)
    subprocess.run(["qemu-img", "resize", "-q", file, "40M"], check=True)
    with exports.s3_store() as (url, client):
        with_store(cloud, url)
        id = exporting_to(cloud, image, "RAW")
        cloud.settle()
        assert image_task(cloud, id)["Status"] == "completed", image_task(cloud, id)
        answer = client.get_object(Bucket=BUCKET, Key=f"{id}.raw")
        assert answer["ContentLength"] == 40 << 20 and answer["ETag"].endswith('-3"')
        assert answer["Body"].read()[512 : 512 + len(CONTENT)] == CONTENT
        assert not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def exporting_to(cloud: Cloud, image: str, kind: str = "VMDK", bucket: str = BUCKET) -> str:
    made = cloud.ec2.export_image(ImageId=image, DiskImageFormat=kind, S3ExportLocation={"S3Bucket": bucket})
    return str(made["ExportImageTaskId"])


def test_what_was_begun_of_an_object_is_taken_away_with_a_cancelled_export(cloud: Cloud) -> None:
    with exports.s3_store() as (url, client):
        with_store(cloud, url)
        id = exporting_to(cloud, own_image(cloud))
        for key in (f"{id}.vmdk", f"{id}.vmdk-of-another"):
            upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)
            client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"half")
        client.put_object(Bucket=BUCKET, Key=f"{id}.vmdk", Body=b"whole, but too late")
        cloud.ec2.cancel_export_task(ExportTaskId=id)
        assert image_task(cloud, id)["Status"] == "deleting"
        cloud.settle()
        assert image_task(cloud, id)["Status"] == "deleted"
        left = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        assert [upload["Key"] for upload in left] == [f"{id}.vmdk-of-another"]
        assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_bucket_that_is_not_there_ends_the_export_with_the_reason(cloud: Cloud) -> None:
    with exports.s3_store() as (url, client):
        client.delete_bucket(Bucket=BUCKET)
        with_store(cloud, url)
        id = exporting_to(cloud, own_image(cloud))
        cloud.settle()
        task = image_task(cloud, id)
        assert task["Status"] == "deleted" and exports.nothing_is_left(cloud)
        assert task["StatusMessage"] == "ClientError: The object could not be written to the bucket: Access error."


def test_an_instance_is_exported_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    bucket = with_store(cloud)
    (id,) = launch(cloud, ImageId=IMAGE)
    cloud.settle()
    asked = {"DiskImageFormat": "VHD", "S3Bucket": BUCKET, "S3Prefix": "a/"}
    made = cloud.ec2.create_instance_export_task(
        InstanceId=id, TargetEnvironment="microsoft", ExportToS3Task=asked, Description="mine",
        TagSpecifications=[{"ResourceType": "export-instance-task", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["ExportTask"]  # fmt: skip
    key = f"a/{made['ExportTaskId']}.vhd"
    assert made["ExportToS3Task"] == {"DiskImageFormat": "VHD", "S3Bucket": BUCKET, "S3Key": key}
    assert made["InstanceExportDetails"] == {"InstanceId": id, "TargetEnvironment": "microsoft"}
    assert (made["State"], made["Description"], made["Tags"]) == ("active", "mine", [{"Key": "a", "Value": "b"}])
    cloud.settle()
    assert instance_task(cloud, made["ExportTaskId"])["State"] == "completed"
    told = subprocess.run(["qemu-img", "info", "-f", "vpc", bucket / key], check=True, capture_output=True, text=True)
    assert "virtual size: 1 GiB" in told.stdout
    assert exports.nothing_is_left(cloud)


def test_several_volumes_are_exported_as_an_ova_that_can_be_imported(cloud: Cloud) -> None:
    id = exporting_instance(cloud)
    cloud.settle()
    assert exports.is_instance_exported(cloud, id)
    file = cloud.settings.data / "store" / BUCKET / f"{id}.ova"
    with tarfile.open(file) as archive:
        assert archive.getnames() == [f"{id}.ovf", f"{id}-disk1.vmdk", f"{id}-disk2.vmdk"]
        text = archive.extractfile(f"{id}.ovf").read()  # type: ignore[union-attr]
    sizes = etree.fromstring(text).xpath("//o:Disk/@o:capacity", namespaces={"o": OVF})
    assert sizes == [str(1 << 30)] * 2
    task = cloud.ec2.import_image(DiskContainers=[{"Url": f"s3://{BUCKET}/{id}.ova", "Format": "ova"}])["ImportTaskId"]
    cloud.settle()
    found = imports.image_task(cloud, task)
    assert found["Status"] == "completed" and len(found["SnapshotDetails"]) == 2, found


def snapshots_made(cloud: Cloud) -> list[Any]:
    """Return the account's snapshots but for those of the images that were there before."""
    found = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return [snapshot for snapshot in found if "OwnerAlias" not in snapshot]


def test_the_disks_of_an_export_stay_until_it_is_done(cloud: Cloud) -> None:
    image = own_image(cloud)
    (snapshot,) = snapshots_made(cloud)
    id = exporting(cloud, image)
    cloud.ec2.deregister_image(ImageId=image)
    cloud.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    assert exports.imports.stored(cloud) >= {snapshot["SnapshotId"]}
    cloud.settle()
    assert exports.is_exported(cloud, id)
    assert snapshot["SnapshotId"] not in exports.imports.stored(cloud)


def test_a_snapshot_that_its_owner_deletes_before_it_is_taken_ends_the_export(cloud: Cloud) -> None:
    id = exporting_instance(cloud)
    (one, *_) = snapshots_made(cloud)
    cloud.ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
    cloud.settle()
    assert exports.is_cancelled(cloud, id)
    assert instance_task(cloud, id)["StatusMessage"] == "ClientError: A snapshot of the export was deleted."


@pytest.mark.parametrize("steps", range(len(tasks.steps("export_instance_disks"))))
def test_an_export_is_cancelled_at_every_step(cloud: Cloud, steps: int) -> None:
    id = exporting_instance(cloud)
    cloud.run_single_steps(steps)
    if instance_task(cloud, id)["State"] != "active":
        return
    cloud.ec2.cancel_export_task(ExportTaskId=id)
    assert instance_task(cloud, id)["State"] == "cancelling"
    cloud.settle()
    assert exports.is_cancelled(cloud, id)


def test_tasks_are_found_by_state_in_pages_and_by_their_owner(cloud: Cloud, refused: Any) -> None:
    image = own_image(cloud)
    ids = sorted(exporting(cloud, image) for _ in range(3))
    describe = cloud.ec2.describe_export_image_tasks
    first = describe(MaxResults=2)
    rest = describe(MaxResults=2, NextToken=first["NextToken"])
    assert [t["ExportImageTaskId"] for t in first["ExportImageTasks"] + rest["ExportImageTasks"]] == ids
    cloud.ec2.cancel_export_task(ExportTaskId=ids[0])
    found = describe(Filters=[{"Name": "task-state", "Values": ["deleting"]}])["ExportImageTasks"]
    assert [t["ExportImageTaskId"] for t in found] == ids[:1]
    with refused("IncorrectState"):
        cloud.ec2.cancel_export_task(ExportTaskId=ids[0])
    other = cloud.another_account()
    assert other.describe_export_image_tasks()["ExportImageTasks"] == []
    for ask in (
        lambda: other.cancel_export_task(ExportTaskId=ids[1]),
        lambda: describe(ExportImageTaskIds=["export-ami-" + "0" * 17]),
        lambda: cloud.ec2.describe_export_tasks(ExportTaskIds=["export-i-" + "0" * 17]),
    ):
        with refused("InvalidExportTaskID.NotFound"):
            ask()
    for id in ("i-1", "store-ami-" + "0" * 17):
        with refused("InvalidExportTaskID.Malformed"):
            cloud.ec2.cancel_export_task(ExportTaskId=id)


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("InvalidParameterValue", {"DiskImageFormat": "QCOW2"}),
        ("UnsupportedOperation", {"RoleName": "other"}),
        ("InvalidParameterValue", {"Description": "a" * 256}),
        ("MissingParameter", {"S3ExportLocation": {"S3Prefix": "a"}}),
        ("InvalidParameter", {"S3ExportLocation": {"S3Bucket": "others"}}),
        ("InvalidParameter", {"S3ExportLocation": {"S3Bucket": BUCKET, "S3Prefix": "../others/"}}),
        ("InvalidParameterValue", {"S3ExportLocation": {"S3Bucket": BUCKET, "S3Prefix": "a" * 1100}}),
        ("InvalidAMIID.NotFound", {"ImageId": "ami-" + "0" * 16 + "f"}),
    ],
)
def test_an_export_of_an_image_that_cannot_be_is_refused(
    cloud: Cloud, refused: Any, code: str, extra: dict[str, Any]
) -> None:
    with_store(cloud)
    sent = {"ImageId": own_image(cloud), "DiskImageFormat": "RAW", "S3ExportLocation": {"S3Bucket": BUCKET}}
    with refused(code):
        cloud.ec2.export_image(**{**sent, **extra})
    assert cloud.ec2.describe_export_image_tasks()["ExportImageTasks"] == []


def test_encrypted_several_large_and_unavailable_disks_are_refused(cloud: Cloud, refused: Any) -> None:
    with_store(cloud)
    image = own_image(cloud)

    def change(kind: Any, **values: Any) -> None:
        with cloud.database.write() as db:
            for row in db.query(kind).filter_by(account="000000000000"):
                for name, value in values.items():
                    setattr(row, name, value)

    for before, after in (({"encrypted": True}, {"encrypted": False}), ({"volume_size": 2000}, {"volume_size": 1})):
        change(Snapshot, **before)
        with refused("NotExportable"):
            exporting_to(cloud, image)
        change(Snapshot, **after)
    change(Image, state="disabled")
    with refused("InvalidAMIID.Unavailable"):
        exporting_to(cloud, image)
    change(Image, state="available")
    with cloud.database.write() as db:
        (disk,) = db.query(ImageBlockDevice).filter_by(image_id=image)
        db.add(ImageBlockDevice(image_id=image, device="/dev/sdb", size=1, snapshot_id=disk.snapshot_id))
    with refused("NotExportable", "2 disks"):
        exporting_to(cloud, image)


def test_an_image_of_another_account_is_not_exported(cloud: Cloud, refused: Any) -> None:
    with_store(cloud)
    other = cloud.another_account()
    with refused("AuthFailure"):
        other.export_image(ImageId=IMAGE, DiskImageFormat="RAW", S3ExportLocation={"S3Bucket": BUCKET})
    with refused("AuthFailure"):
        other.create_store_image_task(ImageId=IMAGE, Bucket=BUCKET)


def test_without_a_store_or_a_target_nothing_is_exported(cloud: Cloud, refused: Any) -> None:
    image = own_image(cloud)
    with refused("UnsupportedOperation", "flow_log_store"):
        exporting_to(cloud, image)
    with_store(cloud)
    cloud.settings.export_targets = []
    with refused("InvalidParameter", "export_targets"):
        exporting_to(cloud, image)
    cloud.settings.export_targets = ["s3://of-{account}/"]
    with refused("InvalidParameter"):
        exporting_to(cloud, image, bucket="of-222222222222")
    assert exporting_to(cloud, image, bucket="of-000000000000")


@pytest.mark.parametrize(
    ("code", "environment", "task"),
    [
        ("InvalidParameterValue", "xen", {}),
        ("InvalidParameterValue", "vmware", {"DiskImageFormat": "QCOW2"}),
        ("InvalidParameterValue", "vmware", {"ContainerFormat": "zip"}),
        ("InvalidParameterCombination", "citrix", {"DiskImageFormat": "VMDK"}),
        ("InvalidParameterCombination", "microsoft", {"ContainerFormat": "ova"}),
        ("MissingParameter", "vmware", {"S3Bucket": ""}),
        ("InvalidParameter", "vmware", {"S3Bucket": "others"}),
        ("NotExportable", "vmware", {}),
    ],
)
def test_an_export_of_an_instance_that_cannot_be_is_refused(
    cloud: Cloud, refused: Any, code: str, environment: str, task: dict[str, Any]
) -> None:
    with_store(cloud)
    (id,) = launch(cloud, BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}])
    cloud.settle()
    asked = {"S3Bucket": BUCKET, **task}
    with refused(code):
        cloud.ec2.create_instance_export_task(InstanceId=id, TargetEnvironment=environment, ExportToS3Task=asked)
    assert cloud.ec2.describe_export_tasks()["ExportTasks"] == []


def test_instances_that_are_encrypted_or_gone_are_not_exported(cloud: Cloud, refused: Any) -> None:
    with_store(cloud)
    (id,) = launch(cloud)

    def ask() -> None:
        cloud.ec2.create_instance_export_task(
            InstanceId=id, TargetEnvironment="vmware", ExportToS3Task={"S3Bucket": BUCKET}
        )

    with refused("IncorrectInstanceState"):
        ask()
    cloud.settle()
    with cloud.database.write() as db:
        db.query(Volume).update({"encrypted": True})
    with refused("NotExportable"):
        ask()
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account().create_instance_export_task(
            InstanceId=id, TargetEnvironment="vmware", ExportToS3Task={"S3Bucket": BUCKET}
        )


def test_more_exports_than_the_quota_are_refused(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(quotas={"active exports": 1})
    image = own_image(cloud)
    exporting(cloud, image)
    with refused("ResourceCountExceeded"):
        exporting(cloud, image)

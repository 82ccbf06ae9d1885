"""Imports of snapshots and images: what they read, what they say, and what they refuse."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import tasks
from engine.disk_keys import open_key
from engine.drivers.qcow2 import Qcow2
from engine.drivers.qcow2_encryption import qemu_img, whole
from engine.drivers.qcow2_header import read_header
from engine.imports.work import read_state
from engine.state import ImportSnapshotTask, Instance, Snapshot
from tests.cloud import Cloud
from tests.engine import imports
from tests.engine.imports import CONTENT, image, image_task, ova, snapshot_task, uploaded, web_server
from tests.translators.test_instances import launch

NAMES = {
    "raw": "RAW", "iso": "RAW", "qcow2": "QCOW2", "vmdk": "VMDK", "stream.vmdk": "VMDK", "vhd": "VHD", "vhdx": "VHDX",
    "ova": "VMDK",
}  # fmt: skip


def keep_files(cloud: Cloud) -> Qcow2:
    """Have the simulated cloud keep its snapshots as real files, so that their content can be looked at."""
    storage = Qcow2(cloud.settings.data)
    for zone in cloud.backend.storages:
        cloud.backend.storages[zone] = storage  # type: ignore[assignment]
    cloud.drivers.update(dict.fromkeys(cloud.drivers, cloud.backend.drivers()))
    return storage


def content(storage: Qcow2, snapshot: str, folder: Path, key: str | None = None) -> bytes:
    raw, file = folder / "looked-at.raw", whole(storage._snapshot_path(snapshot), key)
    qemu_img("convert", "-O", "raw", *file, str(raw), key=key)
    return raw.read_bytes()[512 : 512 + len(CONTENT)]


def start(cloud: Cloud, url: str, **more: Any) -> str:
    return str(cloud.ec2.import_snapshot(DiskContainer={"Url": url, **more})["ImportTaskId"])


def imported(cloud: Cloud, url: str, **more: Any) -> dict[str, Any]:
    id = start(cloud, url, **more)
    cloud.settle()
    return snapshot_task(cloud, id)


@pytest.mark.parametrize("kind", NAMES)
def test_a_file_of_any_kind_becomes_a_snapshot(cloud: Cloud, tmp_path: Path, kind: str) -> None:
    storage = keep_files(cloud)
    task = imported(cloud, uploaded(cloud, f"disk.{kind}"))
    assert task["Status"] == "completed", task
    assert task["Format"] == NAMES[kind] and task["DiskImageSize"] > 0
    (snapshot,) = cloud.ec2.describe_snapshots(SnapshotIds=[task["SnapshotId"]])["Snapshots"]
    assert (snapshot["State"], snapshot["VolumeSize"]) == ("completed", 1)
    assert content(storage, task["SnapshotId"], tmp_path) == CONTENT
    assert imports.nothing_is_left(cloud)


def key_of(cloud: Cloud, snapshot: str) -> str | None:
    return cloud.look(lambda db: open_key(cloud.settings, db.get_one(Snapshot, snapshot).key))


@pytest.mark.parametrize("kind", ["raw", "stream.vmdk", "ova"])
def test_a_disk_is_imported_encrypted(cloud: Cloud, tmp_path: Path, kind: str) -> None:
    storage = keep_files(cloud)
    id = str(cloud.ec2.import_snapshot(
        DiskContainer={"Url": uploaded(cloud, f"disk.{kind}")}, Encrypted=True, KmsKeyId="alias/aws/ebs"
    )["ImportTaskId"])  # fmt: skip
    cloud.settle()
    task = snapshot_task(cloud, id)
    assert (task["Status"], task["Encrypted"]) == ("completed", True)
    (snapshot,) = cloud.ec2.describe_snapshots(SnapshotIds=[task["SnapshotId"]])["Snapshots"]
    assert snapshot["Encrypted"] and snapshot["KmsKeyId"] == task["KmsKeyId"]
    key = key_of(cloud, task["SnapshotId"])
    assert key and content(storage, task["SnapshotId"], tmp_path, key) == CONTENT
    file = storage._snapshot_path(task["SnapshotId"])
    assert CONTENT not in file.read_bytes() and read_header(file).encrypted
    assert cloud.look(lambda db: db.get_one(ImportSnapshotTask, id).key) == "" and imports.nothing_is_left(cloud)


def test_where_an_account_encrypts_everything_so_are_its_imports(cloud: Cloud) -> None:
    storage = keep_files(cloud)
    cloud.ec2.enable_ebs_encryption_by_default()
    id = imports.importing(cloud)
    cloud.ec2.disable_ebs_encryption_by_default()  # what was begun goes on as it was
    cloud.settle()
    assert imports.is_imported(cloud, id)
    task = image_task(cloud, id)
    assert task["Encrypted"] and task["KmsKeyId"].startswith("arn:aws:kms:")
    (made,) = cloud.ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    disks = [mapping["Ebs"] for mapping in made["BlockDeviceMappings"]]
    assert all(disk["Encrypted"] and key_of(cloud, disk["SnapshotId"]) for disk in disks)
    assert all(read_header(storage._snapshot_path(disk["SnapshotId"])).encrypted for disk in disks)
    asked = {"SnapshotId": disks[0]["SnapshotId"], "AvailabilityZone": "us-east-1a"}
    volume = cloud.ec2.create_volume(**asked)["VolumeId"]
    cloud.settle()
    assert cloud.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    assert len(storage.locate_disk(volume).below) == 1


def test_a_web_server_that_the_operator_names_is_read(make_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    image(tmp_path / "web", "disk.qcow2")
    with web_server(tmp_path / "web", {"/moved": "/disk.qcow2"}) as root:
        cloud = make_cloud(import_sources=[f"{root}/"])
        storage = keep_files(cloud)
        for path in ("disk.qcow2", "moved"):
            task = imported(cloud, f"{root}/{path}", Format="qcow2")
            assert task["Status"] == "completed", task
            assert content(storage, task["SnapshotId"], tmp_path) == CONTENT


def test_a_bucket_that_the_operator_names_is_read(
    make_cloud: Callable[..., Cloud], tmp_path: Path, refused: Any
) -> None:
    image(tmp_path / "store" / "images", "disk.vmdk")
    cloud = make_cloud(flow_log_store=f"file://{tmp_path}/store", import_sources=["s3://images/"])
    asked = {"UserBucket": {"S3Bucket": "images", "S3Key": "disk.vmdk"}}
    id = cloud.ec2.import_snapshot(DiskContainer=asked)["ImportTaskId"]
    cloud.settle()
    assert snapshot_task(cloud, id)["Status"] == "completed"
    assert snapshot_task(cloud, id)["UserBucket"] == asked["UserBucket"]
    with refused("InvalidParameter"):
        cloud.ec2.import_snapshot(DiskContainer={"UserBucket": {"S3Bucket": "others", "S3Key": "disk.vmdk"}})
    assert imported(cloud, "s3://images/nothing")["StatusMessage"].startswith("ClientError: The object could not")


def test_sources_may_be_an_accounts_own(make_cloud: Callable[..., Cloud], tmp_path: Path, refused: Any) -> None:
    cloud = make_cloud(flow_log_store=f"file://{tmp_path}/store", import_sources=["s3://images-{account}/"])
    other = cloud.another_account()
    assert other.import_snapshot(DiskContainer={"Url": "s3://images-222222222222/a"})["ImportTaskId"]
    with refused("InvalidParameter"):
        other.import_snapshot(DiskContainer={"Url": "s3://images-000000000000/a"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x", "http://allowed.example:81/images/x", "https://allowed.example/images/x",
        "http://allowed.example/images-of-others/x", "http://allowed.example/images/../x",
        "http://allowed.example/images/%2e%2e/x", "http://allowed.example/images/%252e%252e/x",
        "http://allowed.example@127.0.0.1/images/x", "http://user@allowed.example/images/x",
        "http://allowed.example.evil/images/x", "ftp://allowed.example/images/x", "gopher:x", "",
        "http://allowed.example/images\\..\\x", "http://[::1/images", "http://allowed.example:no/images/x",
        "file:///../../etc/passwd", "file:///etc/passwd", "file:///%2e%2e/groundfog.db", "file://host/x",
        "file:///uploads", "s3://bucket", "s3://bucket/key", "http://allowed.example/images/a%0d%0ab",
    ],
)  # fmt: skip
def test_all_other_places_are_refused(make_cloud: Callable[..., Cloud], url: str) -> None:
    cloud = make_cloud(import_sources=["http://allowed.example/images"])
    with pytest.raises(cloud.ec2.exceptions.ClientError) as error:
        cloud.ec2.import_snapshot(DiskContainer={"Url": url})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert cloud.ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"] == []


def test_a_link_that_leads_out_of_the_uploads_is_refused(cloud: Cloud, refused: Any) -> None:
    uploaded(cloud)
    (cloud.settings.data / "uploads" / "link.raw").symlink_to("/etc/passwd")
    with refused("InvalidParameterValue"):
        start(cloud, "file:///link.raw")


def test_redirects_to_other_places_are_refused(make_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    image(tmp_path / "inside", "disk.raw")
    with web_server(tmp_path / "inside") as inside:
        aims = {"/a": f"{inside}/disk.raw", "/b": "file:///etc/passwd", "/c": "/c", "/ok/d": "/ok/../disk.raw"}
        with web_server(tmp_path / "web", aims) as root:
            cloud = make_cloud(import_sources=[root])
            for path in aims:
                task = imported(cloud, f"{root}{path}")
                assert task["Status"] == "deleted" and task["StatusMessage"].startswith("ClientError"), task
    assert imports.nothing_is_left(cloud)


def _hostile(folder: Path, kind: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"hostile.{kind}"
    if kind == "backing":
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", file, "1M"], check=True
        )
    elif kind == "huge":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "2T"], check=True)
    elif kind == "extents":
        file.write_text('# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 20 FLAT "/etc/passwd" 0\n')
    elif kind == "link-in-ova":
        link = folder / "link"
        link.symlink_to("/etc/passwd")
        return ova(file, link)
    elif kind == "empty-ova":
        return ova(file)
    elif kind == "cut-ova":
        whole = image(folder, "whole.ova").read_bytes()
        file.write_bytes(whole[:3000])
    elif kind == "empty":
        file.touch()
    return file


@pytest.mark.parametrize("kind", ["backing", "huge", "extents", "link-in-ova", "empty-ova", "cut-ova", "empty"])
def test_hostile_files_are_refused_with_the_reason(cloud: Cloud, kind: str) -> None:
    file = _hostile(cloud.settings.data / "uploads", kind)
    task = imported(cloud, f"file:///{file.name}")
    assert task["Status"] == "deleted" and "SnapshotId" not in task
    assert task["StatusMessage"].startswith("ClientError: ")
    assert str(cloud.settings.data) not in task["StatusMessage"]
    assert imports.nothing_is_left(cloud)


def test_what_is_larger_than_the_limit_is_refused(make_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    with (tmp_path / "web" / "large.raw").open("wb") as file:
        file.truncate((1 << 30) + 512)
    with web_server(tmp_path / "web") as root:
        cloud = make_cloud(import_sources=[root], import_limit_gib=1)
        assert "at most" in imported(cloud, f"{root}/large.raw")["StatusMessage"]
    (cloud.settings.data / "uploads").mkdir()
    (tmp_path / "web" / "large.raw").rename(cloud.settings.data / "uploads" / "large.raw")
    assert "larger than" in imported(cloud, "file:///large.raw")["StatusMessage"]


def test_a_download_that_breaks_off_or_is_not_there_is_refused(
    make_cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    image(tmp_path / "web", "short.raw")
    with web_server(tmp_path / "web") as root:
        cloud = make_cloud(import_sources=[root])
        assert imported(cloud, f"{root}/short.raw")["Status"] == "deleted"
        assert "404" in imported(cloud, f"{root}/none.raw")["StatusMessage"]


def test_what_would_fill_the_disk_is_refused(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(disk_reserved_gib=1_000_000)
    for name in ("disk.raw", "disk.ova"):
        task = imported(cloud, uploaded(cloud, name))
        assert task["StatusMessage"] == "ClientError: There is not enough room for the disk image."
    assert imports.nothing_is_left(cloud)


def test_a_format_that_was_named_must_be_the_one_found(cloud: Cloud) -> None:
    task = imported(cloud, uploaded(cloud, "disk.qcow2"), Format="RAW")
    assert task["StatusMessage"] == "ClientError: The disk image is QCOW2, not RAW."


def test_an_image_is_imported_and_launched(cloud: Cloud, refused: Any) -> None:
    sent = {
        "Description": "mine", "Platform": "Windows", "BootMode": "legacy-bios", "RoleName": "vmimport",
        "TagSpecifications": [{"ResourceType": "import-image-task", "Tags": [{"Key": "a", "Value": "b"}]}],
    }  # fmt: skip
    made = cloud.ec2.import_image(DiskContainers=[{"Url": uploaded(cloud, "disk.vhd"), "Format": "VHD"}], **sent)
    assert (made["Status"], made["StatusMessage"], made["Progress"]) == ("active", "pending", "0")
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    cloud.settle()
    task = image_task(cloud, made["ImportTaskId"])
    assert (task["Status"], task["Platform"], task["Architecture"]) == ("completed", "Windows", "x86_64")
    (disk,) = task["SnapshotDetails"]
    assert (disk["DeviceName"], disk["Format"], disk["Status"]) == ("/dev/sda1", "VHD", "completed")
    (found,) = cloud.ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert (found["Name"], found["Description"], found["Public"]) == (made["ImportTaskId"], "mine", False)
    (id,) = launch(cloud, ImageId=task["ImageId"])
    cloud.settle()
    assert cloud.look(lambda db: db.get_one(Instance, id).state) == "running"
    with refused("IncorrectState"):
        cloud.ec2.cancel_import_task(ImportTaskId=made["ImportTaskId"])


def test_an_archive_of_two_disks_is_an_image_of_two_and_no_snapshot(cloud: Cloud) -> None:
    uploads = cloud.settings.data / "uploads"
    ova(uploads / "two.ova", image(uploads, "a.stream.vmdk"), image(uploads, "b.vmdk"))
    id = cloud.ec2.import_image(DiskContainers=[{"Url": "file:///two.ova", "Format": "ova"}])["ImportTaskId"]
    cloud.settle()
    task = image_task(cloud, id)
    assert [disk["DeviceName"] for disk in task["SnapshotDetails"]] == ["/dev/sda1", "/dev/sdb"]
    assert "has 2 disks" in imported(cloud, "file:///two.ova")["StatusMessage"]


def test_tasks_are_found_by_state_in_pages_and_by_their_owner(cloud: Cloud, refused: Any) -> None:
    ids = sorted(start(cloud, uploaded(cloud)) for _ in range(3))
    describe = cloud.ec2.describe_import_snapshot_tasks
    first = describe(MaxResults=2)
    rest = describe(MaxResults=2, NextToken=first["NextToken"])
    assert [t["ImportTaskId"] for t in first["ImportSnapshotTasks"] + rest["ImportSnapshotTasks"]] == ids
    cloud.ec2.cancel_import_task(ImportTaskId=ids[0])
    found = describe(Filters=[{"Name": "task-state", "Values": ["deleting"]}])["ImportSnapshotTasks"]
    assert [t["ImportTaskId"] for t in found] == ids[:1]
    other = cloud.another_account()
    assert other.describe_import_snapshot_tasks()["ImportSnapshotTasks"] == []
    for ask in (other.cancel_import_task, lambda ImportTaskId: describe(ImportTaskIds=["import-snap-" + "0" * 17])):
        with refused("InvalidConversionTaskId"):
            ask(ImportTaskId=ids[1])
    with refused("InvalidConversionTaskId.Malformed"):
        cloud.ec2.cancel_import_task(ImportTaskId="i-1")
    cloud.settle()
    assert snapshot_task(cloud, ids[0])["StatusMessage"] == "Cancelled: by the user"


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("UnsupportedOperation", {"RoleName": "other"}),
        ("InvalidParameterDependency", {"KmsKeyId": "alias/aws/ebs"}),
        ("KMS.NotFoundException", {"KmsKeyId": "alias/a", "Encrypted": True}),
        ("UnsupportedOperation", {"ClientData": {"Comment": "a"}}),
        ("InvalidParameterValue", {"Description": "a" * 256}),
        ("MissingParameter", {"DiskContainer": {}}),
        ("MissingParameter", {"DiskContainer": {"Format": "RAW"}}),
        ("MissingParameter", {"DiskContainer": {"UserBucket": {"S3Bucket": "a"}}}),
        ("InvalidParameterValue", {"DiskContainer": {"Url": "file:///disk.raw", "Format": "floppy"}}),
    ],
)
def test_what_is_not_honoured_is_refused(cloud: Cloud, refused: Any, code: str, extra: dict[str, Any]) -> None:
    with refused(code):
        cloud.ec2.import_snapshot(**{"DiskContainer": {"Url": uploaded(cloud)}, **extra})


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("UnsupportedOperation", {"Architecture": "arm64"}),
        ("UnsupportedOperation", {"LicenseType": "AWS"}),
        ("InvalidParameterValue", {"Platform": "BeOS"}),
        ("InvalidParameterValue", {"Hypervisor": "kvm"}),
        ("MissingParameter", {"DiskContainers": []}),
        ("UnsupportedOperation", {"DiskContainers": [{"SnapshotId": "snap-1"}]}),
        ("InvalidBlockDeviceMapping", {"DiskContainers": [{"Url": "file:///disk.raw", "DeviceName": "/dev/a"}] * 2}),
    ],
)
def test_an_image_that_cannot_be_is_refused(cloud: Cloud, refused: Any, code: str, extra: dict[str, Any]) -> None:
    with refused(code):
        cloud.ec2.import_image(**{"DiskContainers": [{"Url": uploaded(cloud)}], **extra})


def test_more_imports_than_the_quota_are_refused(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(quotas={"active imports": 1})
    imports.importing(cloud)
    with refused("ResourceCountExceeded"):
        imports.importing(cloud)


@pytest.mark.parametrize("steps", range(len(tasks.steps("import_disks"))))
def test_an_import_is_cancelled_at_every_step(cloud: Cloud, steps: int) -> None:
    id = imports.importing(cloud)
    while steps and "disks" not in read_state(cloud.settings.data / "imports" / id):
        cloud.run_single_steps(1)
    cloud.run_single_steps(steps)
    if image_task(cloud, id)["Status"] != "active":
        return
    cloud.ec2.cancel_import_task(ImportTaskId=id, CancelReason="enough")
    cloud.settle()
    assert imports.is_cancelled(cloud, id)
    assert image_task(cloud, id)["StatusMessage"] == "Cancelled: enough"


def imports_found(db: Any, id: str) -> bool:
    from engine.imports.rows import are_found

    return are_found(db, id)


def test_a_snapshot_deleted_meanwhile_ends_the_import(cloud: Cloud) -> None:
    id = imports.importing(cloud)
    while not cloud.look(lambda db: imports_found(db, id)):
        cloud.run_single_steps(2)
    (one, *_) = cloud.ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "status", "Values": ["pending"]}])[
        "Snapshots"
    ]
    cloud.ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
    cloud.settle()
    assert imports.is_cancelled(cloud, id)

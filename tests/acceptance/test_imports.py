"""The demo image imported from any format, exported, stored and imported again: each guest of it boots."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, demo_image, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

FORMATS = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "raw": "raw"}
BUCKET = "exports"


@pytest.fixture(scope="module")
def ec2(deployment: Deployment) -> Any:
    return deployment.create_account("imports")


@pytest.fixture(scope="module")
def key(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    let_in(ec2, 22)
    return make_key(ec2, "imports", tmp_path_factory.mktemp("key"))


def convert(deployment: Deployment, ec2: Any) -> None:
    """Put the demo image into the upload directory in each format."""
    (device,) = ec2.describe_images(ImageIds=[demo_image(ec2)])["Images"][0]["BlockDeviceMappings"]
    file = deployment.data / "snapshots" / f"{device['Ebs']['SnapshotId']}.qcow2"
    uploads = deployment.data / "uploads"
    uploads.mkdir(exist_ok=True)
    for name, format in FORMATS.items():
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", format, file, uploads / f"demo.{name}"], check=True)


def begin(ec2: Any, url: str) -> str:
    return str(ec2.import_image(DiskContainers=[{"Url": url}])["ImportTaskId"])


def imported(ec2: Any, task: str) -> str:
    """Return the image that an import made."""

    def ended() -> dict[str, Any] | None:
        (found,) = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
        return None if found["Status"] == "active" else dict(found)

    found = eventually(ended, f"end of {task}")
    assert found["Status"] == "completed", found
    return str(found["ImageId"])


def boots(ec2: Any, key: Path, images: list[str], command: str = "hostname") -> list[str]:
    """Launch one guest of each image, all at once; return what a command prints in each."""
    guests: list[Guest] = []
    try:
        guests += [launch(ec2, key, ImageId=image) for image in images]
        for guest in guests:
            guest.wait_until("running")
        return [guest.ssh(command) for guest in guests]
    finally:
        terminate(*guests)


def test_the_demo_image_boots_from_each_format_and_goes_round(deployment: Deployment, ec2: Any, key: Path) -> None:
    convert(deployment, ec2)
    tasks = [begin(ec2, f"file:///demo.{name}") for name in FORMATS]
    images = [imported(ec2, task) for task in tasks]
    assert boots(ec2, key, images, "echo up") == ["up"] * len(FORMATS)

    guest = launch(ec2, key, ImageId=images[0])
    try:
        guest.wait_until("running")
        guest.ssh("echo mine > /root/mine && sync")
        objects = export(ec2, images[1], guest)
    finally:
        terminate(guest)
    again = [imported(ec2, begin(ec2, f"s3://{BUCKET}/{key}")) for key in objects[:2]]
    stored = ec2.create_restore_image_task(Bucket=BUCKET, ObjectKey=objects[2], Name="restored")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[stored], WaiterConfig={"Delay": 1})
    assert boots(ec2, key, [*again, stored], "cat /root/mine 2> /dev/null; true") == ["", "mine", ""]
    assert not list((deployment.data / "exports").glob("*")) + list((deployment.data / "imports").glob("*"))


def export(ec2: Any, image: str, guest: Guest) -> tuple[str, str, str]:
    """Export an image and a guest that runs, and store the image; return the names of the objects."""
    place = {"S3Bucket": BUCKET, "S3Prefix": "of/"}
    first = ec2.export_image(ImageId=image, DiskImageFormat="VMDK", S3ExportLocation=place)["ExportImageTaskId"]
    asked = {"ContainerFormat": "ova", **place}
    second = ec2.create_instance_export_task(
        InstanceId=guest.id, TargetEnvironment="vmware", ExportToS3Task=asked
    )["ExportTask"]  # fmt: skip
    third = ec2.create_store_image_task(ImageId=image, Bucket=BUCKET)["ObjectKey"]

    def states() -> set[str]:
        return {
            ec2.describe_export_image_tasks(ExportImageTaskIds=[first])["ExportImageTasks"][0]["Status"],
            ec2.describe_export_tasks(ExportTaskIds=[second["ExportTaskId"]])["ExportTasks"][0]["State"],
            ec2.describe_store_image_tasks(ImageIds=[image])["StoreImageTaskResults"][0]["StoreTaskState"].lower(),
        }

    found = eventually(lambda: now if not (now := states()) & {"active", "inprogress"} else None, "end of exports")
    assert found == {"completed"}
    return f"of/{first}.vmdk", str(second["ExportToS3Task"]["S3Key"]), str(third)

"""Things to export, a store of buckets to export them to, and scenarios of exports."""

import json
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from engine.state import ExportDisk, Snapshot, timestamp
from tests.cloud import IMAGE, REGION, Cloud
from tests.engine import imports
from tests.translators.test_instances import launch

BUCKET = "exports"


def with_store(cloud: Cloud, store: str = "") -> Path:
    """Have a store in which the accounts may write and read one bucket; return the bucket of the directory's kind."""
    root = cloud.settings.data / "store"
    cloud.settings.flow_log_store = store or f"file://{root}"
    cloud.settings.flow_log_store_key = cloud.settings.flow_log_store_secret = "test"
    cloud.settings.export_targets = [f"s3://{BUCKET}/"]
    cloud.settings.import_sources = [f"s3://{BUCKET}/"]
    return root / BUCKET


@contextmanager
def s3_store() -> Iterator[tuple[str, Any]]:
    """Give the URL of an S3 store on the loopback, and a client of it; the bucket is there."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", region_name=REGION, endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test"
    )
    try:
        urllib.request.urlopen(
            f"{url}/moto-api/reset", data=b""
        ).close()  # all such servers of a process have one store
        client.create_bucket(Bucket=BUCKET)
        yield url, client
    finally:
        server.stop()


def own_image(cloud: Cloud) -> str:
    """Return an image of the account's own, of one disk."""
    found = cloud.ec2.describe_images(Filters=[{"Name": "name", "Values": ["mine"]}])["Images"]
    if found:
        return str(found[0]["ImageId"])
    volume = cloud.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    cloud.settle()
    snapshot = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    cloud.ec2.delete_volume(VolumeId=volume)
    cloud.settle()
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}
    made = cloud.ec2.register_image(
        Name="mine", Description="an image", Architecture="x86_64", EnaSupport=True, BlockDeviceMappings=[disk]
    )
    return str(made["ImageId"])


def exporting(cloud: Cloud, image: str = "", kind: str = "VMDK") -> str:
    """An image is about to be exported; return the task's id."""
    with_store(cloud)
    made = cloud.ec2.export_image(
        ImageId=image or own_image(cloud), DiskImageFormat=kind, S3ExportLocation={"S3Bucket": BUCKET, "S3Prefix": "a/"}
    )
    return str(made["ExportImageTaskId"])


def exporting_instance(cloud: Cloud) -> str:
    """An instance of two volumes is about to be exported."""
    with_store(cloud)
    disk = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}
    (id,) = launch(cloud, ImageId=IMAGE, BlockDeviceMappings=[disk])
    cloud.settle()
    task = cloud.ec2.create_instance_export_task(
        InstanceId=id, TargetEnvironment="vmware", ExportToS3Task={"ContainerFormat": "ova", "S3Bucket": BUCKET}
    )
    return str(task["ExportTask"]["ExportTaskId"])


def cancelling(cloud: Cloud) -> str:
    """An export that has begun is about to be cancelled."""
    id = exporting_instance(cloud)
    cloud.run_steps(1)
    cloud.ec2.cancel_export_task(ExportTaskId=id)
    return id


def days_ago(days: int) -> str:
    return timestamp(datetime.now(UTC) - timedelta(days=days))


def image_task(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(cloud.ec2.describe_export_image_tasks(ExportImageTaskIds=[id])["ExportImageTasks"][0])


def instance_task(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(cloud.ec2.describe_export_tasks(ExportTaskIds=[id])["ExportTasks"][0])


def objects(cloud: Cloud) -> set[str]:
    """Return the names of the files in the store, drafts too."""
    root = cloud.settings.data / "store" / BUCKET
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def nothing_is_left(cloud: Cloud) -> bool:
    """No file of an export is there any more, nothing is held for one, and no snapshot was made but for it."""
    held = cloud.look(lambda db: db.query(ExportDisk).count())
    taken = cloud.look(lambda db: db.query(Snapshot).where(Snapshot.taken_by.like("export-%")).count())
    folder = cloud.settings.data / "exports"
    return (held, taken, list(folder.glob("*"))) == (0, 0, []) and imports.nothing_is_left(cloud)


def is_exported(cloud: Cloud, id: str) -> bool:
    task = image_task(cloud, id)
    return task["Status"] == "completed" and f"a/{id}.vmdk" in objects(cloud) and nothing_is_left(cloud)


def is_instance_exported(cloud: Cloud, id: str) -> bool:
    task = instance_task(cloud, id)
    return task["State"] == "completed" and f"{id}.ova" in objects(cloud) and nothing_is_left(cloud)


def is_cancelled(cloud: Cloud, id: str) -> bool:
    kept = any(id in name for name in objects(cloud))
    return instance_task(cloud, id)["State"] == "cancelled" and not kept and nothing_is_left(cloud)


def stored(cloud: Cloud, image: str = "") -> Path:
    """Store an image; return the file that is the object."""
    bucket = with_store(cloud)
    key = cloud.ec2.create_store_image_task(ImageId=image or own_image(cloud), Bucket=BUCKET)["ObjectKey"]
    cloud.settle()
    return bucket / str(key)


def rewritten(file: Path, change: Any) -> None:
    """Change what a stored image is said to be, and have its checksums be right."""
    from engine.exports.archives import archive
    from engine.imports.stored_images import ABOUT, SUMS, checksum, sums_text

    with tarfile.open(file) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    about = json.loads(found[ABOUT])
    change(about, found)
    found[ABOUT] = json.dumps(about).encode()
    sums = {name: checksum(content) for name, content in found.items() if name != SUMS}
    found[SUMS] = sums_text(sums)
    made = archive(list(found.items()))
    file.write_bytes(made.read(made.length))

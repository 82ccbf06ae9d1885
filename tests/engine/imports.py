"""Disk images to import, a web server on the loopback that has them, and scenarios of imports."""

import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from engine.state import Snapshot
from tests.cloud import REGION, Cloud

CONTENT = b"what the disk holds"
KINDS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "stream.vmdk": "vmdk"}


def raw_disk(file: Path) -> Path:
    """A disk of 1 MiB with something on it."""
    with file.open("wb") as stream:
        stream.write(bytes(512) + CONTENT)
        stream.truncate(1 << 20)
    return file


def image(folder: Path, name: str) -> Path:
    """Return an image file of the kind that its name ends with; an OVA has one disk."""
    kind, file = name.partition(".")[2], folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if kind in ("raw", "iso"):
        return raw_disk(file)
    if kind == "ova":
        return ova(file, image(folder, "inside.stream.vmdk"))
    raw = raw_disk(folder / f"{name}.made-of")
    option = ("-o", "subformat=streamOptimized") if kind.startswith("stream") else ()
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", KINDS[kind], *option, raw, file], check=True)
    raw.unlink()
    return file


def ova(file: Path, *disks: Path) -> Path:
    descriptor = file.with_suffix(".ovf")
    descriptor.write_text("<Envelope/>")
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(descriptor, "machine.ovf")
        for number, disk in enumerate(disks):
            archive.add(disk, f"machine-disk{number}.vmdk")
    return file


class _Handler(BaseHTTPRequestHandler):
    folder: ClassVar[Path]
    redirects: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        if self.path in self.redirects:
            self.send_response(302)
            self.send_header("Location", self.redirects[self.path])
            self.end_headers()
            return
        file = self.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size + (1000 if "short" in self.path else 0)))
        self.end_headers()
        self.wfile.write(file.read_bytes())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_server(folder: Path, redirects: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a directory on the loopback; give the URL of its root."""
    handler = type("Handler", (_Handler,), {"folder": folder, "redirects": redirects or {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def uploaded(cloud: Cloud, name: str = "disk.raw") -> str:
    """Put an image into the upload directory; return its URL."""
    file = cloud.settings.data / "uploads" / name
    if not file.exists():
        image(file.parent, name)
    return f"file:///{name}"


def importing(cloud: Cloud) -> str:
    """An image of two disks is about to be imported; return the task's id."""
    containers = [{"Url": uploaded(cloud)}, {"Url": uploaded(cloud, "other.qcow2"), "DeviceName": "/dev/sdf"}]
    return str(cloud.ec2.import_image(DiskContainers=containers)["ImportTaskId"])


def cancelling(cloud: Cloud) -> str:
    """An import that has begun is about to be cancelled."""
    id = importing(cloud)
    cloud.run_steps(1)
    cloud.ec2.cancel_import_task(ImportTaskId=id, CancelReason="enough")
    return id


def image_task(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(cloud.ec2.describe_import_image_tasks(ImportTaskIds=[id])["ImportImageTasks"][0])


def snapshot_task(cloud: Cloud, id: str) -> dict[str, Any]:
    (found,) = cloud.ec2.describe_import_snapshot_tasks(ImportTaskIds=[id])["ImportSnapshotTasks"]
    return dict(found["SnapshotTaskDetail"])


def stored(cloud: Cloud) -> set[str]:
    return {id for storage in cloud.drivers[REGION].storages.values() for id in storage.list_snapshots()}


def nothing_is_left(cloud: Cloud) -> bool:
    """No file of any import is there any more, and the stores have just the snapshots that have rows."""
    known = cloud.look(lambda db: {row.id for row in db.query(Snapshot)})
    folder = cloud.settings.data / "imports"
    return not list(folder.glob("*")) and stored(cloud) <= known


def is_imported(cloud: Cloud, id: str) -> bool:
    task = image_task(cloud, id)
    (made,) = cloud.ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    disks = {d["DeviceName"]: d["Ebs"]["SnapshotId"] for d in made["BlockDeviceMappings"]}
    states = cloud.ec2.describe_snapshots(SnapshotIds=list(disks.values()))["Snapshots"]
    whole = {(s["State"], s["Progress"]) for s in states} == {("completed", "100%")} and set(disks.values()) <= stored(
        cloud
    )
    named = list(disks) == ["/dev/sda1", "/dev/sdf"] and made["RootDeviceName"] == "/dev/sda1"
    return task["Status"] == "completed" and whole and named and nothing_is_left(cloud)


def is_cancelled(cloud: Cloud, id: str) -> bool:
    task = image_task(cloud, id)
    begun = cloud.look(lambda db: db.query(Snapshot).filter_by(taken_by=id).count())
    return task["Status"] == "deleted" and begun == 0 and "ImageId" not in task and nothing_is_left(cloud)

"""The process that converts snapshots and uploads them as one object.

As that of an import it is told its work as JSON on standard input, holds a lock on its directory as long as it lives,
and writes how far it is to ``state.json`` there, last that the object is there or why it is not.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.drivers.base import DriverError, Refused
from engine.exports.archives import Joined, archive
from engine.exports.orders import Order
from engine.exports.ovf import descriptor
from engine.exports.uploads import Uploads, open_uploads
from engine.flow_logs.stores import DeliveryError
from engine.imports.conversion import convert
from engine.imports.places import allowed, bucket_url
from engine.imports.progress import Reporter
from engine.imports.stored_images import ABOUT, SUMS, checksum, sums_text
from engine.imports.work import bound, hold, write_state

GIB = 1 << 30
_PATIENCE = 300.0
"""Seconds in which the store must answer: it may take long to join the parts of an object."""
_TO: dict[str, tuple[str, ...]] = {
    "RAW": ("-O", "raw"),
    # What EC2 makes, and what VMware reads from an OVA.
    "VMDK": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
    # Without force_size the disk would be rounded up to cylinders.
    "VHD": ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"),
    "QCOW2": ("-c", "-O", "qcow2"),
}


def run(order: Order, folder: Path) -> dict[str, Any]:
    """Return the state that says how it ended."""
    if not allowed(bucket_url(order.bucket, order.key), order.targets, order.account):
        return {"failed": "ClientError: Objects may not be written to this place."}
    uploads = open_uploads(order.store, _PATIENCE)
    if uploads is None:
        return {"failed": "ServerError: There is no store of buckets."}
    reporter = Reporter(folder, 1, order.reserved)
    try:
        uploads.abort(order.bucket, order.key)  # what one before began that was killed
        disks = [_converted(order, number, folder, reporter) for number in range(len(order.disks))]
        content = _content(order, disks)
        _upload(order, uploads, content, reporter)
    except Refused as error:
        return {"failed": f"ClientError: {error}"}
    except DeliveryError as error:
        return {"failed": f"ClientError: The object could not be written to the bucket: {error.said}."}
    return {"object": {"bytes": content.length}}


def _converted(order: Order, number: int, folder: Path, reporter: Reporter) -> Path:
    source, whole = order.disks[number], len(order.disks)
    file = _source(source, folder / f"{number}.empty")
    target = folder / f"disk-{number}.{order.format.lower()}"
    share = (60 * number // whole, 60 * (number + 1) // whole)
    room = (order.largest, order.reserved)
    convert(
        file, source["format"], target, room, lambda percent: reporter.say("converting", share, percent, 100),
        _TO[order.format],
    )  # fmt: skip
    return target


def _source(source: dict[str, Any], empty: Path) -> Path:
    """Return what qemu-img reads; of a simulated disk nothing but its size exists."""
    if source["protocol"] == "none":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", empty, f"{source['gib']}G"], check=True)
        return empty
    if source["protocol"] not in ("file", "block", "rbd"):
        raise Refused(f"A disk that is a {source['protocol']} cannot be read by this host.")
    return Path(f"rbd:{source['name']}" if source["protocol"] == "rbd" else source["name"])


def _content(order: Order, disks: Sequence[Path]) -> Joined:
    if order.container == "ova":
        files = [
            (f"{order.name}-disk{number + 1}.vmdk", disk, order.disks[number]["gib"] * GIB)
            for number, disk in enumerate(disks)
        ]
        text = descriptor(order.about, [(name, disk.stat().st_size, size) for name, disk, size in files])
        return archive([(f"{order.name}.ovf", text), *((name, disk) for name, disk, _ in files)])
    if order.container == "image":
        about = json.dumps(order.about, indent=1, sort_keys=True).encode()
        sums = {ABOUT: checksum(about), **{disk.name: checksum(disk) for disk in disks}}
        return archive([(ABOUT, about), (SUMS, sums_text(sums)), *((disk.name, disk) for disk in disks)])
    return Joined(disks)


def _upload(order: Order, uploads: Uploads, content: Joined, reporter: Reporter) -> None:
    def report(done: int, whole: int) -> None:
        reporter.say("uploading", (60, 100), done, whole)

    try:
        uploads.write(order.bucket, order.key, content, content.length, order.tags, report)
    except BaseException:
        with contextlib.suppress(DeliveryError):  # the worker tries again, until it is done
            uploads.abort(order.bucket, order.key)
        raise


def main(folder: Path) -> None:
    bound()
    order = Order(**json.load(sys.stdin))
    with hold(folder):
        try:
            state = run(order, folder)
        except (DriverError, subprocess.SubprocessError):
            state = {"failed": "ServerError: The disk could not be converted."}
        except OSError as error:  # without the name of a file of this host
            state = {"failed": f"ServerError: {error.strerror}"}
        write_state(folder, state)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

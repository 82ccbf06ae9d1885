"""Says whether a stranger's disk image may be read: whole in itself, of a known kind, and of a possible size."""

import json
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

from engine.drivers.base import DriverError, Refused
from engine.drivers.programs import run
from engine.drivers.qcow2_header import QCOW2_MAGIC

GIB = 2**30
LARGEST_GIB = 64 * 1024
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""The ids of disks and snapshots that can be part of a file's or an image's name."""
FORMATS = {"raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi"}
WHOLE_VMDK = {"monolithicSparse", "streamOptimized"}
"""The VMDK kinds that are one file; the others name their extents' files."""
EXTERNAL_DATA = 4
"""The bit of a qcow2 header's incompatible features that says: the data is in another file (qcow2 specification)."""
SOUND = (0, 3)
"""What qemu-img check answers for a qcow2 file without errors; 3: with leaked clusters, which only waste space."""
PROBE_MEMORY = 2**30
PROBE_CPU_SECONDS = 30


class ImageFile(NamedTuple):
    """What qemu-img calls the format of an image file, and the size of the disk that is in it."""

    format: str
    virtual_bytes: int


def check_image(file: Path, largest: int = LARGEST_GIB * GIB) -> ImageFile:
    """Look at a stranger's image; raise Refused unless it is whole in itself and of a known kind.

    ``largest`` is the most bytes that it may have as a disk.
    """
    if not file.is_file():
        raise Refused(f"cannot import {file}: it is not a file")
    with file.open("rb") as stream:
        _check_header(file, stream.read(512))
    answer: dict[str, Any] = json.loads(_probe(file, "info", "--output=json"))
    kind = answer.get("format")
    if kind not in FORMATS:
        raise Refused(f"cannot import {file}: its format is {kind}")
    details = answer.get("format-specific", {}).get("data", {})
    if kind == "vmdk" and details.get("create-type") not in WHOLE_VMDK:
        raise Refused(f"cannot import {file}: a VMDK of kind {details.get('create-type')} names other files")
    if "backing-filename" in answer or "data-file" in details:
        raise Refused(f"cannot import {file}: it names other files")
    size = answer["virtual-size"]
    if not 0 < size <= largest:
        raise Refused(f"cannot import {file}: its virtual size is {size} bytes")
    if kind == "qcow2":  # one that was cut short would read as zeros
        _probe(file, "check", "-q", "-f", "qcow2", accept=SOUND)
    return ImageFile(str(kind), int(size))


def _check_header(file: Path, header: bytes) -> None:
    """Refuse what would make qemu-img open other files even to describe it (CVE-2024-4467)."""
    outside = False
    if header.startswith(QCOW2_MAGIC):
        backing, incompatible = struct.unpack(">Q56xQ", header[8:80].ljust(72, b"\0"))
        outside = backing != 0 or (header[4:8] != b"\0\0\0\2" and incompatible & EXTERNAL_DATA != 0)
    elif header.startswith(b"KDMV"):
        (capacity,) = struct.unpack("<Q", header[12:20].ljust(8, b"\0"))
        outside = capacity == 0  # then QEMU follows the embedded descriptor
    elif header.startswith(b"# Disk DescriptorFile") or b"createType=" in header:
        outside = True
    if outside:
        raise Refused(f"cannot import {file}: it names other files")


def _probe(file: Path, *question: str, accept: tuple[int, ...] = (0,)) -> str:
    # A hostile header may ask for huge tables: the probe has bounded memory and time.
    limits = ("prlimit", f"--as={PROBE_MEMORY}", f"--cpu={PROBE_CPU_SECONDS}")
    try:
        return run(*limits, "qemu-img", *question, str(file.resolve()), accept=accept)
    except DriverError as error:
        raise Refused(f"cannot import {file}: {error}") from error

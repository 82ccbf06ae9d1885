"""Disks and snapshots as qcow2 files in one directory, local or shared by hosts.

``disks/ID.qcow2`` is a disk, ``snapshots/ID.qcow2`` a snapshot, and ``sources/ID.qcow2`` a second name (hard link) of
the snapshot that disk ID is a thin clone of. So the file system counts the clones: a removed snapshot loses its own
name at once, and its data with the last clone. It takes a file system with hard links (ext4, XFS, NFS); ext4 allows
65,000 clones of one snapshot. Files are made as ``ID.*.partial`` and renamed once whole, so a crash leaves no half
disk: what it leaves counts as the disk's or the snapshot's own until that is made again or removed.
"""

import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.drivers.base import CALL_LIMIT, Disk, DriverError, Location, Refused

GIB = 2**30
LARGEST_GIB = 64 * 1024
FORMATS = {"raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi"}
WHOLE_VMDK = {"monolithicSparse", "streamOptimized"}
"""The VMDK kinds that are one file; the others name their extents' files."""
QCOW2_MAGIC = b"QFI\xfb"
EXTERNAL_DATA = 4
"""The bit of a qcow2 header's incompatible features that says: the data is in another file (qcow2 specification)."""
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SOUND = (0, 3)
"""What qemu-img check answers for a qcow2 file without errors; 3: with leaked clusters, which only waste space."""
PROBE_MEMORY = 2**30
PROBE_CPU_SECONDS = 30


class Qcow2:
    """Storage in ``directory``. Files are the writer's own: libvirt gives a running machine's files to QEMU's user."""

    def __init__(self, directory: Path) -> None:
        """Make the directory; its mode lets QEMU's user pass but not list."""
        self._directory = directory.absolute()
        self._disks = self._directory / "disks"
        self._snapshots = self._directory / "snapshots"
        self._sources = self._directory / "sources"
        for room in (self._directory, self._disks, self._snapshots, self._sources):
            room.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # a directory that an administrator made is left as it is
                room.chmod(0o711)

    def ensure_disk(self, disk: Disk) -> None:
        """Make or grow a disk; raise Refused for one smaller than it is or than its source.

        A disk that a running machine uses cannot be grown here (DriverError: QEMU has locked it).
        """
        path = self._disk_path(disk.id)
        if not 1 <= disk.size_gib <= LARGEST_GIB:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: 1 to {LARGEST_GIB} are possible")
        if path.exists():
            self._grow(path, disk)
        elif disk.source is None:
            with _whole_file(path) as partial:
                _run("qemu-img", "create", "-q", "-f", "qcow2", str(partial), f"{disk.size_gib}G")
        else:
            self._clone(path, disk, disk.source)

    def remove_disk(self, id: str) -> None:
        """Forget a disk; with the last clone of a removed snapshot goes the snapshot's data."""
        _remove_whole(self._disk_path(id))
        _remove_whole(self._source_path(id))

    def list_disks(self) -> set[str]:
        """Return the disks, and those that a crash left unfinished."""
        return _listed(self._disks) | _listed(self._sources)

    def locate_disk(self, id: str) -> Location:
        """Return the absolute path; raise DriverError when there is no such disk."""
        path = self._disk_path(id)
        if not path.exists():
            raise DriverError(f"there is no disk {id}")
        return Location("file", str(path), "qcow2")

    def import_snapshot(self, id: str, file: Path) -> int:
        """Convert an image (raw or ISO, qcow2, vmdk, vhd, vhdx, vdi); return its virtual size in GiB, rounded up.

        A snapshot that is there already is kept as it is. Converting a large image takes longer than CALL_LIMIT:
        call it where nothing else waits, not from a step.
        """
        path = self._snapshot_path(id)
        if not path.exists():
            image = _check_image(file)
            with _whole_file(path) as partial:
                _run("qemu-img", "convert", "-f", image, "-O", "qcow2", str(file.resolve()), str(partial), limit=None)
        return -(-_virtual_bytes(path) // GIB)

    def remove_snapshot(self, id: str) -> None:
        _remove_whole(self._snapshot_path(id))

    def list_snapshots(self) -> set[str]:
        """Return the snapshots, and those whose import is under way or was left unfinished by a crash."""
        return _listed(self._snapshots)

    def free_gib(self) -> int:
        room = os.statvfs(self._directory)
        return room.f_bavail * room.f_frsize // GIB

    def _clone(self, path: Path, disk: Disk, source: str) -> None:
        link = self._source_path(disk.id)
        self._link_source(link, self._snapshot_path(source))
        smallest = _virtual_bytes(link)
        if disk.size_gib * GIB < smallest:
            _remove(link)
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: its source has {smallest} bytes")
        with _whole_file(path) as partial:
            base = ("-b", str(link), "-F", "qcow2")
            _run("qemu-img", "create", "-q", "-f", "qcow2", *base, str(partial), f"{disk.size_gib}G")

    def _link_source(self, link: Path, snapshot: Path) -> None:
        partial = _partial_name(link)
        try:
            partial.hardlink_to(snapshot)
            partial.rename(link)  # replaces what a crash may have left there
        except FileNotFoundError as error:
            raise DriverError(f"there is no snapshot {snapshot.stem}") from error
        except OSError as error:
            raise DriverError(f"cannot link {link} to {snapshot}: {error}") from error
        finally:
            _remove(partial)  # renaming to another name of the same file does nothing (POSIX)

    def _grow(self, path: Path, disk: Disk) -> None:
        wanted, present = disk.size_gib * GIB, _virtual_bytes(path)
        if wanted < present:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has {present} bytes")
        if wanted > present:
            _run("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(wanted))

    def _disk_path(self, id: str) -> Path:
        return self._disks / _file_name(id)

    def _snapshot_path(self, id: str) -> Path:
        return self._snapshots / _file_name(id)

    def _source_path(self, id: str) -> Path:
        return self._sources / _file_name(id)


def _file_name(id: str) -> str:
    if not SAFE_ID.fullmatch(id):
        raise Refused(f"{id!r} cannot be a file's name")
    return f"{id}.qcow2"


def _partial_name(path: Path) -> Path:
    return path.with_name(f"{path.stem}.{uuid4().hex}.partial")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DriverError(f"cannot remove {path}: {error}") from error


def _partials_of(path: Path) -> Iterator[Path]:
    return path.parent.glob(f"{path.stem}.*.partial")


def _remove_whole(path: Path) -> None:
    """Remove a file and what crashes left of it. An id is one writer's at a time: its task's."""
    for each in (path, *_partials_of(path)):
        _remove(each)


def _listed(room: Path) -> set[str]:
    """Return the ids of whole and of partial files."""
    whole = {path.stem for path in room.glob("*.qcow2")}
    return whole | {path.name.rsplit(".", 2)[0] for path in room.glob("*.partial")}


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes ``path`` once the block succeeds and the data is on the disk."""
    for left in _partials_of(path):
        _remove(left)
    partial = _partial_name(path)
    try:
        partial.touch(mode=0o640)
        yield partial
        partial.chmod(0o640)
        _sync(partial)
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise DriverError(f"cannot write {path}: {error}") from error
    finally:
        _remove(partial)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _virtual_bytes(path: Path) -> int:
    """Read the size of one of our own files from its header, also while QEMU has it open."""
    try:
        with path.open("rb") as stream:
            magic, size = struct.unpack(">4s20xQ", stream.read(32))
    except (OSError, struct.error) as error:
        raise DriverError(f"cannot read {path}: {error}") from error
    if magic != QCOW2_MAGIC:
        raise DriverError(f"{path} is not a qcow2 file")
    return int(size)


def _check_image(file: Path) -> str:
    """Return the format of a stranger's image; raise Refused unless it is whole in itself and of a known kind."""
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
    if not 0 < size <= LARGEST_GIB * GIB:
        raise Refused(f"cannot import {file}: its virtual size is {size} bytes")
    if kind == "qcow2":  # one that was cut short would read as zeros
        _probe(file, "check", "-q", "-f", "qcow2", accept=SOUND)
    return str(kind)


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
        return _run(*limits, "qemu-img", *question, str(file.resolve()), accept=accept)
    except DriverError as error:
        raise Refused(f"cannot import {file}: {error}") from error


def _run(*command: str, limit: float | None = CALL_LIMIT, accept: tuple[int, ...] = (0,)) -> str:
    """Run a program for at most ``limit`` seconds; raise DriverError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"cannot run {command[0]}: {error}") from error
    if done.returncode not in accept:
        raise DriverError(done.stderr.strip() or f"{command[0]} failed with {done.returncode}")
    return done.stdout

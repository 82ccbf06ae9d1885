"""Disks and snapshots as images (RBD) in a pool of a Ceph cluster.

A disk is an image, a snapshot of it one of the image's snapshots, and a clone an image upon such a snapshot: nothing is
copied. Which of them are whose, an index in the pool says (see ``rbd_index``): a copy of a snapshot is one more entry,
and an image is removed when no entry needs it. What clones need of it then, Ceph keeps until they are gone.
"""

import base64
import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.ceph.session import Calls, Ceph, CephError, secret_uuid
from engine.drivers.base import CALL_LIMIT, Cluster, Disk, DriverError, Location, Refused
from engine.drivers.disk_images import GIB, LARGEST_GIB, SAFE_ID, ImageFile, check_image
from engine.drivers.programs import TookTooLong, run
from engine.drivers.rbd_drafts import Draft, check_block
from engine.drivers.rbd_index import Index, Kind

PATIENCE = CALL_LIMIT - 5
"""Seconds for all that one call of the driver asks of Ceph."""
MONITORS_HOLD = 60.0
"""Seconds for which the addresses of the monitors are believed."""
SECTOR = 512
WHOLE = "whole"
"""The snapshot of an image that an image file was converted to, or blocks were written into."""
BLOCK_ORDER = 19
"""An image that blocks are written into has objects of the size of a block, 2 to that, so each is known by itself."""
FILLING = 20.0
"""Seconds for which blocks are written into an image in one call."""


class Rbd:
    """Storage in the pool of ``ceph``; ``owner`` tells the disks of one deployment from those of another in it."""

    def __init__(self, ceph: Ceph, owner: str) -> None:
        self._ceph = ceph
        self._owner = owner
        self._cluster: tuple[float, Cluster] | None = None

    def ensure_disk(self, disk: Disk) -> None:
        """Make or grow a disk; raise Refused for one smaller than it is or than its source.

        A disk that a running machine uses cannot be grown here (DriverError): its guest would not see it.
        """
        _check_id(disk.id)
        _check_open(disk.id, disk.key)
        if not 1 <= disk.size_gib <= LARGEST_GIB:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: 1 to {LARGEST_GIB} are possible")
        with self._asking(f"cannot make disk {disk.id}") as (ceph, index):
            image = index.find("disk", disk.id)
            if image is not None:
                _grow(ceph, disk, image)
                return
            self._sweep(ceph, index, "disk", disk.id)
            self._make(ceph, index, disk)

    def remove_disk(self, id: str) -> None:
        """Forget a disk; raise DriverError while a running machine uses it."""
        _check_id(id)
        with self._asking(f"cannot remove disk {id}") as (ceph, index):
            image = index.find("disk", id)
            if image is not None and _is_used(ceph, image):
                raise DriverError(f"cannot remove disk {id}: a running machine uses it")
            index.withdraw("disk", id)
            self._sweep(ceph, index, "disk", id)

    def list_disks(self) -> set[str]:
        """Return the disks, and those that a crash left unfinished."""
        with self._asking("cannot list disks") as (_, index):
            return index.ids("disk")

    def locate_disk(self, id: str) -> Location:
        """Return the pool and the image, with the cluster's monitors as they are now."""
        with self._asking(f"cannot locate disk {id}") as (ceph, index):
            image = index.present("disk", id)
            return Location("rbd", f"{self._ceph.pool}/{image}", "raw", cluster=self._reach(ceph))

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Snapshot the disk's image. A running machine's QEMU does that itself, at once: it need not be moved."""
        _check_id(id)
        _check_open(id, key)
        with self._asking(f"cannot make snapshot {id}") as (ceph, index):
            if index.find("snapshot", id) is not None:
                return
            image = index.present("disk", disk_id)
            self._sweep(ceph, index, "snapshot", id)
            key, snap = index.begin_snapshot(id, disk_id, image)
            ceph("take_snapshot", name=image, snap=snap)
            index.complete(key, f"{image}@{snap}", {f"disk.{disk_id}": image})

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        _check_id(id)
        _check_open(id, key)
        with self._asking(f"cannot copy snapshot {source_id}") as (_, index):
            if index.find("snapshot", id) is None and not index.copy(id, source_id):
                raise DriverError(f"snapshot {id} or {source_id} was changed meanwhile")

    def snapshot_size_gib(self, id: str) -> int:
        with self._asking(f"cannot measure snapshot {id}") as (ceph, index):
            image, snap = index.present("snapshot", id).split("@")
            return -(-int(_describe(ceph, image, snap)["size"]) // GIB)

    def snapshot_bytes(self, id: str) -> int:
        """Return the bytes of the objects (4 MiB) that were written since the disk's snapshot before it."""
        with self._asking(f"cannot measure snapshot {id}") as (ceph, index):
            image, snap = index.present("snapshot", id).split("@")
            return int(ceph("written", name=image, snap=snap))

    def import_snapshot(self, id: str, file: Path) -> int:
        """Convert an image (raw or ISO, qcow2, vmdk, vhd, vhdx, vdi); return its virtual size in GiB, rounded up.

        A snapshot that is there already is kept as it is. Converting a large image takes longer than CALL_LIMIT:
        call it where nothing else waits, not from a step.
        """
        _check_id(id)
        with self._asking(f"cannot import snapshot {id}") as (_, index):
            there = index.find("snapshot", id) is not None
        if not there:
            self._import(id, check_image(file), file)
        return self.snapshot_size_gib(id)

    def adopt_snapshot(self, id: str, file: Path) -> None:
        """Copy the file; raise Refused for one that holds more than can be copied in CALL_LIMIT seconds."""
        _check_id(id)
        with self._asking(f"cannot keep snapshot {id}") as (_, index):
            there = index.find("snapshot", id) is not None
        if not there:
            try:
                self._import(id, check_image(file), file, PATIENCE)
            except TookTooLong as error:
                raise Refused(f"cannot keep {file}: it holds more than can be copied in a minute") from error

    def remove_snapshot(self, id: str) -> None:
        _check_id(id)
        with self._asking(f"cannot remove snapshot {id}") as (ceph, index):
            index.withdraw("snapshot", id)
            self._sweep(ceph, index, "snapshot", id)
            if index.has_draft(id):
                Draft(ceph, self._owner, id).remove()
                index.forget_draft(id)

    def list_snapshots(self) -> set[str]:
        """Return the snapshots, drafts, and those whose import is under way or was left unfinished by a crash."""
        with self._asking("cannot list snapshots") as (_, index):
            return index.ids("snapshot")

    def free_gib(self) -> int:
        with self._asking("cannot measure the pool") as (ceph, _):
            return int(ceph("room")) // GIB

    # -- block by block ------------------------------------------------------------

    def snapshot_extents(
        self, id: str, offset: int, length: int, since: str | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield whole objects: of 4 MiB, but for those of a snapshot that was written block by block."""
        with self._asking(f"cannot map snapshot {id}") as (ceph, index):
            image, snap = index.present("snapshot", id).split("@")
            if since is None:
                found = ceph("extents", name=image, snap=snap, offset=offset, length=length)
            else:
                other = index.present("snapshot", since).split("@")
                found = ceph("differences", one=[image, snap], other=other, offset=offset, length=length)
        if found is None:
            raise Refused("the snapshots have nothing in common")
        return iter([(start, size) for start, size in found])

    def read_snapshot(self, id: str, offset: int, length: int) -> bytes:
        with self._asking(f"cannot read snapshot {id}") as (ceph, index):
            image, snap = index.present("snapshot", id).split("@")
            data = base64.b64decode(ceph("read", name=image, snap=snap, offset=offset, length=length))
        return data.ljust(length, b"\0")

    def write_draft(self, id: str, offset: int, data: bytes) -> None:
        _check_id(id)
        check_block(offset, data)
        with self._asking(f"cannot write snapshot {id}") as (ceph, index):
            index.note_draft(id)
            Draft(ceph, self._owner, id).write(offset, data)

    def draft_digests(self, id: str) -> Iterator[tuple[int, bytes]]:
        with self._asking(f"cannot read the sums of snapshot {id}") as (ceph, _):
            yield from Draft(ceph, self._owner, id).digests()

    def complete_draft(self, id: str, size_gib: int, parent: str | None) -> bool:
        """Write the blocks into an image, for a while; say whether it is whole."""
        _check_id(id)
        with self._asking(f"cannot complete snapshot {id}") as (ceph, index):
            draft = Draft(ceph, self._owner, id)
            if index.find("snapshot", id) is None:
                index.note_draft(id)
                key, image = self._begun(ceph, index, draft, Disk(id, size_gib, parent))
                until = time.monotonic() + FILLING
                for _ in draft.fill(image):
                    if time.monotonic() > until:
                        return False
                ceph("take_snapshot", name=image, snap=WHOLE)
                index.complete(key, f"{image}@{WHOLE}")
            draft.remove()
            index.forget_draft(id)
            return True

    def _begun(self, ceph: Calls, index: Index, draft: Draft, wanted: Disk) -> tuple[str, str]:
        """Return the key and the name of the image that a draft's blocks are written into."""
        if draft.position() is not None:
            ((key, value),) = index.parts("snapshot", wanted.id).items()
            return key, value.partition("@")[0]
        self._sweep(ceph, index, "snapshot", wanted.id)
        begun = self._make_image(ceph, index, "snapshot", wanted, BLOCK_ORDER)
        draft.remember(0)
        return begun

    # -- how ---------------------------------------------------------------------

    @contextmanager
    def _asking(self, what: str) -> Iterator[tuple[Calls, Index]]:
        ceph = self._ceph.calls(PATIENCE)
        try:
            yield ceph, Index(ceph, self._owner)
        except CephError as error:
            raise DriverError(f"{what}: {error.strerror}") from error

    def _make(self, ceph: Calls, index: Index, disk: Disk) -> None:
        key, image = self._make_image(ceph, index, "disk", disk)
        index.complete(key, image)

    def _make_image(
        self, ceph: Calls, index: Index, kind: Kind, disk: Disk, order: int | None = None
    ) -> tuple[str, str]:
        """Make the image of a disk, or of a snapshot that is to be; return its key in the index and its name."""
        size, snap_name = disk.size_gib * GIB, WHOLE if kind == "snapshot" else ""
        if disk.source is None:
            key, image = index.begin_image(kind, disk.id, snap_name)
            ceph("create", name=image, size=size, order=order)
            return key, image
        parent, snap = index.present("snapshot", disk.source).split("@")
        smallest = int(_describe(ceph, parent, snap)["size"])
        if size < smallest:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: its source has {smallest} bytes")
        key, image = index.begin_image(kind, disk.id, snap_name)
        ceph("clone", parent=parent, snap=snap, name=image, size=size, order=order)
        return key, image

    def _import(self, id: str, found: ImageFile, file: Path, limit: float | None = None) -> None:
        what = f"cannot import snapshot {id}"
        with self._asking(what) as (ceph, index):
            self._sweep(ceph, index, "snapshot", id)
            key, image = index.begin_image("snapshot", id, snap=WHOLE)
            ceph("create", name=image, size=-(-found.virtual_bytes // SECTOR) * SECTOR)
        try:
            convert = ("qemu-img", "convert", "-n", "--target-is-zero", "-f", found.format, "-O", "raw")
            run(*convert, str(file.resolve()), self._as_file(image), limit=limit)
        except BaseException:
            with suppress(DriverError), self._asking(what) as (ceph, index):
                self._sweep(ceph, index, "snapshot", id)
            raise
        with self._asking(what) as (ceph, index):
            ceph("take_snapshot", name=image, snap=WHOLE)
            index.complete(key, f"{image}@{WHOLE}")

    def _as_file(self, image: str) -> str:
        """Return an image as QEMU names it, where it takes a file's name (block/rbd.c)."""
        options = {"id": self._ceph.user, "conf": str(self._ceph.conf)}
        return ":".join([f"rbd:{self._ceph.pool}/{image}", *(f"{name}={_escaped(options[name])}" for name in options)])

    def _sweep(self, ceph: Calls, index: Index, kind: Kind, id: str) -> None:
        """Remove what may be there of a disk or a snapshot besides what is whole, as far as nothing else needs it."""
        for key, value in index.parts(kind, id).items():
            image, _, snap = value.partition("@")
            needed = index.needs(image)
            if not needed:
                ceph("discard", name=image)
            elif snap and value not in needed:
                ceph("drop_snapshot", name=image, snap=snap)
            index.forget(key)

    def _reach(self, ceph: Calls) -> Cluster:
        if self._cluster is None or time.monotonic() > self._cluster[0]:
            found = ceph("reach")
            monitors = tuple(_host_and_port(address) for address in found["monitors"])
            cluster = Cluster(monitors, self._ceph.user, secret_uuid(found["fsid"], self._ceph.user))
            self._cluster = (time.monotonic() + MONITORS_HOLD, cluster)
        return self._cluster[1]


def _check_id(id: str) -> None:
    if not SAFE_ID.fullmatch(id):
        raise Refused(f"{id!r} cannot be part of an image's name")


def _check_open(id: str, key: str | None) -> None:
    if key:
        raise Refused(f"cannot encrypt {id}: disks in Ceph pools are not encrypted here")


def _describe(ceph: Calls, image: str, snap: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = ceph("describe", name=image, snap=snap)
    return found


def _is_used(ceph: Calls, image: str) -> bool:
    try:
        return bool(_describe(ceph, image)["watched"])
    except CephError as error:
        if error.errno == errno.ENOENT:  # somebody else removed it
            return False
        raise


def _grow(ceph: Calls, disk: Disk, image: str) -> None:
    wanted, present = disk.size_gib * GIB, _describe(ceph, image)
    if wanted < present["size"]:
        raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has {present['size']} bytes")
    if wanted > present["size"]:
        if present["watched"]:
            raise DriverError(f"cannot grow disk {disk.id}: a running machine uses it")
        ceph("resize", name=image, size=wanted)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in r"\:@=" else letter for letter in text)

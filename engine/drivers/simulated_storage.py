"""The simulated cloud's disks and snapshots."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from engine.drivers.base import Disk, DriverError, Location, Refused
from engine.drivers.simulated_blocks import Blocks
from engine.drivers.simulated_faults import Faults

GIB = 2**30
QCOW2_MAGIC = b"QFI\xfb"


class SimulatedStorage:
    """Disks and snapshots of one zone; only their sizes exist, and what was written into snapshots block by block."""

    def __init__(self, faults: Faults, capacity_gib: int) -> None:
        self._faults = faults
        self._free_gib = capacity_gib
        self.disks: dict[str, Disk] = {}
        self._places: dict[str, str] = {}
        self._snapshots: dict[str, int] = {}
        self._blocks = Blocks()
        self.snapshot_keys: dict[str, str | None] = {}
        self.in_use: Callable[[str], bool] = lambda disk_id: False

    def ensure_disk(self, disk: Disk) -> None:
        """Raise DriverError without space, and for one that would grow while a running machine has it."""
        with self._faults.change("ensure_disk"):
            known = self.disks.get(disk.id)
            if known is None and disk.source is not None and disk.source not in self._snapshots:
                raise DriverError(f"cannot make disk {disk.id}: there is no snapshot {disk.source}")
            smallest = known.size_gib if known else self._snapshots.get(disk.source or "", 1)
            if disk.size_gib < smallest:
                raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has at least {smallest} GiB")
            if known and disk.size_gib > known.size_gib and self.in_use(disk.id):
                raise DriverError(f"cannot grow disk {disk.id}: a running machine uses it")
            self._check_key(disk.source or "", disk.key, f"cannot make disk {disk.id}")
            self._take(disk)
            if known is None:
                self._blocks.derive(disk.id, disk.source)

    def _check_key(self, snapshot_id: str, key: str | None, what: str) -> None:
        """Raise Refused for another key than that of an encrypted snapshot, as one cannot be read with it."""
        own = self.snapshot_keys.get(snapshot_id)
        if own is not None and own != key:
            raise Refused(f"{what}: its source has another key")

    def resize(self, id: str, size_gib: int) -> None:
        """Grow a disk by way of the running machine that has it; the caller holds the lock."""
        disk = self.disks[id]
        if size_gib < disk.size_gib:
            raise Refused(f"cannot make disk {id} of {size_gib} GiB: it has {disk.size_gib} GiB")
        self._take(replace(disk, size_gib=size_gib))

    def _take(self, disk: Disk) -> None:
        known = self.disks.get(disk.id)
        more = disk.size_gib - (known.size_gib if known else 0)
        if more > self._free_gib:
            raise DriverError(f"cannot make disk {disk.id}: {more} GiB wanted, {self._free_gib} GiB free")
        self._free_gib -= more
        self.disks[disk.id] = disk

    def remove_disk(self, id: str) -> None:
        """Raise DriverError while a running machine uses it, as rbd and lvm do."""
        with self._faults.change("remove_disk"):
            if self.in_use(id):
                raise DriverError(f"cannot remove disk {id}: a running machine uses it")
            disk = self.disks.pop(id, None)
            self._free_gib += disk.size_gib if disk else 0
            self._places.pop(id, None)
            self._blocks.forget(id)

    def list_disks(self) -> set[str]:
        with self._faults.lock:
            return set(self.disks)

    def locate_disk(self, id: str) -> Location:
        if id not in self.disks:
            raise DriverError(f"there is no disk {id}")
        return Location("none", self._places.get(id, id))

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Give the disk a new place, as a backend of layered files does: who goes on with the old one is told so."""
        with self._faults.change("ensure_snapshot"):
            if id in self._snapshots:
                return
            if disk_id not in self.disks:
                raise DriverError(f"there is no disk {disk_id}")
            self._snapshots[id] = self.disks[disk_id].size_gib
            self._blocks.derive(id, disk_id)
            self.snapshot_keys[id] = key
            self._places[disk_id] = f"{disk_id}.{uuid4().hex[:8]}"

    def compact(self, disk_id: str, beyond: int, key: str | None = None) -> None:
        """Do nothing: there are no layers."""
        with self._faults.change("compact"):
            self.locate_disk(disk_id)

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        with self._faults.change("copy_snapshot"):
            if id not in self._snapshots:
                self._check_key(source_id, key, f"cannot copy snapshot {source_id}")
                self._snapshots[id] = self.snapshot_size_gib(source_id)
                self._blocks.derive(id, source_id)
                self.snapshot_keys[id] = key

    def locate_snapshot(self, id: str) -> Location:
        self.snapshot_size_gib(id)
        return Location("none", id)

    def snapshot_size_gib(self, id: str) -> int:
        if id not in self._snapshots:
            raise DriverError(f"there is no snapshot {id}")
        return self._snapshots[id]

    def snapshot_bytes(self, id: str) -> int:
        """Return its size: one that exists only by its size has no holes."""
        return self.snapshot_size_gib(id) * GIB

    def import_snapshot(self, id: str, file: Path) -> int:
        """Read the size from a qcow2 header; any other file counts as a raw image of its length."""
        with self._faults.change("import_snapshot"):
            if id not in self._snapshots:
                self._snapshots[id], self.snapshot_keys[id] = -(-_virtual_bytes(file) // GIB), None
                self._blocks.derive(id, None)
            return self._snapshots[id]

    def adopt_snapshot(self, id: str, file: Path, key: str | None = None) -> None:
        with self._faults.change("adopt_snapshot"):
            if id not in self._snapshots:
                if _is_encrypted(file) != bool(key):
                    raise Refused(f"cannot keep snapshot {id}: its file and its key do not fit")
                self._snapshots[id], self.snapshot_keys[id] = -(-_virtual_bytes(file) // GIB), key
                self._blocks.derive(id, None)

    def add_snapshot(self, id: str, size_gib: int) -> None:
        """Know a snapshot from before: a simulator forgets all when its process ends, and its database does not."""
        self._snapshots[id] = size_gib
        self._blocks.derive(id, None)

    def remove_snapshot(self, id: str) -> None:
        with self._faults.change("remove_snapshot"):
            self._snapshots.pop(id, None)
            self._blocks.forget(id)
            self.snapshot_keys.pop(id, None)

    def list_snapshots(self) -> set[str]:
        with self._faults.lock:
            return set(self._snapshots) | self._blocks.drafts()

    def snapshot_extents(
        self, id: str, offset: int, length: int, since: str | None = None, key: str | None = None
    ) -> Iterator[tuple[int, int]]:
        with self._faults.lock:
            self._check_key(id, key, f"cannot read snapshot {id}")
            return iter(list(self._blocks.extents(id, offset, length, since)))

    def read_snapshot(self, id: str, offset: int, length: int, key: str | None = None) -> bytes:
        with self._faults.lock:
            self._check_key(id, key, f"cannot read snapshot {id}")
            return self._blocks.read(id, offset, length)

    def write_draft(self, id: str, offset: int, data: bytes, key: str | None = None) -> None:
        with self._faults.change("write_draft"):
            self._blocks.write(id, offset, data)

    def draft_digests(self, id: str, key: str | None = None) -> Iterator[tuple[int, bytes]]:
        with self._faults.lock:
            return iter(list(self._blocks.digests(id)))

    def complete_draft(self, id: str, size_gib: int, parent: str | None, key: str | None = None) -> bool:
        with self._faults.change("complete_draft"):
            if id not in self._snapshots:
                if parent and self.snapshot_keys.get(parent, key) != key:  # one from before has a key nobody knows
                    raise Refused(f"cannot complete {id}: its parent has another key")
                self._blocks.complete(id, parent)
                self._snapshots[id], self.snapshot_keys[id] = size_gib, key
            return True

    def free_gib(self) -> int:
        return self._free_gib


def _is_encrypted(file: Path) -> bool:
    """Read it from a qcow2 header; any other file is not."""
    with file.open("rb") as stream:
        header = stream.read(36)
    return header.startswith(QCOW2_MAGIC) and header[32:36] != bytes(4)


def _virtual_bytes(file: Path) -> int:
    try:
        with file.open("rb") as stream:
            header = stream.read(80)
        size = file.stat().st_size
    except OSError as error:
        raise Refused(f"cannot read image {file}: {error}") from error
    if header.startswith(QCOW2_MAGIC) and len(header) == 80:
        backing, size, incompatible = struct.unpack(">Q8xQ40xQ", header[8:80])
        if backing or incompatible & 4:
            raise Refused(f"image {file} names other files")
    if size == 0:
        raise Refused(f"image {file} is empty")
    return int(size)

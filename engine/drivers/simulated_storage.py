"""The simulated cloud's disks and snapshots."""

import struct
from collections.abc import Callable
from pathlib import Path

from engine.drivers.base import Disk, DriverError, Location, Refused
from engine.drivers.simulated_faults import Faults

GIB = 2**30
QCOW2_MAGIC = b"QFI\xfb"


class SimulatedStorage:
    """Disks and snapshots of one zone; only their sizes exist."""

    def __init__(self, faults: Faults, capacity_gib: int) -> None:
        self._faults = faults
        self._free_gib = capacity_gib
        self.disks: dict[str, Disk] = {}
        self._snapshots: dict[str, int] = {}
        self.in_use: Callable[[str], bool] = lambda disk_id: False

    def ensure_disk(self, disk: Disk) -> None:
        """Raise Refused for a disk that would shrink or be smaller than its source, DriverError without space."""
        with self._faults.change("ensure_disk"):
            known = self.disks.get(disk.id)
            if known is None and disk.source is not None and disk.source not in self._snapshots:
                raise DriverError(f"cannot make disk {disk.id}: there is no snapshot {disk.source}")
            smallest = known.size_gib if known else self._snapshots.get(disk.source or "", 1)
            if disk.size_gib < smallest:
                raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has at least {smallest} GiB")
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

    def list_disks(self) -> set[str]:
        with self._faults.lock:
            return set(self.disks)

    def locate_disk(self, id: str) -> Location:
        if id not in self.disks:
            raise DriverError(f"there is no disk {id}")
        return Location("none", id)

    def import_snapshot(self, id: str, file: Path) -> int:
        """Read the size from a qcow2 header; any other file counts as a raw image of its length."""
        with self._faults.change("import_snapshot"):
            if id not in self._snapshots:
                self._snapshots[id] = -(-_virtual_bytes(file) // GIB)
            return self._snapshots[id]

    def add_snapshot(self, id: str, size_gib: int) -> None:
        """Know a snapshot from before: a simulator forgets all when its process ends, and its database does not."""
        self._snapshots[id] = size_gib

    def remove_snapshot(self, id: str) -> None:
        with self._faults.change("remove_snapshot"):
            self._snapshots.pop(id, None)

    def list_snapshots(self) -> set[str]:
        with self._faults.lock:
            return set(self._snapshots)

    def free_gib(self) -> int:
        return self._free_gib


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

"""Disks and snapshots as thin volumes of an LVM thin pool of this host (see lvmthin(7)).

A disk is the volume OWNER.disk.ID, a snapshot OWNER.snapshot.ID, a thin snapshot of the disk's: the two share what
neither has written since, and either may go first. Clones and copies are such snapshots too: nothing is copied. Each
volume has its deployment's tag, by which several can share a pool.

A volume that an image or blocks are written into has one more part in its name until it is whole: what a crash leaves
counts as the snapshot's own until that is made again or removed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import uuid4

from engine.drivers.base import CALL_LIMIT, Disk, DriverError, Location, Refused
from engine.drivers.disk_images import GIB, LARGEST_GIB, SAFE_ID, check_image
from engine.drivers.programs import TookTooLong, run
from engine.drivers.raw_blocks import SPACE, Draft, check_block, read_at, that_differ, with_data

PATIENCE = CALL_LIMIT - 10
"""Seconds for which an image is copied in a call that others wait for."""
FIELDS = (
    "lv_name,lv_size,lv_tags,lv_active,lv_device_open,pool_lv,zero,data_percent,metadata_percent,"
    "lv_metadata_size,chunk_size"
)
LINE = "groundfog.line:"
"""How the tag begins by which snapshots are known to have come from one volume."""
ENTRY = 64
"""Bytes of a pool's metadata that a chunk of its data takes, by which LVM itself reckons (lvmthin(7))."""

Kind = Literal["disk", "snapshot"]


class Volume(NamedTuple):
    """A logical volume: a thin one, or the pool itself."""

    name: str
    size: int
    tags: frozenset[str]
    active: bool
    open: bool
    pool: str
    zeroes: bool
    full: float | None
    """Percent of it that has data; unknown while it is not active."""
    metadata_full: float | None
    metadata_size: int
    chunk: int

    @property
    def line(self) -> str:
        """What it has in common with all that it was made of, and that was made of it."""
        return next((tag.removeprefix(LINE) for tag in self.tags if tag.startswith(LINE)), "")


class Lvm:
    """Storage in ``pool`` (VG/POOL); ``owner`` tells the disks of one deployment from those of another in it."""

    def __init__(self, pool: str, owner: str) -> None:
        self._group, _, self._pool = pool.partition("/")
        self._owner = owner
        self._tag = f"groundfog:{owner}"

    # -- disks -------------------------------------------------------------------

    def ensure_disk(self, disk: Disk) -> None:
        """Make or grow a disk, also while a machine uses it; what its guest sees is Compute.resize_disk's."""
        name = self._name("disk", disk.id)
        _check_open(disk.id, disk.key)
        if not 1 <= disk.size_gib <= LARGEST_GIB:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: 1 to {LARGEST_GIB} are possible")
        with _doing(f"cannot make disk {disk.id}"):
            volumes = self._volumes()
            present = volumes.get(name)
            if present is None and disk.source is not None:
                present = self._present(volumes, "snapshot", disk.source)
                _check_size(disk, present, "its source has")
                self._snapshot(present, name, "-kn", "-ay")
            elif present is None:
                self._create(volumes, name, f"{disk.size_gib}g")
                return
            self._grow(disk, name, present.size)

    def remove_disk(self, id: str) -> None:
        """Forget a disk; raise DriverError while a running machine uses it."""
        self._remove("disk", id)

    def list_disks(self) -> set[str]:
        return self._ids("disk")

    def locate_disk(self, id: str) -> Location:
        """Return the device."""
        with _doing(f"cannot locate disk {id}"):
            device = self._active(self._present(self._volumes(), "disk", id))
        return Location("block", str(device), "raw")

    # -- snapshots ---------------------------------------------------------------

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Snapshot the disk at once, in use or not: the kernel stops its writes for that moment."""
        name = self._name("snapshot", id)
        _check_open(id, key)
        with _doing(f"cannot make snapshot {id}"):
            volumes = self._volumes()
            if name not in volumes:
                self._snapshot(self._present(volumes, "disk", disk_id), name)

    def compact(self, disk_id: str, beyond: int, key: str | None = None) -> None:
        """Do nothing but look whether it is there: thin volumes have no layers."""
        self.locate_disk(disk_id)

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        name = self._name("snapshot", id)
        _check_open(id, key)
        with _doing(f"cannot copy snapshot {source_id}"):
            volumes = self._volumes()
            if name not in volumes:
                self._snapshot(self._present(volumes, "snapshot", source_id), name)

    def locate_snapshot(self, id: str) -> Location:
        """Return the device."""
        with _doing(f"cannot locate snapshot {id}"):
            device = self._active(self._present(self._volumes(), "snapshot", id))
        return Location("block", str(device), "raw")

    def snapshot_size_gib(self, id: str) -> int:
        with _doing(f"cannot measure snapshot {id}"):
            return -(-self._present(self._volumes(), "snapshot", id).size // GIB)

    def snapshot_bytes(self, id: str) -> int:
        """Return the bytes that are mapped, to a hundredth of a percent, with those that it shares: LVM tells no more.

        It knows only of what is active: a snapshot is made so, and stays it.
        """
        with _doing(f"cannot measure snapshot {id}"):
            volume = self._present(self._volumes(), "snapshot", id)
            if volume.full is None:
                self._active(volume)
                volume = self._present(self._volumes(), "snapshot", id)
        return round(volume.size * (volume.full or 0) / 100)

    def import_snapshot(self, id: str, file: Path) -> int:
        """Convert an image (raw or ISO, qcow2, vmdk, vhd, vhdx, vdi); return its virtual size in GiB, rounded up.

        A snapshot that is there already is kept as it is. Converting a large image takes longer than CALL_LIMIT:
        call it where nothing else waits, not from a step.
        """
        self._import(id, file, None)
        return self.snapshot_size_gib(id)

    def adopt_snapshot(self, id: str, file: Path, key: str | None = None) -> None:
        """Copy the file; raise Refused for one that holds more than can be copied in a call."""
        _check_open(id, key)
        try:
            self._import(id, file, PATIENCE)
        except TookTooLong as error:
            raise Refused(f"cannot keep {file}: it holds more than can be copied in a minute") from error

    def remove_snapshot(self, id: str) -> None:
        self._remove("snapshot", id)

    def list_snapshots(self) -> set[str]:
        return self._ids("snapshot")

    def free_gib(self) -> int:
        """Return what the pool can still take: it is full when its metadata is, whatever room its data has."""
        with _doing("cannot measure the pool"):
            pool = self._volumes().get(self._pool)
            if pool is not None and pool.full is None:
                self._lvm("lvchange", "-ay", self._path(pool.name))
                pool = self._volumes().get(self._pool)
        if pool is None or pool.full is None or pool.metadata_full is None:
            raise DriverError(f"cannot measure the pool: {self._path(self._pool)} is no thin pool that is active")
        room = pool.size * (100 - pool.full) / 100
        entries = pool.metadata_size * (100 - pool.metadata_full) / 100 / ENTRY
        return int(min(room, entries * pool.chunk)) // GIB

    # -- block by block ------------------------------------------------------------

    def snapshot_extents(
        self, id: str, offset: int, length: int, since: str | None = None, key: str | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield blocks, all of which are read for it."""
        with _doing(f"cannot map snapshot {id}"):
            volumes = self._volumes()
            found = self._present(volumes, "snapshot", id)
            if since is None:
                return with_data(self._active(found), offset, length)
            other = self._present(volumes, "snapshot", since)
            if not found.line or found.line != other.line:
                raise Refused("the snapshots have nothing in common")
            return that_differ(self._active(found), self._active(other), offset, length)

    def read_snapshot(self, id: str, offset: int, length: int, key: str | None = None) -> bytes:
        with _doing(f"cannot read snapshot {id}"):
            device = Path(self._device(self._name("snapshot", id)))
            if not device.exists():
                device = self._active(self._present(self._volumes(), "snapshot", id))
            return read_at(device, offset, length)

    def write_draft(self, id: str, offset: int, data: bytes, key: str | None = None) -> None:
        _check_open(id, key)
        name = f"{self._name('snapshot', id)}.draft"
        check_block(offset, data)
        with _doing(f"cannot write snapshot {id}"):
            if not Path(self._device(name)).exists():
                volumes = self._volumes()
                if name in volumes:
                    self._active(volumes[name])
                else:
                    self._create(volumes, name, f"{SPACE}b")
            Draft(Path(self._device(name))).write(offset, data)

    def draft_digests(self, id: str, key: str | None = None) -> Iterator[tuple[int, bytes]]:
        with _doing(f"cannot read the sums of snapshot {id}"):
            volume = self._volumes().get(f"{self._name('snapshot', id)}.draft")
        return Draft(self._active(volume)).digests() if volume else iter(())

    def complete_draft(self, id: str, size_gib: int, parent: str | None, key: str | None = None) -> bool:
        """Write the blocks into a volume, for a while; say whether it is whole."""
        _check_open(id, key)
        name = self._name("snapshot", id)
        with _doing(f"cannot complete snapshot {id}"):
            volumes = self._volumes()
            draft, filled = volumes.get(f"{name}.draft"), f"{name}.filled"
            if name not in volumes:
                if filled not in volumes and parent is None:
                    self._create(volumes, filled, f"{size_gib}g")
                elif filled not in volumes:
                    self._snapshot(self._present(volumes, "snapshot", parent or ""), filled, "-kn", "-ay")
                volume = self._volumes()[filled]
                self._grow(Disk(id, size_gib), filled, volume.size)
                if draft and not Draft(self._active(draft)).fill(self._active(volume)):
                    return False
                self._finish(filled, name)
            if draft:
                self._lvm("lvremove", "-y", self._path(draft.name))
            return True

    # -- how ---------------------------------------------------------------------

    def _create(self, volumes: dict[str, Volume], name: str, size: str) -> None:
        pool = volumes.get(self._pool)
        if pool is None or not pool.zeroes:  # a guest would read what others have deleted
            raise DriverError(f"{self._path(self._pool)} is no thin pool that zeroes what it gives out")
        new = ("--type", "thin", "-V", size, "--thinpool", self._path(self._pool))
        line = ("--addtag", f"{LINE}{uuid4().hex}")
        self._lvm("lvcreate", *new, "-kn", "--addtag", self._tag, *line, "-n", name)

    def _snapshot(self, origin: Volume, name: str, *how: str) -> None:
        """Make a thin snapshot; unless told how else, LVM skips it when it activates others."""
        line = ("--addtag", f"{LINE}{origin.line}") if origin.line else ()
        self._lvm("lvcreate", "-s", *how, "--addtag", self._tag, *line, "-n", name, self._path(origin.name))

    def _active(self, volume: Volume) -> Path:
        """Return the device, after making sure of it: a restart of the host leaves some inactive."""
        if not volume.active:
            self._lvm("lvchange", "-ay", "-K", self._path(volume.name))
        return Path(self._device(volume.name))

    def _finish(self, partial: str, name: str) -> None:
        """Give a volume that is whole its name. Clones need it not to be active."""
        self._lvm("lvchange", "-an", "-ky", self._path(partial))
        self._lvm("lvrename", self._group, partial, name)

    def _grow(self, disk: Disk, name: str, size: int) -> None:
        wanted = disk.size_gib * GIB
        if wanted < size:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has {size} bytes")
        if wanted > size:
            self._lvm("lvextend", "-L", f"{wanted}b", self._path(name))

    def _import(self, id: str, file: Path, limit: float | None) -> None:
        name = self._name("snapshot", id)
        volumes = self._volumes()
        if name in volumes:
            return
        image = check_image(file)
        partial = f"{name}.{uuid4().hex[:8]}"
        self._create(volumes, partial, f"{-(-image.virtual_bytes // 512) * 512}b")
        try:
            # Past the host's cache, and onto the disk when it ends; the pool gives out zeros.
            convert = ("qemu-img", "convert", "-n", "--target-is-zero", "-t", "none", "-f", image.format, "-O", "raw")
            run(*convert, str(file.resolve()), self._device(partial), limit=limit)
            self._finish(partial, name)
        except BaseException:
            with suppress(DriverError):
                self._lvm("lvremove", "-y", self._path(partial))
            raise

    def _remove(self, kind: Kind, id: str) -> None:
        name = self._name(kind, id)
        with _doing(f"cannot remove {kind} {id}"):
            for volume in self._volumes().values():
                if volume.name != name and not volume.name.startswith(f"{name}."):
                    continue
                if volume.open:
                    raise DriverError("it is in use")
                self._lvm("lvremove", "-y", self._path(volume.name))

    def _ids(self, kind: Kind) -> set[str]:
        with _doing(f"cannot list {kind}s"):
            names = [volume.name for volume in self._volumes().values() if self._tag in volume.tags]
        prefix = f"{self._owner}.{kind}."
        return {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}

    def _present(self, volumes: dict[str, Volume], kind: Kind, id: str) -> Volume:
        found = volumes.get(self._name(kind, id))
        if found is None:
            raise DriverError(f"there is no {kind} {id}")
        return found

    def _volumes(self) -> dict[str, Volume]:
        """Return the pool, and all volumes in it, by name."""
        report = ("--reportformat", "json", "--units", "b", "--nosuffix", "--binary", "-o", FIELDS, self._group)
        volumes = read_volumes(self._lvm("lvs", *report))
        return {each.name: each for each in volumes if self._pool in (each.pool, each.name)}

    def _name(self, kind: Kind, id: str) -> str:
        if not SAFE_ID.fullmatch(id):
            raise Refused(f"{id!r} cannot be part of a volume's name")
        return f"{self._owner}.{kind}.{id}"

    def _path(self, name: str) -> str:
        return f"{self._group}/{name}"

    def _device(self, name: str) -> str:
        return f"/dev/{self._group}/{name}"

    def _lvm(self, command: str, *arguments: str) -> str:
        quiet = () if command == "lvs" else ("-q",)
        return run("lvm", command, *quiet, *arguments)


def read_volumes(report: str) -> list[Volume]:
    """Return the volumes of a report of ``lvs`` with FIELDS, in bytes, as JSON with ``--binary``."""
    return [
        Volume(
            each["lv_name"],
            int(each["lv_size"]),
            frozenset(each["lv_tags"].split(",")),
            each["lv_active"] in ("1", "active"),
            each["lv_device_open"] == "1",
            each["pool_lv"],
            each["zero"] == "1",
            _percent(each["data_percent"]),
            _percent(each["metadata_percent"]),
            int(each["lv_metadata_size"] or 0),
            int(each["chunk_size"] or 0),
        )
        for part in json.loads(report)["report"]
        for each in part["lv"]
    ]


def _percent(text: str) -> float | None:
    return float(text) if text else None


def _check_open(id: str, key: str | None) -> None:
    if key:
        raise Refused(f"cannot encrypt {id}: disks in thin pools are not encrypted here")


def _check_size(disk: Disk, source: Volume, has: str) -> None:
    if disk.size_gib * GIB < source.size:
        raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: {has} {source.size} bytes")


@contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except Refused:
        raise
    except DriverError as error:
        raise DriverError(f"{what}: {error}") from error

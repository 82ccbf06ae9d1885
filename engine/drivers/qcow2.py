"""Disks and snapshots as qcow2 files in one directory, local or shared by hosts.

``disks/ID.qcow2`` is a disk, ``snapshots/ID.qcow2`` a snapshot. A snapshot of a disk is a second name (hard link) of
its file, which is not written any more then: the disk goes on in ``disks/ID/1.qcow2``, an empty layer upon it, and
after the next snapshot in ``disks/ID/2.qcow2``. The files before keep their names, by which a running QEMU knows them.
Clones and copies are such layers and names too (see ``qcow2_layers``): nothing is copied, and data goes with its last
name.

Files are made as ``ID.*.partial`` and renamed once whole, so a crash leaves no half disk: what it leaves counts as the
disk's or the snapshot's own until that is made again or removed.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.drivers.base import Disk, DriverError, Location, Refused
from engine.drivers.disk_images import GIB, LARGEST_GIB, SAFE_ID, check_image
from engine.drivers.programs import run
from engine.drivers.qcow2_drafts import Draft
from engine.drivers.qcow2_encryption import alone, encrypt, encrypted, qemu_img
from engine.drivers.qcow2_extents import Extent, that_differ, with_data
from engine.drivers.qcow2_header import read_header
from engine.drivers.qcow2_layers import FROZEN, WRITTEN, Layers, link, partials_of, sync
from engine.drivers.qcow2_merging import merge_layers
from engine.drivers.qemu_nbd import Readers


class Qcow2:
    """Storage in ``directory``. Files are the writer's own: libvirt gives a running machine's files to QEMU's user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._layers = Layers(self._directory)
        self._readers = Readers()

    def ensure_disk(self, disk: Disk) -> None:
        """Make or grow a disk; raise Refused for one smaller than it is or than its source.

        A disk that a running machine uses cannot be grown here (DriverError: QEMU has locked it).
        """
        if not 1 <= disk.size_gib <= LARGEST_GIB:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: 1 to {LARGEST_GIB} are possible")
        if self._files(disk.id):
            with self._layers.one_at_a_time():  # a snapshot may be giving it another file
                self._grow(disk)
            return
        with self._layers.whole_file(self._disk_path(disk.id), WRITTEN) as partial:
            if disk.source is None:
                options = ("-q", "-f", "qcow2", *encrypted(disk.key))
                qemu_img("create", *options, str(partial), f"{disk.size_gib}G", key=disk.key)
            else:
                self._clone(disk, disk.source, partial)

    def remove_disk(self, id: str) -> None:
        """Forget a disk; what no snapshot and no clone needs goes with it."""
        path, later = self._disk_path(id), self._later_files(id)
        for each in (path, *partials_of(path)):
            self._layers.remove(each)
        if later.exists():
            for each in later.iterdir():
                self._layers.remove(each)
            _change(later, later.rmdir)

    def list_disks(self) -> set[str]:
        """Return the disks, and those that a crash left unfinished."""
        return _listed(self._layers.disks)

    def locate_disk(self, id: str) -> Location:
        """Return the absolute path; raise DriverError when there is no such disk."""
        file = self._present_file(id)
        header = read_header(file)
        return Location("file", str(file), "qcow2", _below(header.below) if header.encrypted else ())

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Freeze the file that the disk is in, and have the disk go on in another.

        A machine that runs writes on in the frozen one until it is moved, and should it stop before that, it starts
        from the new one: nothing that it wrote is lost.
        """
        snapshot = self._snapshot_path(id)
        with self._layers.one_at_a_time():
            files = self._files(disk_id)
            if not snapshot.exists():
                link(self._present_file(disk_id), snapshot)
                sync(snapshot.parent)
            if files and snapshot.samefile(files[-1]):
                self._cover(disk_id, files[-1], key)
            elif files:
                _grow_over(files[-1], key)
            _change(snapshot, lambda: snapshot.chmod(FROZEN))

    def compact(self, disk_id: str, beyond: int, key: str | None = None) -> None:
        """Merge the layers of a disk that no snapshot and no clone needs, except for the one it is written to."""
        if len(_below(self._present_file(disk_id))) <= beyond:
            return
        with self._layers.nobody_merges() as alone:
            if alone:
                merge_layers(self._layers, self._disk_path(disk_id), self._files(disk_id), key)

    def import_snapshot(self, id: str, file: Path) -> int:
        """Convert an image (raw or ISO, qcow2, vmdk, vhd, vhdx, vdi); return its virtual size in GiB, rounded up.

        A snapshot that is there already is kept as it is. Converting a large image takes longer than CALL_LIMIT:
        call it where nothing else waits, not from a step.
        """
        path = self._snapshot_path(id)
        if not path.exists():
            image = check_image(file)
            with self._layers.whole_file(path, FROZEN) as partial:
                convert = ("qemu-img", "convert", "-f", image.format, "-O", "qcow2")
                run(*convert, str(file.resolve()), str(partial), limit=None)
        return self.snapshot_size_gib(id)

    def adopt_snapshot(self, id: str, file: Path, key: str | None = None) -> None:
        """Give the file a second name; it must lie on the file system of the directory."""
        path = self._snapshot_path(id)
        if not path.exists():
            if read_header(file).encrypted != bool(key):
                raise Refused(f"cannot keep snapshot {id}: its file and its key do not fit")
            _change(file, lambda: file.chmod(FROZEN))
            sync(file)
            link(file, path)
            sync(path.parent)

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        """Raise Refused for one that is to be encrypted and holds more than can be in CALL_LIMIT seconds."""
        path = self._snapshot_path(id)
        if path.exists():
            return
        source = self._present_snapshot(source_id)
        if key and not read_header(source).encrypted:
            with self._layers.whole_file(path, FROZEN) as partial:
                encrypt(source, partial, key)
            return
        link(source, path)
        sync(path.parent)

    def snapshot_size_gib(self, id: str) -> int:
        return -(-read_header(self._present_snapshot(id)).virtual_bytes // GIB)

    def snapshot_bytes(self, id: str) -> int:
        return self._present_snapshot(id).stat().st_blocks * 512

    def locate_snapshot(self, id: str) -> Location:
        return Location("file", str(self._present_snapshot(id)))

    def remove_snapshot(self, id: str) -> None:
        path = self._snapshot_path(id)
        for each in (path, *partials_of(path)):
            self._layers.remove(each)
        self._draft(id).remove()

    def list_snapshots(self) -> set[str]:
        """Return the snapshots, drafts, and those whose import is under way or was left unfinished by a crash."""
        return _listed(self._layers.snapshots)

    def snapshot_extents(
        self, id: str, offset: int, length: int, since: str | None = None, key: str | None = None
    ) -> Iterator[Extent]:
        file = self._present_snapshot(id)
        if since is None:
            return with_data(file, offset, length, key)
        return that_differ(file, self._present_snapshot(since), offset, length, key)

    def read_snapshot(self, id: str, offset: int, length: int, key: str | None = None) -> bytes:
        return self._readers.read(self._present_snapshot(id), offset, length, key)

    def write_draft(self, id: str, offset: int, data: bytes, key: str | None = None) -> None:
        self._draft(id, key).write(offset, data)

    def draft_digests(self, id: str, key: str | None = None) -> Iterator[tuple[int, bytes]]:
        return self._draft(id, key).digests()

    def complete_draft(self, id: str, size_gib: int, parent: str | None, key: str | None = None) -> bool:
        if self._snapshot_path(id).exists():
            parent = None  # it is done with it
        return self._draft(id, key).complete(size_gib, self._present_snapshot(parent) if parent else None)

    def free_gib(self) -> int:
        room = os.statvfs(self._directory)
        return room.f_bavail * room.f_frsize // GIB

    def _clone(self, disk: Disk, source: str, partial: Path) -> None:
        snapshot = self._present_snapshot(source)
        header, wanted = read_header(snapshot), disk.size_gib * GIB
        if wanted < header.virtual_bytes:
            has = f"its source has {header.virtual_bytes} bytes"
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: {has}")
        if disk.key and not header.encrypted:
            encrypt(snapshot, partial, disk.key)
            qemu_img("resize", "-q", alone(partial, disk.key), str(wanted), key=disk.key)
        else:
            self._layers.cover(partial, snapshot, f"{disk.size_gib}G", disk.key)

    def _cover(self, id: str, file: Path, key: str | None) -> None:
        later = self._later_files(id)
        _change(later, lambda: later.mkdir(exist_ok=True))
        _change(later, lambda: later.chmod(0o711))
        number = int(file.stem) + 1 if file.parent == later else 1
        with self._layers.whole_file(later / f"{number}.qcow2", WRITTEN) as partial:
            self._layers.cover(partial, file, str(read_header(file).virtual_bytes), key)

    def _grow(self, disk: Disk) -> None:
        path = self._present_file(disk.id)
        wanted, present = disk.size_gib * GIB, read_header(path).virtual_bytes
        if wanted < present:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: it has {present} bytes")
        if wanted > present and disk.key:
            qemu_img("resize", "-q", alone(path, disk.key), str(wanted), key=disk.key)
        elif wanted > present:
            run("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(wanted))

    def _files(self, id: str) -> list[Path]:
        """Return a disk's files in the order in which it went on in them; none for one that is not there."""
        first, later = self._disk_path(id), self._later_files(id).glob("*.qcow2")
        return [*([first] if first.exists() else []), *sorted(later, key=lambda path: int(path.stem))]

    def _present_file(self, id: str) -> Path:
        files = self._files(id)
        if not files:
            raise DriverError(f"there is no disk {id}")
        return files[-1]

    def _present_snapshot(self, id: str) -> Path:
        path = self._snapshot_path(id)
        if not path.exists():
            raise DriverError(f"there is no snapshot {id}")
        return path

    def _disk_path(self, id: str) -> Path:
        return self._layers.disks / _file_name(id)

    def _draft(self, id: str, key: str | None = None) -> Draft:
        return Draft(self._layers, self._snapshot_path(id), key)

    def _later_files(self, id: str) -> Path:
        return self._disk_path(id).with_suffix("")

    def _snapshot_path(self, id: str) -> Path:
        return self._layers.snapshots / _file_name(id)


def _file_name(id: str) -> str:
    if not SAFE_ID.fullmatch(id):
        raise Refused(f"{id!r} cannot be a file's name")
    return f"{id}.qcow2"


def _listed(room: Path) -> set[str]:
    """Return the ids of whole and of partial files, and of directories."""
    return {path.name.partition(".")[0] for path in room.iterdir()}


def _below(file: Path | None) -> tuple[str, ...]:
    """Return the files under a layer, the uppermost first."""
    found = []
    while file is not None:
        found.append(str(file))
        file = read_header(file).below
    return tuple(found)


def _grow_over(file: Path, key: str | None) -> None:
    """Make a disk's file as large as the one below: a running machine may have grown that until it was moved.

    The lower file is left out of it: QEMU has locked it, and what it holds at its new end is to be seen, not hidden.
    """
    header = read_header(file)
    if header.below is not None and (wanted := read_header(header.below).virtual_bytes) > header.virtual_bytes:
        qemu_img("resize", "-q", alone(file, key), str(wanted), key=key)


def _change(path: Path, change: Callable[[], None]) -> None:
    try:
        change()
    except OSError as error:
        raise DriverError(f"cannot change {path}: {error}") from error

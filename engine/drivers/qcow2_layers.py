"""The qcow2 files of one directory as layers: each is upon another one or upon none, and lives while it has a name.

A layer names the one below it in its header, by a path in ``sources/`` that is a hard link of that one and the upper
layer's own: it is made once the header that names it is on the disk, and goes before it. So the file system counts who
needs a layer, and a crash leaves no name that nobody knows of. It takes a file system with hard links (ext4, XFS, NFS);
ext4 allows 65,000 for one file.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from engine.drivers.base import DriverError
from engine.drivers.qcow2_encryption import encrypted, qemu_img
from engine.drivers.qcow2_header import Header, NotALayer, read_header

WRITTEN = 0o640
FROZEN = 0o440
"""The modes of a layer that is written, and of one that is not any more: QEMU's user cannot open that for writing."""


class Layers:
    """The layers in ``directory``: those of disks, those of snapshots, and the names that layers have for others."""

    def __init__(self, directory: Path) -> None:
        """Make the directory; its mode lets QEMU's user pass but not list."""
        self.disks = directory / "disks"
        self.snapshots = directory / "snapshots"
        self._sources = directory / "sources"
        for room in (directory, self.disks, self.snapshots, self._sources):
            room.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # a directory that an administrator made is left as it is
                room.chmod(0o711)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Let one thread of one process in, on all hosts that share the directory."""
        with _locked(self._sources / ".changes"):
            yield

    @contextmanager
    def whole_file(self, path: Path, mode: int) -> Iterator[Path]:
        """Give a name to write to, which becomes ``path`` once the block succeeds and the data is on the disk."""
        for left in partials_of(path):
            self.remove(left)
        partial = _partial_name(path)
        try:
            partial.touch(mode=WRITTEN)
            yield partial
            partial.chmod(mode)
            sync(partial)
            partial.rename(path)
            sync(path.parent)
        except OSError as error:
            raise DriverError(f"cannot write {path}: {error}") from error
        finally:
            self._drop(partial)

    @contextmanager
    def replacing(self, name: Path, disk: Path) -> Iterator[Path]:
        """Give a name to write to, which takes the place of a layer that reads the same once the block succeeds.

        What a crash leaves counts as the disk's.
        """
        partial, doomed = _partial_name(disk), _partial_name(disk)
        try:
            yield partial
            partial.chmod(FROZEN)
            sync(partial)
            with _locked(self._sources / ".names"):  # the disk may be going: its names must not come back
                link(name, doomed)
                partial.rename(name)
            sync(name.parent)
        except OSError as error:
            raise DriverError(f"cannot replace {name}: {error}") from error
        finally:
            self._drop(doomed)
            self._drop(partial)

    @contextmanager
    def nobody_merges(self) -> Iterator[bool]:
        """Say whether no thread of any process merges layers, and keep it so meanwhile, on all hosts as above."""
        with _locked(self._sources / ".merging", wait=False) as alone:
            yield alone

    def owns(self, name: Path) -> bool:
        """Say whether a path in a header is the name that one of our layers has for the one below."""
        return name.parent == self._sources

    def cover(self, partial: Path, below: Path, size: str, key: str | None = None) -> Header:
        """Make an empty layer of a disk or snapshot upon the one named ``below``, and return that one's header.

        ``size`` is in qemu-img's words; with a ``key`` the layer is encrypted under that. Raise DriverError when there
        is no such layer.
        """
        id = partial.relative_to(self._sources.parent).parts[1].partition(".")[0]
        source = self._sources / f"{id}.{uuid4().hex}.qcow2"
        # Unseen (-u): a running machine may have the lower layer open still, and its new name does not exist yet.
        upon = ("-u", "-b", str(source), "-F", "qcow2")
        qemu_img("create", "-q", "-f", "qcow2", *encrypted(key), *upon, str(partial), size, key=key)
        sync(partial)
        link(below, source)
        sync(self._sources)
        return read_header(source)

    def remove(self, path: Path) -> None:
        """Take a layer's name away, and with its last name the layer, down to what has other names."""
        doomed = path if path.suffix == ".partial" else _partial_name(path)
        try:
            path.rename(doomed)  # from here on nobody can link it, and it counts as what a crash left
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError(f"cannot remove {path}: {error}") from error
        self._drop(doomed)

    def _drop(self, doomed: Path) -> None:
        """Remove a name that nobody links any more; the lowest layer goes first, so a crash leaves the way to it.

        Of two who remove the two last names of a layer, one has to see that he is the last; and what goes is not to be
        replaced meanwhile.
        """
        with _locked(self._sources / ".names"):
            names = [doomed]
            while (below := self._lose(names[-1])) is not None:
                names.append(below)
            for name in reversed(names):
                _remove(name)

    def _lose(self, name: Path) -> Path | None:
        """Remove one of several names of a layer; of its last name return that of the layer below, which goes too."""
        try:
            if name.stat().st_nlink > 1:
                name.unlink()
                return None
            below = read_header(name).below
        except (FileNotFoundError, NotALayer):
            return None
        except OSError as error:
            raise DriverError(f"cannot remove {name}: {error}") from error
        return below if below is not None and self.owns(below) else None


def link(present: Path, name: Path) -> None:
    """Give a layer another name; raise DriverError when it is not there, or the name is taken."""
    try:
        name.hardlink_to(present)
    except FileNotFoundError as error:
        raise DriverError(f"there is no file {present}") from error
    except OSError as error:
        raise DriverError(f"cannot link {name} to {present}: {error}") from error


def partials_of(path: Path) -> list[Path]:
    """Return what crashes left of a file, or what is being made. An id is one writer's at a time: its task's."""
    return list(path.parent.glob(f"{path.stem}.*.partial"))


def _partial_name(path: Path) -> Path:
    return path.with_name(f"{path.stem}.{uuid4().hex}.partial")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DriverError(f"cannot remove {path}: {error}") from error


@contextmanager
def _locked(file: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that goes with its process; say whether it is held, where it was not to be waited for.

    Not on the layers themselves: NFS would take it for one of QEMU's.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, WRITTEN)
    try:
        held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file's data or a directory's names are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

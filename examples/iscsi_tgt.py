"""Disks on a SAN: files of this machine that its tgtd exports by iSCSI. A storage driver of one's own, as an example.

    [storage]
    us-east-1c = "python:examples.iscsi_tgt:Tgt?directory=/srv/san&portal=192.0.2.7:3260&initiators=192.0.2.0/24"

``OWNER/disks/ID.raw`` in the directory is a disk, ``OWNER/snapshots/ID.raw`` a snapshot, and each disk is LUN 1 of a
target of its own. tgtd remembers nothing: a target that it lost, in a restart, is made anew when the disk is located.

A clone and a snapshot share their data with what they are made of where the file system has reflinks (XFS, Btrfs).
Elsewhere they are copies without the holes: one that takes longer than a call may is refused, and so is a snapshot of a
disk that a guest uses, which a copy would show as it never was. A copy of a snapshot is a second name of its file.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from engine.drivers.base import CALL_LIMIT, Disk, DriverError, Location, Portal, Refused
from engine.drivers.disk_images import GIB, LARGEST_GIB, SAFE_ID, check_image
from engine.drivers.programs import TookTooLong, run

PATIENCE = CALL_LIMIT - 10
"""Seconds that copying may take in one call."""
TRIES = 20
"""Steps in which a target is made, with those that another process was quicker to take."""
LUN = "1"
"""LUN 0 is tgtd's own, the controller."""

FICLONE = 0x40049409
"""The request by which a file becomes the same as another without copying (ioctl_ficlone(2)), at one moment."""
NO_REFLINKS = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL}


@dataclass
class Target:
    """A target as tgtd has it now."""

    number: int
    path: str = ""
    thin: bool = False
    in_use: bool = False
    accounts: set[str] = field(default_factory=set)
    initiators: set[str] = field(default_factory=set)


class Tgt:
    """Storage in ``directory``, exported at ``portal`` (ADDRESS:PORT) by the tgtd whose control port is ``control``.

    ``initiators`` are the addresses or networks that are let in, with commas between them. With ``user``, an account
    that tgtd has, they have to know its password, which libvirt has as the secret with the UUID ``secret``. ``owner``
    tells the disks of one deployment from those of another.
    """

    def __init__(
        self,
        owner: str,
        *,
        directory: str,
        portal: str = "127.0.0.1:3260",
        initiators: str = "127.0.0.1",
        control: str = "0",
        prefix: str = "iqn.2024-01.org.example.groundfog",
        user: str = "",
        secret: str = "",
    ) -> None:
        host, _, port = portal.rpartition(":")
        self._portal = Portal(host.strip("[]"), int(port), user, secret)
        self._initiators = initiators.split(",")
        self._tgtadm = ("tgtadm", "--control-port", control, "--lld", "iscsi")
        self._prefix = f"{prefix}:{owner}."
        self._directory = Path(directory)
        self._disks, self._snapshots = (self._directory / owner / kind for kind in ("disks", "snapshots"))

    # -- disks -------------------------------------------------------------------

    def ensure_disk(self, disk: Disk) -> None:
        """Make or grow a disk. tgtd cannot grow one that a guest uses (DriverError): it waits until it is detached."""
        path = _file(self._disks, disk.id)
        _check_open(disk.id, disk.key)
        if not 1 <= disk.size_gib <= LARGEST_GIB:
            raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: 1 to {LARGEST_GIB} are possible")
        if path.exists():
            self._grow(disk, path)
        else:
            with _whole(path) as partial:
                if disk.source is not None:
                    source = self._present(self._snapshots, disk.source)
                    _check_size(disk, source, "its source has")
                    _copy(source, partial)
                os.truncate(partial, disk.size_gib * GIB)
        self._export(disk.id)

    def remove_disk(self, id: str) -> None:
        """Raise DriverError while a guest uses it."""
        path = _file(self._disks, id)
        self._withdraw(id)
        _remove(path)

    def list_disks(self) -> set[str]:
        return _ids(self._disks)

    def locate_disk(self, id: str) -> Location:
        self._present(self._disks, id)
        self._export(id)
        return Location("iscsi", f"{self._prefix}{id}/{LUN}", "raw", portal=self._portal)

    # -- snapshots ---------------------------------------------------------------

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Raise Refused for a disk that a guest uses where the file system has no reflinks."""
        path = _file(self._snapshots, id)
        _check_open(id, key)
        if not path.exists():
            source = self._present(self._disks, disk_id)
            with _whole(path) as partial:
                in_use = self._is_used(disk_id)
                _copy(source, partial, at_one_moment=in_use)
                if not in_use and self._is_used(disk_id):
                    raise DriverError(f"cannot make snapshot {id}: a guest began to use the disk meanwhile")

    def compact(self, disk_id: str, beyond: int, key: str | None = None) -> None:
        """Do nothing but look whether it is there: these files have no layers."""
        self._present(self._disks, disk_id)

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        path = _file(self._snapshots, id)
        _check_open(id, key)
        if not path.exists():
            _link(self._present(self._snapshots, source_id), path)

    def locate_snapshot(self, id: str) -> Location:
        return Location("file", str(self._present(self._snapshots, id)), "raw")

    def snapshot_size_gib(self, id: str) -> int:
        return -(-self._present(self._snapshots, id).stat().st_size // GIB)

    def snapshot_bytes(self, id: str) -> int:
        """Return what its file occupies: what reflinks share is counted in each file."""
        return self._present(self._snapshots, id).stat().st_blocks * 512

    def import_snapshot(self, id: str, file: Path) -> int:
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
        _remove(_file(self._snapshots, id))

    def list_snapshots(self) -> set[str]:
        return _ids(self._snapshots)

    def free_gib(self) -> int:
        room = os.statvfs(self._directory)
        return room.f_bavail * room.f_frsize // GIB

    # -- how ---------------------------------------------------------------------

    def _grow(self, disk: Disk, path: Path) -> None:
        _check_size(disk, path, "it has")
        if disk.size_gib * GIB > path.stat().st_size:
            self._withdraw(disk.id)
            os.truncate(path, disk.size_gib * GIB)

    def _import(self, id: str, file: Path, limit: float | None) -> None:
        path = _file(self._snapshots, id)
        if not path.exists():
            image = check_image(file)
            with _whole(path) as partial:
                run(
                    "qemu-img",
                    "convert",
                    "-f",
                    image.format,
                    "-O",
                    "raw",
                    str(file.resolve()),
                    str(partial),
                    limit=limit,
                )
                os.truncate(partial, -(-image.virtual_bytes // 512) * 512)

    def _present(self, room: Path, id: str) -> Path:
        path = _file(room, id)
        if not path.exists():
            raise DriverError(f"there is no {room.name.removesuffix('s')} {id}")
        return path

    # -- tgtd --------------------------------------------------------------------

    def _export(self, id: str) -> None:
        """Make what is missing of a disk's target, step by step: each of them another process may be quicker to do."""
        failed: DriverError | None = None
        for _ in range(TRIES):
            step = self._next_step(id)
            if step is None:
                return
            try:
                self._tell(*step)
            except DriverError as error:
                failed = error
        raise DriverError(f"cannot export disk {id}: {failed}")

    def _next_step(self, id: str) -> list[str] | None:
        """Return what tgtd is to be told next. Whom it lets in comes last, so nobody comes in without a password."""
        targets = self._targets()
        name, path = f"{self._prefix}{id}", str(_file(self._disks, id))
        target = targets.get(name)
        if target is None:
            taken = {each.number for each in targets.values()}
            free = next(number for number in range(1, len(taken) + 2) if number not in taken)
            return ["new", "target", str(free), "--targetname", name]
        number = str(target.number)
        if target.path != path:
            return ["new", "logicalunit", number, "--lun", LUN, "--backing-store", path]
        if not target.thin:  # else what a guest discards would go on taking room
            return ["update", "logicalunit", number, "--lun", LUN, "--params", "thin_provisioning=1"]
        if self._portal.user and self._portal.user not in target.accounts:
            return ["bind", "account", number, "--user", self._portal.user]
        for address in self._initiators:
            if address not in target.initiators:
                return ["bind", "target", number, "--initiator-address", address]
        return None

    def _withdraw(self, id: str) -> None:
        """Take a disk's target away; raise DriverError while a guest is logged in to it."""
        target = self._targets().get(f"{self._prefix}{id}")
        if target is not None:
            try:
                self._tell("delete", "target", str(target.number))
            except DriverError:
                if f"{self._prefix}{id}" in self._targets():
                    raise

    def _is_used(self, id: str) -> bool:
        target = self._targets().get(f"{self._prefix}{id}")
        return target is not None and target.in_use

    def _targets(self) -> dict[str, Target]:
        return read_targets(run(*self._tgtadm, "--op", "show", "--mode", "target"))

    def _tell(self, operation: str, mode: str, number: str, *more: str) -> None:
        run(*self._tgtadm, "--op", operation, "--mode", mode, "--tid", number, *more)


def read_targets(shown: str) -> dict[str, Target]:
    """Return the targets, by name, that ``tgtadm --op show --mode target`` tells of."""
    found: dict[str, Target] = {}
    for block in re.split(r"^Target ", shown, flags=re.MULTILINE)[1:]:
        head, *lines = block.splitlines()
        number, _, name = head.partition(": ")
        found[name] = target = Target(int(number), in_use="I_T nexus: " in block)
        part = lun = ""
        for line in lines:
            word, _, value = line.strip().partition(": ")
            if line.endswith(" information:"):
                part = line.split()[0]
            elif part == "LUN":
                lun = value if word == "LUN" else lun
                _read_unit(target, word, value if lun == LUN else "")
            else:
                {"Account": target.accounts, "ACL": target.initiators}.get(part, set[str]()).add(line.split()[0])
    return found


def _read_unit(target: Target, word: str, value: str) -> None:
    if word == "Backing store path":
        target.path = value or target.path
    elif word == "Thin-provisioning":
        target.thin = target.thin or value == "Yes"


# -- files -------------------------------------------------------------------


def _file(room: Path, id: str) -> Path:
    if not SAFE_ID.fullmatch(id):
        raise Refused(f"{id!r} cannot be a file's name")
    return room / f"{id}.raw"


def _ids(room: Path) -> set[str]:
    """Return what is whole, and what a process that died left unfinished."""
    return {path.name.partition(".")[0] for path in room.glob("*.*")}


def _check_open(id: str, key: str | None) -> None:
    if key:
        raise Refused(f"cannot encrypt {id}: disks on this SAN are not encrypted here")


def _check_size(disk: Disk, file: Path, has: str) -> None:
    size = file.stat().st_size
    if disk.size_gib * GIB < size:
        raise Refused(f"cannot make disk {disk.id} of {disk.size_gib} GiB: {has} {size} bytes")


def _copy(source: Path, target: Path, at_one_moment: bool = False) -> None:
    """Share the data where the file system can. Only so is what is being written copied as it was at one moment."""
    try:
        with source.open("rb") as old, target.open("r+b") as new:
            fcntl.ioctl(new, FICLONE, old.fileno())
    except OSError as error:
        if error.errno not in NO_REFLINKS:
            raise
        if at_one_moment:
            raise Refused(f"cannot copy {source}: a guest uses it, and the file system has no reflinks") from error
        try:
            run("cp", "--sparse=auto", "--reflink=never", str(source), str(target), limit=PATIENCE)
        except TookTooLong as slow:
            raise Refused(f"cannot copy {source}: it holds more than can be copied in a minute") from slow


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a file to be filled, which has its name once it is whole and on the disk."""
    partial = path.with_suffix(f".{uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.touch(0o600)
        yield partial
        _sync(partial)
        _link(partial, path)
    except OSError as error:
        raise DriverError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _link(file: Path, path: Path) -> None:
    """Give a file a name, unless another process was quicker to make what is called so."""
    with suppress(FileExistsError):
        os.link(file, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for each in (path, *path.parent.glob(f"{path.stem}.*.partial")):
        each.unlink(missing_ok=True)

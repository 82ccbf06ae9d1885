"""What a hypervisor and a disk store must be able to do, in plain nouns; for a network see ``networking``.

The protocols say what must be true, never how: KVM, OpenStack and the simulator implement the same ones.

Every ``ensure_`` makes the thing exactly what its argument says, may be called again after a crash, and then
changes nothing. Every ``remove_`` succeeds when the thing is already gone. No call takes longer than
``CALL_LIMIT`` seconds: a driver starts slow work, and the step that wants it asks again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable
from uuid import NAMESPACE_DNS, UUID, uuid5

from engine.drivers.networking import NetworkDriver

CALL_LIMIT = 60

MachineState = Literal["running", "stopped"]
"""``stopped`` means that the machine is defined and has no running process, for whatever reason."""


class DriverError(Exception):
    """The back end failed; trying again may help."""


class Refused(DriverError):
    """The back end will never accept this request."""


PORT_NAMESPACE: UUID = uuid5(NAMESPACE_DNS, "groundfog")


def port_uuid(port_id: str) -> str:
    """Return the UUID by which a hypervisor and a network, which know only UUIDs, mean the same Port."""
    return str(uuid5(PORT_NAMESPACE, port_id))


# -- disks -------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A block device of ``size_gib`` GiB; a thin clone of snapshot ``source`` where one is named.

    With a ``key`` it lies encrypted under that. An encrypted source has the same key; one that is not is read and
    written anew, so that nothing of it lies open below the disk.
    """

    id: str
    size_gib: int
    source: str | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Cluster:
    """How a hypervisor reaches the cluster that a disk is in.

    ``monitors`` are (host, port); the key of ``user`` is a secret that the hypervisor has under the UUID ``secret``.
    """

    monitors: tuple[tuple[str, int], ...]
    user: str
    secret: str


@dataclass(frozen=True)
class Portal:
    """Where an iSCSI target is reached. Where it asks who one is (CHAP), ``user`` is that name.

    The password of ``user`` is a secret that the hypervisor has under the UUID ``secret``.
    """

    host: str
    port: int = 3260
    user: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Location:
    """Where a hypervisor finds a disk.

    By a path (``file``, ``block``), an ``rbd`` image as POOL/IMAGE, an ``iscsi`` unit as TARGET/LUN, or by another
    cloud's volume id.
    """

    protocol: Literal["file", "block", "rbd", "iscsi", "volume", "none"]
    name: str
    format: Literal["qcow2", "raw"] = "qcow2"
    below: tuple[str, ...] = ()
    """For an encrypted disk: the files under it, the uppermost first, which its key opens too."""
    cluster: Cluster | None = None
    """Of a disk that is in one."""
    portal: Portal | None = None
    """Of a disk that is reached by iSCSI."""


GROWN_BY_STORAGE = {"block", "iscsi"}
"""Protocols of disks that a hypervisor cannot grow: their store does, and a machine that runs is told of it then."""


class Storage(Protocol):
    """One backend of disks and snapshots."""

    def ensure_disk(self, disk: Disk) -> None:
        """Make a disk, or grow one that no running machine has (for one that a machine has, see Compute.resize_disk).

        One at a Location of GROWN_BY_STORAGE is grown here while a machine runs too, or DriverError raised. Raise
        Refused for one that would shrink or be smaller than its source.
        """
        ...

    def remove_disk(self, id: str) -> None:
        """Forget a disk; snapshots of it, and what was cloned from these, go on working."""
        ...

    def list_disks(self) -> set[str]: ...
    def locate_disk(self, id: str) -> Location:
        """Return where the disk is now, which ensure_snapshot may change; raise DriverError when there is none."""
        ...

    def ensure_snapshot(self, id: str, disk_id: str, key: str | None = None) -> None:
        """Keep what the disk holds now as snapshot ``id``; one that is there already is left as it is.

        ``key`` is the disk's own, and the snapshot's from then on.

        The disk may go on at another Location from then on (ask locate_disk). Of a disk that a running machine has,
        the moment is that of the Compute.move_disks that follows: until then the snapshot is not to be used.
        Raise DriverError when there is no such disk.
        """
        ...

    def compact(self, disk_id: str, beyond: int, key: str | None = None) -> None:
        """Make a disk quick again of which many snapshots were taken and removed, also while a machine has it.

        Nothing for one that is read through no more than ``beyond`` layers, nor while another disk of the backend is
        being compacted. Takes as long as copying what the removed snapshots had to themselves, which may be longer than
        CALL_LIMIT: call it where nothing else waits, not from a step. Raise DriverError when there is no such disk.
        """
        ...

    def copy_snapshot(self, id: str, source_id: str, key: str | None = None) -> None:
        """Make another snapshot with the same content, without copying data where the backend can.

        One that is there already is left as it is. An encrypted source has the same ``key``; one that is not is
        written anew, encrypted under it. Raise DriverError when there is no snapshot ``source_id``.
        """
        ...

    def snapshot_size_gib(self, id: str) -> int:
        """Return the virtual size in GiB, rounded up; raise DriverError when there is no such snapshot."""
        ...

    def snapshot_bytes(self, id: str) -> int:
        """Return the bytes that the snapshot occupies by itself, without what it shares with those it builds on.

        Raise DriverError when there is no such snapshot.
        """
        ...

    def locate_snapshot(self, id: str) -> Location:
        """Return where qemu-img on this host reads the snapshot, for as long as that is kept; do not write there.

        Raise DriverError when there is no such snapshot.
        """
        ...

    def import_snapshot(self, id: str, file: Path) -> int:
        """Keep a copy of an image file as snapshot ``id``; return its virtual size in GiB, rounded up.

        Raise Refused for a file that qemu-img does not know, or that names other files (backing or data files).
        """
        ...

    def adopt_snapshot(self, id: str, file: Path, key: str | None = None) -> None:
        """Keep a whole qcow2 file that this deployment made itself as snapshot ``id``, without copying it if possible.

        One that is there already is left as it is. Nobody writes to the file any more; its name may be removed. With a
        ``key`` it is encrypted with that, and without one it is not: Refused otherwise.
        """
        ...

    def remove_snapshot(self, id: str) -> None:
        """Forget a snapshot; its disk, copies of it and disks that were cloned from it go on working."""
        ...

    def list_snapshots(self) -> set[str]: ...

    def free_gib(self) -> int:
        """Return how many GiB the backend can still take."""
        ...


BLOCK = 512 * 1024
"""Bytes: drafts of snapshots are written in whole blocks of that size."""


@runtime_checkable
class BlockStorage(Storage, Protocol):
    """A backend whose snapshots can be read and written block by block, by several processes at once."""

    def snapshot_extents(
        self, id: str, offset: int, length: int, since: str | None = None, key: str | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) in bytes, in order, of what holds data in ``length`` bytes from ``offset`` on.

        With ``since``, of what may differ between the two snapshots: at least all that does, whether it holds data or
        not. Raise Refused when neither is made from the other, nor both from a third; DriverError when one is not
        there. ``key`` opens an encrypted one, and all that it is related to.
        """
        ...

    def read_snapshot(self, id: str, offset: int, length: int, key: str | None = None) -> bytes:
        """Return what is there; zeros where nothing is, and beyond the end. Raise DriverError as snapshot_extents."""
        ...

    def write_draft(self, id: str, offset: int, data: bytes, key: str | None = None) -> None:
        """Write one BLOCK of a snapshot that is to be, over what was written there before; the first makes the draft.

        With a ``key``, which is the same for all that is done with it, it lies encrypted from the beginning. A draft
        counts as a snapshot for list_snapshots and remove_snapshot.
        """
        ...

    def draft_digests(self, id: str, key: str | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, SHA-256) of each block that was written, in order."""
        ...

    def complete_draft(self, id: str, size_gib: int, parent: str | None, key: str | None = None) -> bool:
        """Make the snapshot: what was written, upon snapshot ``parent`` or upon nothing; say whether it is done.

        Call it again until it is. Raise Refused when something that was written is lost, or the parent has another
        key or none; DriverError when there is no snapshot ``parent``. One that is there already is left as it is.
        """
        ...


# -- machines ----------------------------------------------------------------


@dataclass(frozen=True)
class AttachedDisk:
    """A disk as a machine sees it. ``device`` is ``vda``, ``vdb`` ...; ``serial`` is what the guest reads as serial.

    ``iops`` and ``bytes_per_second`` bound reading and writing together; None leaves them free. ``key`` opens an
    encrypted one.
    """

    disk_id: str
    device: str
    location: Location
    serial: str
    boot: bool = False
    iops: int | None = None
    bytes_per_second: int | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Nic:
    """A network card: ``port_id`` is the id of the Port it is plugged into; ``mac`` in lower case with colons."""

    port_id: str
    mac: str
    mtu: int = 1442


@dataclass(frozen=True)
class Machine:
    """A virtual machine. ``memory_mib`` is what the guest is given; ``firmware`` is what boots it."""

    id: str
    uuid: str
    vcpus: int
    memory_mib: int
    disks: tuple[AttachedDisk, ...]
    nics: tuple[Nic, ...]
    smbios: Mapping[str, str] = field(default_factory=dict, hash=False)
    """``manufacturer, product, version, serial, uuid, asset`` of SMBIOS' system and chassis, where set."""
    firmware: Literal["bios", "uefi"] = "bios"


@dataclass(frozen=True)
class Capacity:
    """What a host has for guests."""

    vcpus: int
    memory_mib: int


class Compute(Protocol):
    """One host (or one other cloud) that runs machines."""

    def ensure_machine(self, machine: Machine) -> None:
        """Define the machine if need be and start it if it is not running. A stopped one takes the new definition."""
        ...

    def ensure_devices(self, machine: Machine) -> bool:
        """Make a running machine's disks and cards those of ``machine``; return whether they are so now.

        What is missing is plugged in; for what is not named the guest is asked to let go of it, in which it may take
        its time or refuse: ask again. Disks are told by serial, cards by MAC; a disk that is there stays where it is
        (see move_disks), within the bounds that are named now. True for a stopped machine, which takes the definition
        at its next start. Raise DriverError when there is no such machine, Refused when the boot disk or the first
        card is not named: these stay.
        """
        ...

    def move_disks(self, machine: Machine) -> None:
        """Have a running machine write its disks at the Locations that ``machine`` names, all at one moment.

        Nothing for those that it writes there already or does not have, nor for a machine that does not run. Raise
        DriverError when one of the Locations is not there any more: ask the storage again.
        """
        ...

    def resize_disk(self, machine_id: str, disk: AttachedDisk, size_gib: int) -> None:
        """Grow a disk that a running machine has; the guest sees it. Its store has grown those of GROWN_BY_STORAGE.

        Nothing when it has that size already, or the machine does not run: then Storage.ensure_disk grows it. Raise
        DriverError when the machine does not have the disk, Refused for one that would shrink.
        """
        ...

    def stop_machine(self, id: str, force: bool = False) -> None:
        """Ask the guest to power down (ACPI), or with ``force`` cut its power at once. Does not wait."""
        ...

    def reboot_machine(self, id: str, force: bool = False) -> None:
        """Ask the guest to restart, or with ``force`` press its reset button; its disks and ports stay.

        Does not wait. No effect on a stopped machine.
        """
        ...

    def is_rebooting(self, id: str) -> bool:
        """Say whether a guest that was asked to restart, without force, is running and has not begun to yet."""
        ...

    def remove_machine(self, id: str) -> None:
        """Cut the power and forget the machine with its console; its disks and ports are not touched."""
        ...

    def machine_state(self, id: str) -> MachineState | None: ...
    def list_machines(self) -> dict[str, MachineState]: ...

    def console_output(self, id: str, seen: int = -1) -> tuple[int, bytes] | None:
        """Return (mark, the last 64 KiB of console output), or None when the mark still equals ``seen``."""
        ...

    def capacity(self) -> Capacity: ...

    def boot_id(self) -> str:
        """Return what stays the same for as long as machines can only have stopped by themselves or by us.

        Another value means that the host was restarted: what ran must be started again.
        """
        ...

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed(id)`` from a thread of the driver's own soon after a machine starts or stops by itself."""
        ...


@dataclass(frozen=True)
class Drivers:
    """The engine of a region: hosts by name, disk backends by zone name, and the network."""

    computes: Mapping[str, Compute]
    storages: Mapping[str, Storage]
    network: NetworkDriver

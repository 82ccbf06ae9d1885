"""Moves, grows and bounds the disks of running domains of libvirt."""

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
from lxml import etree

from engine.drivers.base import AttachedDisk, DriverError, Location, Refused
from engine.drivers.libvirt_nodes import is_settling, settled
from engine.drivers.libvirt_xml import moves_xml
from engine.drivers.qcow2_header import read_header

GIB = 2**30
ONE_MOMENT = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
)
"""Into files that are there, all disks or none, and libvirt remembers no snapshot: those are the storage's."""
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class LiveDisk(NamedTuple):
    """A disk of a running domain: its name there (vda), and what it is written to now."""

    slot: str
    source: str


class Move(NamedTuple):
    """From where to where a disk moves."""

    source: str
    disk: AttachedDisk


def move_disks(domain: Any, disks: Sequence[AttachedDisk]) -> None:
    """Have a running domain write those of the disks that it has where they are now; raise DriverError if it cannot.

    What is in the way after a daemon died is cleared, and tried again.
    """
    live = _live_disks(domain)
    moves = _moves(live, disks)
    for move in moves.values():
        check_written(move.disk.location)
    settling = is_settling(domain)
    if moves and not settling and all(_leads_to_what_is_written(domain, *each) for each in moves.items()):
        try:
            _snapshot(domain, live, moves)
        except libvirt.libvirtError:
            moves = _moves(_live_disks(domain), disks)  # another process was quicker, or one that died meanwhile
        else:
            return
    if moves or settling:
        _settle(domain, disks)


def _settle(domain: Any, disks: Sequence[AttachedDisk]) -> None:
    live = _live_disks(domain)
    moves = _moves(live, disks)
    with settled(domain, {move.source for move in moves.values()}) as was_unknown:
        for slot, move in moves.items():
            if not was_unknown and not _leads_to_what_is_written(domain, slot, move):
                raise DriverError(f"{move.disk.location.name} is not what goes on from {move.source}")
        if moves:
            _snapshot(domain, live, moves)


def _snapshot(domain: Any, live: Mapping[str, LiveDisk], moves: Mapping[str, Move]) -> None:
    places = {slot: move.disk for slot, move in moves.items()}
    domain.snapshotCreateXML(moves_xml(places, [disk.slot for disk in live.values()]), ONE_MOMENT)


def resize_disk(domain: Any, disk: AttachedDisk, size_gib: int) -> None:
    """Grow a disk of a running domain; raise DriverError when it has none like it, Refused if it would shrink."""
    live = _live_disks(domain).get(disk.serial)
    if live is None:
        raise DriverError(f"machine {domain.name()} has no disk {disk.disk_id}")
    wanted, present = size_gib * GIB, _size(domain, live.slot)
    if wanted < present:
        raise Refused(f"cannot make disk {disk.disk_id} of {size_gib} GiB: it has {present} bytes")
    if wanted > present:
        domain.blockResize(live.slot, wanted, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def check_written(location: Location) -> None:
    """Raise DriverError for a file that the storage has frozen: QEMU would not open it, unless it runs as root."""
    try:
        if location.protocol == "file" and not Path(location.name).stat().st_mode & WRITABLE:
            raise DriverError(f"{location.name} is not written any more: the disk has another file by now")
    except FileNotFoundError:
        return  # on another host, or missing: then libvirt says so
    except OSError as error:
        raise DriverError(f"cannot look at {location.name}: {error}") from error


def _live_disks(domain: Any) -> dict[str, LiveDisk]:
    """Return the disks of a running domain by serial."""
    found: dict[str, LiveDisk] = {}
    disks: Any = etree.fromstring(domain.XMLDesc()).iterfind("devices/disk")
    for disk in disks:
        source, slot = disk.find("source"), disk.find("target").get("dev")
        where = "" if source is None else source.get("file") or source.get("dev") or source.get("name") or ""
        found[disk.findtext("serial", slot)] = LiveDisk(slot, where)
    return found


def _moves(live: Mapping[str, LiveDisk], disks: Iterable[AttachedDisk]) -> dict[str, Move]:
    """Return the disks, by name (vda), that are not written where they are now."""
    there = {live[disk.serial]: disk for disk in disks if disk.serial in live}
    return {slot: Move(source, disk) for (slot, source), disk in there.items() if disk.location.name != source}


def _leads_to_what_is_written(domain: Any, slot: str, move: Move) -> bool:
    """Say whether a guest would read from the new place what it reads now: nothing is between the two.

    Raise DriverError for a file that is smaller than the disk, which QEMU would let shrink under its guest.
    """
    location = move.disk.location
    if location.format != "qcow2":
        return True
    if read_header(Path(location.name)).virtual_bytes < _size(domain, slot):
        raise DriverError(f"{location.name} is smaller than the disk {slot}, which has grown")
    source, layer = Path(move.source), Path(location.name)
    try:
        while not layer.samefile(source):
            header = read_header(layer)
            if header.below is None or not header.is_empty:
                return False
            layer = header.below
    except OSError as error:
        raise DriverError(f"cannot compare {layer} and {source}: {error}") from error
    return True


def _size(domain: Any, slot: str) -> int:
    return int(domain.blockInfo(slot)[0])

"""Moves, grows and bounds the disks of running domains of libvirt."""

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
from lxml import etree

from engine.drivers.base import AttachedDisk, DriverError, Location, Refused
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


def move_disks(domain: Any, disks: Sequence[AttachedDisk]) -> None:
    """Have a running domain write those of the disks that it has where they are now; raise DriverError if it cannot."""
    live = _live_disks(domain)
    moves = _moves(live, disks)
    for slot, location in moves.items():
        check_written(location)
        _check_size(domain, slot, location)
    if not moves:
        return
    try:
        domain.snapshotCreateXML(moves_xml(moves, [disk.slot for disk in live.values()]), ONE_MOMENT)
    except libvirt.libvirtError:
        if _moves(_live_disks(domain), disks):  # else another process was quicker, or one that died meanwhile
            raise


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


def _moves(live: Mapping[str, LiveDisk], disks: Iterable[AttachedDisk]) -> dict[str, Location]:
    """Return the disks, by name (vda), that are not written where they are now."""
    there = {live[disk.serial]: disk.location for disk in disks if disk.serial in live}
    return {slot: location for (slot, source), location in there.items() if location.name != source}


def _check_size(domain: Any, slot: str, location: Location) -> None:
    """Raise DriverError for a file that is smaller than the disk, which QEMU would let shrink under its guest."""
    if location.format == "qcow2" and read_header(Path(location.name)).virtual_bytes < _size(domain, slot):
        raise DriverError(f"{location.name} is smaller than the disk {slot}, which has grown")


def _size(domain: Any, slot: str) -> int:
    return int(domain.blockInfo(slot)[0])

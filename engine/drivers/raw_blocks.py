"""Blocks of snapshots that lie raw on devices, and drafts of such snapshots.

The draft of a snapshot is a device of SPACE bytes that reads as zeros where nothing was written: first the SHA-256 of
each block (zeros: there is none), then the blocks where they belong, then how far the snapshot is that it becomes, and
a byte for every 4096 sums, which says whether there may be one: so all are found without looking through 4 GiB.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.drivers.base import BLOCK, DriverError, Refused
from engine.drivers.disk_images import GIB, LARGEST_GIB

_SUM = 32
_NONE = bytes(_SUM)
_ZEROS = bytes(BLOCK)
_LARGEST = LARGEST_GIB * GIB
_BLOCKS = _LARGEST // BLOCK * _SUM
"""Where the blocks begin: 4 GiB on."""
_POSITION = _BLOCKS + _LARGEST
_MARKS = _POSITION + 4096
_AT_ONCE = 4096 * _SUM
_STEP = 20.0
"""Seconds for which blocks are written into a snapshot in one call."""
SPACE = _POSITION + BLOCK


def read_at(device: Path, offset: int, length: int) -> bytes:
    """Return what is there; zeros beyond the end."""
    with opened(device) as descriptor:
        return os.pread(descriptor, length, offset).ljust(length, b"\0")


def with_data(device: Path, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks that are not all zeros: a device does not say where it holds nothing, which is read fast."""
    with opened(device) as descriptor:
        for place in range(offset - offset % BLOCK, offset + length, BLOCK):
            data = os.pread(descriptor, BLOCK, place)
            if not data:
                return
            if data != _ZEROS[: len(data)]:
                yield place, len(data)


def that_differ(one: Path, other: Path, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks that are not the same; beyond its end a device counts as zeros."""
    with opened(one) as first, opened(other) as second:
        for place in range(offset - offset % BLOCK, offset + length, BLOCK):
            here, there = (os.pread(descriptor, BLOCK, place) for descriptor in (first, second))
            if not here and not there:
                return
            if here.ljust(BLOCK, b"\0") != there.ljust(BLOCK, b"\0"):
                yield place, BLOCK


def check_block(offset: int, data: bytes) -> None:
    if offset % BLOCK or len(data) != BLOCK or not 0 <= offset < _LARGEST:
        raise Refused(f"cannot write {len(data)} bytes at {offset}: blocks have {BLOCK} bytes")


class Draft:
    """The draft that is on a device."""

    def __init__(self, device: Path) -> None:
        self._device = device

    def write(self, offset: int, data: bytes) -> None:
        """Write a block, and its sum after it: data that is not forced onto the disk is compared with that later."""
        check_block(offset, data)
        with opened(self._device, os.O_WRONLY) as descriptor:
            place = offset // BLOCK * _SUM
            os.pwrite(descriptor, data, _BLOCKS + offset)
            os.pwrite(descriptor, b"\1", _MARKS + place // _AT_ONCE)
            os.pwrite(descriptor, hashlib.sha256(data).digest(), place)

    def digests(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield offset and SHA-256 of each block from offset ``start`` on."""
        with opened(self._device) as descriptor:
            marks = os.pread(descriptor, _BLOCKS // _AT_ONCE, _MARKS)
            for number in (number for number, mark in enumerate(marks) if mark):
                sums = os.pread(descriptor, _AT_ONCE, number * _AT_ONCE)
                for at in range(0, len(sums), _SUM):
                    offset, digest = (number * _AT_ONCE + at) // _SUM * BLOCK, sums[at : at + _SUM]
                    if offset >= start and digest != _NONE:
                        yield offset, digest

    def fill(self, target: Path) -> bool:
        """Write the blocks into a device, for a while; say whether these were all, and they are on the disk."""
        until = time.monotonic() + _STEP
        start = int.from_bytes(read_at(self._device, _POSITION, 8))
        with opened(self._device) as draft, opened(target, os.O_WRONLY) as descriptor:
            for offset, digest in self.digests(start):
                data = os.pread(draft, BLOCK, _BLOCKS + offset)
                if hashlib.sha256(data).digest() != digest:
                    raise Refused(f"what was written at {offset} was lost")
                os.pwrite(descriptor, data, offset)
                if time.monotonic() > until:
                    os.fsync(descriptor)
                    self._remember(offset + BLOCK)
                    return False
            os.fsync(descriptor)
        return True

    def _remember(self, position: int) -> None:
        with opened(self._device, os.O_WRONLY) as descriptor:
            os.pwrite(descriptor, position.to_bytes(8), _POSITION)
            os.fsync(descriptor)


@contextmanager
def opened(device: Path, how: int = os.O_RDONLY) -> Iterator[int]:
    """Open a device; raise DriverError for what goes wrong with it."""
    try:
        descriptor = os.open(device, how | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DriverError(f"cannot use {device}: {error}") from error

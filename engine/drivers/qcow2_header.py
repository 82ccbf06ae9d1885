"""What a qcow2 file of our own says of itself (QEMU's docs/interop/qcow2.txt)."""

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engine.drivers.base import DriverError

QCOW2_MAGIC = b"QFI\xfb"
LARGEST_TABLE = 32 * 2**20
"""QEMU's own limit for the table that leads to all data."""


class NotALayer(DriverError):
    """The file is not whole, or of another kind."""


class Header(NamedTuple):
    """The size of the disk that is in the file, and the file that holds what this one does not."""

    virtual_bytes: int
    below: Path | None
    is_empty: bool
    """Whether the file holds no data of its own."""
    encrypted: bool


def read_header(path: Path) -> Header:
    """Read a file's header, also while QEMU has the file open; raise NotALayer if it has none, or is not there."""
    try:
        with path.open("rb") as stream:
            fixed = stream.read(48)
            if len(fixed) < 48 or not fixed.startswith(QCOW2_MAGIC):
                raise NotALayer(f"{path} is not a qcow2 file")
            start, length, size, method, entries, table = struct.unpack(">8xQI4xQIIQ", fixed)
            below = _read(stream, start, length) if start else b""
            first_level = _read(stream, table, entries * 8)
    except FileNotFoundError as error:
        raise NotALayer(f"there is no file {path}") from error
    except OSError as error:
        raise DriverError(f"cannot read {path}: {error}") from error
    return Header(size, Path(os.fsdecode(below)) if below else None, not any(first_level), method != 0)


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(min(length, LARGEST_TABLE))

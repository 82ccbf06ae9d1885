"""What a qcow2 file of our own says of itself (QEMU's docs/interop/qcow2.txt)."""

import os
import struct
from pathlib import Path
from typing import NamedTuple

from engine.drivers.base import DriverError

QCOW2_MAGIC = b"QFI\xfb"


class NotALayer(DriverError):
    """The file is not whole, or of another kind."""


class Header(NamedTuple):
    """The size of the disk that is in the file, and the file that holds what this one does not."""

    virtual_bytes: int
    below: Path | None
    encrypted: bool = False


def read_header(path: Path) -> Header:
    """Read a file's header, also while QEMU has the file open; raise NotALayer if it has none, or is not there."""
    try:
        with path.open("rb") as stream:
            fixed = stream.read(36)
            if len(fixed) < 36 or not fixed.startswith(QCOW2_MAGIC):
                raise NotALayer(f"{path} is not a qcow2 file")
            start, length, size, method = struct.unpack(">8xQI4xQI", fixed)
            stream.seek(start)
            below = stream.read(length) if start else b""
    except FileNotFoundError as error:
        raise NotALayer(f"there is no file {path}") from error
    except OSError as error:
        raise DriverError(f"cannot read {path}: {error}") from error
    return Header(size, Path(os.fsdecode(below)) if below else None, method != 0)

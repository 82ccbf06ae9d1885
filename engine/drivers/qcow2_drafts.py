"""Snapshots that are written block by block, by whichever processes, until they are complete.

``snapshots/ID.draft`` holds the blocks where they belong, ``ID.sums`` the SHA-256 of each (32 bytes; zeros: none). The
data is not forced onto the disk block by block: when a layer is made of it at the end, every block is compared with
its sum, so that nothing is lost unseen. The layer is ``ID.layer`` until it is whole, and ``ID.position`` says how far
that is. Blocks and sums of what is to be encrypted are so from the beginning.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from engine.drivers.base import BLOCK, DriverError, Refused
from engine.drivers.draft_ciphers import DraftCipher
from engine.drivers.qcow2_encryption import encrypted, qemu_img
from engine.drivers.qcow2_header import read_header
from engine.drivers.qcow2_layers import FROZEN, WRITTEN, Layers, sync
from engine.drivers.qemu_nbd import Served

_SUM = 32
_NONE = bytes(_SUM)
_STEP = 20.0
"""Seconds for which blocks are written into a layer in one call."""


class Draft:
    """The draft of the snapshot whose file is ``path`` once it is complete."""

    def __init__(self, layers: Layers, path: Path, key: str | None = None) -> None:
        self._layers, self._path, self._key = layers, path, key
        self._cipher = DraftCipher(key, path.stem) if key else None
        self._blocks, self._sums, self._layer, self._position = (
            path.with_suffix(f".{kind}") for kind in ("draft", "sums", "layer", "position")
        )

    def write(self, offset: int, data: bytes) -> None:
        if offset % BLOCK or len(data) != BLOCK:
            raise Refused(f"cannot write {len(data)} bytes at {offset}: blocks have {BLOCK} bytes")
        number = offset // BLOCK
        digest = hashlib.sha256(data).digest()
        if self._cipher:
            data, digest = self._cipher.seal("blocks", number, data), self._cipher.seal("sums", number, digest)
        _write_at(self._blocks, offset, data)
        _write_at(self._sums, number * _SUM, digest)

    def digests(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield offset and SHA-256 of each block from offset ``start`` on."""
        if not self._sums.exists():
            return
        with self._sums.open("rb") as sums:
            found = _next_data(sums.fileno(), start // BLOCK * _SUM)
            while found is not None:
                place = found - found % _SUM
                chunk = os.pread(sums.fileno(), 4096 * _SUM, place)
                for at in range(0, len(chunk) - _SUM + 1, _SUM):
                    if (digest := chunk[at : at + _SUM]) != _NONE:
                        number = (place + at) // _SUM
                        yield number * BLOCK, self._opened("sums", number, digest)
                found = _next_data(sums.fileno(), place + len(chunk))

    def _opened(self, kind: str, number: int, data: bytes) -> bytes:
        return self._cipher.open(kind, number, data) if self._cipher else data

    def complete(self, size_gib: int, parent: Path | None) -> bool:
        """Make a layer of the blocks upon the parent, for a while; say whether it is whole."""
        if not self._path.exists():
            if not self._layer.exists():
                self._begin_layer(f"{size_gib}G", parent)
            if not self._fill():
                return False
            try:
                self._layer.chmod(FROZEN)
                sync(self._layer)
                self._layer.rename(self._path)
                sync(self._path.parent)
            except OSError as error:
                raise DriverError(f"cannot complete {self._path}: {error}") from error
        self.remove()
        return True

    def _begin_layer(self, size: str, parent: Path | None) -> None:
        if parent is not None and read_header(parent).encrypted != bool(self._key):
            raise Refused(f"cannot complete {self._path.stem}: of it and its parent only one is encrypted")
        with self._layers.whole_file(self._layer, WRITTEN) as partial:
            if parent is None:
                options = ("-q", "-f", "qcow2", *encrypted(self._key))
                qemu_img("create", *options, str(partial), size, key=self._key)
            else:
                self._layers.cover(partial, parent, size, self._key)

    def _fill(self) -> bool:
        until = time.monotonic() + _STEP
        start = int(self._position.read_text()) if self._position.exists() else 0
        with Served(self._layer, writable=True, key=self._key) as disk:
            for offset, digest in self.digests(start):
                disk.write(offset, self._checked(offset, digest))
                if time.monotonic() > until:
                    disk.flush()
                    self._remember(offset + BLOCK)
                    return False
            disk.flush()
        return True

    def _checked(self, offset: int, digest: bytes) -> bytes:
        with self._blocks.open("rb") as blocks:
            data = os.pread(blocks.fileno(), BLOCK, offset)
        if len(data) == BLOCK:
            data = self._opened("blocks", offset // BLOCK, data)
        if hashlib.sha256(data).digest() != digest:
            raise Refused(f"cannot complete {self._path.stem}: what was written at {offset} was lost")
        return data

    def _remember(self, position: int) -> None:
        fresh = self._position.with_suffix(".new-position")
        fresh.write_text(str(position))
        sync(fresh)
        fresh.rename(self._position)

    def remove(self) -> None:
        """Forget the draft; what is complete stays."""
        self._layers.remove(self._layer)
        for file in (self._position, self._position.with_suffix(".new-position"), self._sums, self._blocks):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise DriverError(f"cannot remove {file}: {error}") from error


def _write_at(file: Path, offset: int, data: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, WRITTEN)
        try:
            if os.pwrite(descriptor, data, offset) != len(data):
                raise OSError("no room")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DriverError(f"cannot write {file}: {error}") from error


def _next_data(descriptor: int, place: int) -> int | None:
    """Return where the next data of a sparse file begins, or None at its end."""
    try:
        return os.lseek(descriptor, place, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole follows
        return None

"""A tar archive of files and texts, read as one stream of a known length without being written anywhere first."""

import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class Joined:
    """Several files and texts, one after the other."""

    def __init__(self, parts: Sequence[bytes | Path]) -> None:
        self._parts = list(parts)
        self._open: BinaryIO | None = None
        self.length = sum(len(p) if isinstance(p, bytes) else p.stat().st_size for p in parts)

    def read(self, size: int, /) -> bytes:
        """Return exactly so many bytes, fewer only at the end."""
        pieces = []
        while size > 0 and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        while self._open is not None or self._parts:
            if self._open is None:
                part = self._parts.pop(0)
                self._open = BytesIO(part) if isinstance(part, bytes) else part.open("rb")
            if piece := self._open.read(size):
                return piece
            self._open.close()
            self._open = None
        return b""


def archive(members: Sequence[tuple[str, bytes | Path]]) -> Joined:
    """Return an uncompressed tar archive; numbers and names that ustar cannot hold are as GNU tar writes them."""
    parts: list[bytes | Path] = []
    for name, content in members:
        info = tarfile.TarInfo(name)
        info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        header = info.tobuf(tarfile.USTAR_FORMAT) if info.size < 8 << 30 else info.tobuf(tarfile.GNU_FORMAT)
        parts += [header, content, bytes(-info.size % _BLOCK)]
    return Joined([*parts, _END])

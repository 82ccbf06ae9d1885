"""Snapshots in a Ceph pool that are written block by block, by whichever processes, until they are complete.

Each block is an object of its own, and an index of the draft has the SHA-256 of each: what is acknowledged is in the
cluster. A block is in the index before its object is, without a sum, so that what a process left that died is found.
"""

import base64
import hashlib
from collections.abc import Iterator

from engine.ceph.session import Calls
from engine.drivers.base import BLOCK, Refused

_UNFINISHED = "-"
_POSITION = "position"
_AT_ONCE = 32
"""Blocks that one call writes into an image: 16 MiB."""


class Draft:
    """The draft of snapshot ``id`` of ``owner``."""

    def __init__(self, ceph: Calls, owner: str, id: str) -> None:
        self._ceph, self._id = ceph, id
        self._object = f"groundfog.{owner}.draft.{id}"

    def write(self, offset: int, data: bytes) -> None:
        check_block(offset, data)
        key = f"b.{offset:016x}"
        self._change({key: _UNFINISHED}, [])
        self._ceph("put", name=self._name(key), data=base64.b64encode(data).decode())
        self._change({key: hashlib.sha256(data).hexdigest()}, [])

    def digests(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield offset and SHA-256 of each block from offset ``start`` on."""
        after = f"b.{start - 1:016x}" if start else ""
        while page := self._ceph("page", index=self._object, prefix="b.", after=after):
            for key, digest in sorted(page.items()):
                if digest != _UNFINISHED:
                    yield int(key[2:], 16), bytes.fromhex(digest)
            after = max(page)

    def position(self) -> int | None:
        """Return the offset up to which the image is written that it becomes; None where there is no such image."""
        found = self._ceph("entries", index=self._object, prefix=_POSITION).get(_POSITION)
        return None if found is None else int(found)

    def remember(self, position: int) -> None:
        self._change({_POSITION: str(position)}, [])

    def fill(self, image: str) -> Iterator[None]:
        """Write the blocks into the image, some more for each that is asked for."""
        batch: list[tuple[int, str, str]] = []
        for offset, digest in self.digests(self.position() or 0):
            batch.append((offset, self._name(f"b.{offset:016x}"), digest.hex()))
            if len(batch) == _AT_ONCE:
                self._write(image, batch)
                batch = []
                yield
        if batch:
            self._write(image, batch)

    def remove(self) -> None:
        while page := self._ceph("page", index=self._object, prefix="", after=""):
            self._ceph("drop", names=[self._name(key) for key in page if key != _POSITION])
            self._change({}, list(page))
        self._ceph("drop", names=[self._object])

    def _write(self, image: str, batch: list[tuple[int, str, str]]) -> None:
        lost = self._ceph("fill", name=image, objects=batch)
        if lost is not None:
            raise Refused(f"cannot complete {self._id}: what was written at {lost} was lost")
        self.remember(batch[-1][0] + BLOCK)

    def _name(self, key: str) -> str:
        return f"{self._object}.{key}"

    def _change(self, put: dict[str, str], removed: list[str]) -> None:
        self._ceph("change", index=self._object, expected={}, put=put, removed=removed)


def check_block(offset: int, data: bytes) -> None:
    if offset % BLOCK or len(data) != BLOCK:
        raise Refused(f"cannot write {len(data)} bytes at {offset}: blocks have {BLOCK} bytes")

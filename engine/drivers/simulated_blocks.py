"""What the simulated cloud's disks and snapshots hold: what was written into snapshots block by block, in memory."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.drivers.base import BLOCK, DriverError, Refused

MOST = 512
"""Blocks of a zone: 256 MiB."""


@dataclass(frozen=True)
class _Content:
    """Blocks by their number; ``origin`` is the same for all that were made of one another."""

    origin: str
    blocks: Mapping[int, bytes] = field(default_factory=dict)


class Blocks:
    """Contents by the id of the disk or snapshot, and drafts of snapshots."""

    def __init__(self) -> None:
        self._held: dict[str, _Content] = {}
        self._drafts: dict[str, dict[int, bytes]] = {}

    def derive(self, id: str, source: str | None) -> None:
        """Have a new disk or snapshot hold what its source does, or nothing."""
        self._held[id] = self._held[source] if source in self._held else _Content(id)

    def forget(self, id: str) -> None:
        self._held.pop(id, None)
        self._drafts.pop(id, None)

    def drafts(self) -> set[str]:
        return set(self._drafts)

    def extents(self, id: str, offset: int, length: int, since: str | None) -> Iterator[tuple[int, int]]:
        mine, theirs = self._content(id), self._content(since or id)
        if mine.origin != theirs.origin:
            raise Refused(f"{id} and {since} have nothing in common")
        before: Mapping[int, bytes] = theirs.blocks if since else {}
        for number in sorted(mine.blocks.keys() | before.keys()):
            within = offset < (number + 1) * BLOCK and number * BLOCK < offset + length
            if within and mine.blocks.get(number) != before.get(number):
                yield number * BLOCK, BLOCK

    def read(self, id: str, offset: int, length: int) -> bytes:
        blocks, end = self._content(id).blocks, offset + length
        held = b"".join(blocks.get(number, bytes(BLOCK)) for number in range(offset // BLOCK, -(-end // BLOCK)))
        return held[offset % BLOCK :][:length]

    def write(self, snapshot_id: str, offset: int, data: bytes) -> None:
        if offset % BLOCK or len(data) != BLOCK:
            raise Refused(f"cannot write {len(data)} bytes at {offset}: blocks have {BLOCK} bytes")
        everything = [*(content.blocks for content in self._held.values()), *self._drafts.values()]
        if len({id(block) for blocks in everything for block in blocks.values()}) >= MOST:
            raise Refused(f"cannot keep more than {MOST} blocks in memory")
        self._drafts.setdefault(snapshot_id, {})[offset // BLOCK] = data

    def digests(self, id: str) -> Iterator[tuple[int, bytes]]:
        for number, data in sorted(self._drafts.get(id, {}).items()):
            yield number * BLOCK, hashlib.sha256(data).digest()

    def complete(self, id: str, parent: str | None) -> None:
        below = self._content(parent) if parent else _Content(id)
        self._held[id] = _Content(below.origin, {**below.blocks, **self._drafts.pop(id, {})})

    def _content(self, id: str) -> _Content:
        if id not in self._held:
            raise DriverError(f"there is no snapshot {id}")
        return self._held[id]

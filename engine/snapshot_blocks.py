"""The data path of snapshots: the one thing that an API process asks of stores itself, each time for a moment.

What it reads does not change any more, and what it writes nobody reads before the worker has completed it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from engine.disk_keys import open_key
from engine.disk_room import check_room
from engine.drivers.base import BLOCK, BlockStorage, DriverError, Refused, Storage
from settings import Settings

log = structlog.get_logger("groundfog.blocks")

__all__ = ["BLOCK", "SnapshotBlocks", "Unavailable", "Unfit"]


class Unavailable(Exception):
    """The store did not do it; it may if it is asked again."""


class Unfit(Exception):
    """The store will never do it: snapshots that are not related, or no room."""


class SnapshotBlocks:
    """Stores by the names of their zones, and ``sign``, which proves later that a text was given out here.

    The keys of snapshots are given sealed, as their rows have them.
    """

    def __init__(self, storages: Mapping[str, Storage], sign: Callable[[str], bytes], settings: Settings) -> None:
        self.storages, self.sign, self._settings = storages, sign, settings

    def serves(self, zone: str) -> bool:
        """Say whether the store of a zone can be read and written block by block from here."""
        return isinstance(self.storages.get(zone), BlockStorage)

    def extents(
        self, zone: str, id: str, key: str, offset: int, length: int, since: str | None = None
    ) -> list[tuple[int, int]]:
        """Return what holds data, or what may differ from ``since``, as offsets and lengths in bytes."""
        with self._of(zone, id) as storage:
            return list(storage.snapshot_extents(id, offset, length, since, open_key(self._settings, key)))

    def read(self, zone: str, id: str, key: str, offset: int) -> bytes:
        with self._of(zone, id) as storage:
            return storage.read_snapshot(id, offset, BLOCK, open_key(self._settings, key))

    def write(self, zone: str, id: str, key: str, offset: int, data: bytes) -> None:
        """Write a block; raise Unfit where the store has no room for more."""
        with self._of(zone, id) as storage:
            check_room(storage, 1, self._settings)
            storage.write_draft(id, offset, data, open_key(self._settings, key))

    def written(self, zone: str, id: str, key: str) -> tuple[int, bytes]:
        """Return how many blocks were written, and the SHA-256 of theirs as bytes, one after the other."""
        count, together = 0, hashlib.sha256()
        with self._of(zone, id) as storage:
            for _, digest in storage.draft_digests(id, open_key(self._settings, key)):
                count += 1
                together.update(digest)
        return count, together.digest()

    @contextmanager
    def _of(self, zone: str, id: str) -> Iterator[BlockStorage]:
        storage = self.storages.get(zone)
        if not isinstance(storage, BlockStorage):
            raise Unfit(f"the store of {zone} is not written or read block by block")
        try:
            yield storage
        except Refused as error:
            raise Unfit(str(error)) from error
        except DriverError as error:
            log.error("a store failed", snapshot=id, zone=zone, error=str(error))
            raise Unavailable(str(error)) from error

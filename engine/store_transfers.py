"""Carries a snapshot from one store of disks into another, block by block, in turns that end."""

import time

from engine.disk_room import check_room
from engine.drivers.base import BLOCK, BlockStorage, DriverError, Refused, Storage
from settings import Settings

TURN = 20.0
"""Seconds for which blocks are written in one call."""
WINDOW = 2**36
"""Bytes of a snapshot that are looked through at once."""
GIB = 2**30
_ZEROS = bytes(BLOCK)


def carry(source: Storage, source_id: str, target: Storage, id: str, size_gib: int, settings: Settings) -> bool:
    """Make snapshot ``id`` in the target of one in the source; say whether it is whole, or another turn is needed.

    Raise Refused where a store is not read or written block by block, or has no room.
    """
    if _is_whole(target, id):
        return True
    if not isinstance(source, BlockStorage) or not isinstance(target, BlockStorage):
        raise Refused(f"cannot carry {source_id} into another store: one of the two has no blocks")
    start = 0
    for offset, _ in target.draft_digests(id):
        start = offset + BLOCK
    if start == 0:
        check_room(target, size_gib, settings)
    if not _write(source, source_id, target, id, start, size_gib * GIB):
        return False
    return target.complete_draft(id, size_gib, None)


def _is_whole(storage: Storage, id: str) -> bool:
    try:
        return storage.snapshot_size_gib(id) > 0
    except DriverError:
        return False


def _write(source: BlockStorage, source_id: str, target: BlockStorage, id: str, start: int, end: int) -> bool:
    """Write the blocks that hold data from ``start`` on; say whether these were all.

    The last block of a turn is written whatever it holds: it says where the next turn goes on.
    """
    until = time.monotonic() + TURN
    for window in range(start, end, WINDOW):
        for offset, length in source.snapshot_extents(source_id, window, min(WINDOW, end - window)):
            first = max(start, offset - offset % BLOCK)
            for place in range(first, offset + length, BLOCK):
                data, is_last = source.read_snapshot(source_id, place, BLOCK), time.monotonic() > until
                if data != _ZEROS or is_last:
                    target.write_draft(id, place, data)
                if is_last:
                    return False
            start = max(start, offset + length)
    return True

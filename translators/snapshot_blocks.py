"""EBS direct APIs that read: which blocks of a snapshot hold data, in which two differ, and what is in one."""

import base64
import hashlib
from collections.abc import Callable, Iterable

from engine.snapshot_blocks import BLOCK, SnapshotBlocks
from engine.snapshots import zones_of
from engine.state import Snapshot
from translators.block_tokens import block_token, check_block_token, expiry, open_page_token, page_token
from translators.ebs_errors import bad, lost, told_by_store
from translators.errors import Ec2Error
from translators.registry import Call, Result, action
from translators.snapshots import find_snapshots

BLOCKS_PER_GIB = 2**30 // BLOCK
ALGORITHM = "SHA256"
_WINDOW = 64 * BLOCKS_PER_GIB
"""Blocks that a store is asked about at once."""
_WINDOWS = 64
"""How often it is asked in one request: a page of a list may have fewer blocks than asked for, or none."""
_PAGE = 10_000

Look = Callable[[int, int], Iterable[int]]
"""Returns the blocks to be listed among so many from one on."""


@action
def list_snapshot_blocks(
    call: Call,
    *,
    snapshot_id: str,
    next_token: str | None = None,
    max_results: int = _PAGE,
    starting_block_index: int = 0,
) -> Result:
    snapshot = readable(call, snapshot_id)
    blocks, zone = store_of(call, snapshot)
    first = open_page_token(next_token, [snapshot_id]) if next_token else starting_block_index
    found, following = _page(snapshot, first, max_results, lambda at, count: _held(blocks, zone, snapshot, at, count))
    expires = expiry()
    return {
        "Blocks": [
            {"BlockIndex": index, "BlockToken": block_token(call, snapshot_id, index, expires)} for index in found
        ],
        "ExpiryTime": expires,
        "VolumeSize": snapshot.volume_size,
        "BlockSize": BLOCK,
        "NextToken": page_token([snapshot_id], following) if following is not None else None,
    }


@action
def list_changed_blocks(
    call: Call,
    *,
    second_snapshot_id: str,
    first_snapshot_id: str | None = None,
    next_token: str | None = None,
    max_results: int = _PAGE,
    starting_block_index: int = 0,
) -> Result:
    """A block has a token of each snapshot in which it holds data: the other one reads as zeros there."""
    if first_snapshot_id is None:
        raise bad("INVALID_PARAMETER_VALUE", "The request must contain the parameter firstSnapshotId.")
    ids = [first_snapshot_id, second_snapshot_id]
    snapshots = [readable(call, id) for id in ids]
    blocks, zone = store_of(call, *snapshots)
    first = open_page_token(next_token, ids) if next_token else starting_block_index
    held: list[set[int]] = [set(), set()]

    def look(at: int, count: int) -> Iterable[int]:
        for snapshot, its in zip(snapshots, held, strict=True):
            its.update(_held(blocks, zone, snapshot, at, count))
        changed = _held(blocks, zone, snapshots[1], at, count, since=first_snapshot_id)
        return (index for index in changed if index in held[0] or index in held[1])

    found, following = _page(max(snapshots, key=lambda one: one.volume_size), first, max_results, look)
    expires = expiry()

    def token(which: int, index: int) -> str | None:
        return block_token(call, ids[which], index, expires) if index in held[which] else None

    return {
        "ChangedBlocks": [
            {"BlockIndex": index, "FirstBlockToken": token(0, index), "SecondBlockToken": token(1, index)}
            for index in found
        ],
        "ExpiryTime": expires,
        "VolumeSize": snapshots[1].volume_size,
        "BlockSize": BLOCK,
        "NextToken": page_token(ids, following) if following is not None else None,
    }


@action
def get_snapshot_block(call: Call, *, snapshot_id: str, block_index: int, block_token: str) -> Result:
    snapshot = readable(call, snapshot_id)
    blocks, zone = store_of(call, snapshot)
    check_index(snapshot, block_index)
    check_block_token(call, block_token, snapshot_id, block_index)
    with told_by_store("INVALID_SNAPSHOT_ID"):
        data = blocks.read(zone, snapshot_id, snapshot.key, block_index * BLOCK)
    return {
        "DataLength": len(data),
        "BlockData": data,
        "Checksum": base64.b64encode(hashlib.sha256(data).digest()).decode(),
        "ChecksumAlgorithm": ALGORITHM,
    }


def readable(call: Call, id: str) -> Snapshot:
    """Return a snapshot that the caller may make volumes of, and so read; refuse one that is not there whole."""
    try:
        snapshot = find_snapshots(call, [id])[id]
    except Ec2Error:
        raise lost(id) from None
    if snapshot.state != "completed":
        raise bad("INVALID_SNAPSHOT_ID", f"The snapshot '{id}' is not in the completed state.")
    return snapshot


def store_of(call: Call, *snapshots: Snapshot) -> tuple[SnapshotBlocks, str]:
    """Return the stores, and a zone in whose store all these snapshots lie; refuse where there is none to be read."""
    zones = zones_of(call.db, snapshots[0])
    for snapshot in snapshots[1:]:
        there = zones_of(call.db, snapshot)
        zones = [zone for zone in zones if zone in there]
    if not zones:
        raise bad("UNRELATED_SNAPSHOTS", "The snapshots lie in different stores.")
    return readable_store(call, zones)


def readable_store(call: Call, zones: Iterable[str]) -> tuple[SnapshotBlocks, str]:
    """Return the stores and the first of these zones whose store can be read and written from here."""
    if call.blocks is not None:
        for zone in zones:
            if call.blocks.serves(zone):
                return call.blocks, zone
    raise bad("INVALID_DEPENDENCY_REQUEST", "The store of the snapshot cannot be read and written block by block.")


def check_index(snapshot: Snapshot, index: int) -> None:
    if index >= snapshot.volume_size * BLOCKS_PER_GIB:
        raise bad("INVALID_BLOCK", f"The block {index} is beyond the end of the snapshot '{snapshot.id}'.")


def _held(
    blocks: SnapshotBlocks, zone: str, snapshot: Snapshot, first: int, count: int, since: str | None = None
) -> dict[int, None]:
    """Return the blocks that hold data, or that changed, in order."""
    with told_by_store("UNRELATED_SNAPSHOTS"):
        extents = blocks.extents(zone, snapshot.id, snapshot.key, first * BLOCK, count * BLOCK, since)
    return dict.fromkeys(
        index
        for offset, length in extents
        for index in range(max(first, offset // BLOCK), min(first + count, -(-(offset + length) // BLOCK)))
    )


def _page(snapshot: Snapshot, first: int, most: int, look: Look) -> tuple[list[int], int | None]:
    """Return the next blocks, and with which one the list goes on if it does."""
    end, found = snapshot.volume_size * BLOCKS_PER_GIB, list[int]()
    for _ in range(_WINDOWS):
        if first >= end:
            return found, None
        found += look(first, min(_WINDOW, end - first))
        if len(found) > most:
            return found[:most], found[most]
        first += _WINDOW
    return found, (first if first < end else None)

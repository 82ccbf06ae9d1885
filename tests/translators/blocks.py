"""Snapshots written block by block, as a client of the EBS direct APIs does it."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from tests.cloud import Cloud
from tests.translators.test_snapshots import add_snapshot

BLOCK = 512 * 1024
ONE, TWO, THREE = (bytes([n]) * BLOCK for n in (1, 2, 3))
SHA = "SHA256"


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def put(ebs: Any, id: str, index: int, data: bytes, **more: Any) -> Any:
    asked = {"DataLength": len(data), "Checksum": digest(data), "ChecksumAlgorithm": SHA, **more}
    return ebs.put_snapshot_block(SnapshotId=id, BlockIndex=index, BlockData=data, **asked)


def write(cloud: Cloud, ebs: Any, blocks: Mapping[int, bytes], size: int = 1, **start: Any) -> str:
    """Start a snapshot, write blocks into it and complete it; return its id."""
    id = str(ebs.start_snapshot(VolumeSize=size, **start)["SnapshotId"])
    for index, data in blocks.items():
        put(ebs, id, index, data)
    ebs.complete_snapshot(SnapshotId=id, ChangedBlocksCount=len(blocks))
    cloud.settle()
    return id


def keep(cloud: Cloud, indexes: Iterable[int]) -> str:
    """Have a snapshot with many equal blocks, without a request for each; return its id."""
    id, storage = add_snapshot(cloud, volume_size=1), cloud.backend.storages["us-east-1a"]
    for index in indexes:
        storage.write_draft(id, index * BLOCK, ONE)
    storage.complete_draft(id, 1, None)
    return id


def tokens(ebs: Any, id: str) -> dict[int, str]:
    return {block["BlockIndex"]: block["BlockToken"] for block in ebs.list_snapshot_blocks(SnapshotId=id)["Blocks"]}


def content(ebs: Any, id: str) -> dict[int, bytes]:
    """Return every block of a snapshot that holds data."""
    return {
        index: ebs.get_snapshot_block(SnapshotId=id, BlockIndex=index, BlockToken=token)["BlockData"].read()
        for index, token in tokens(ebs, id).items()
    }

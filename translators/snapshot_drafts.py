"""EBS direct APIs that write: a snapshot is started, written block by block, and completed."""

import base64
import hashlib
from typing import Any

from sqlalchemy import select

from engine.snapshot_blocks import BLOCK
from engine.snapshot_drafts import expiry, seal, touch
from engine.snapshots import zones_of
from engine.state import Snapshot, SnapshotDraft, Zone, now
from translators import tags as tagging
from translators.ebs_encryption import is_default, is_to_be_encrypted, key_shown, sealed_key
from translators.ebs_errors import bad, instead_of_ec2s, lost, told_by_store
from translators.registry import Call, Result, action
from translators.snapshot_blocks import ALGORITHM, check_index, readable, readable_store, store_of
from translators.snapshot_creation import check_room

_LARGEST_GIB = 65_536
_TIMEOUT = 60
"""Minutes: StartSnapshot's default."""
_LINEAR = "LINEAR"


@action
def start_snapshot(
    call: Call,
    *,
    volume_size: int,
    parent_snapshot_id: str | None = None,
    tags: list[dict[str, Any]] | None = None,
    description: str = "",
    encrypted: bool | None = None,
    kms_key_arn: str = "",
    timeout: int = _TIMEOUT,
) -> Result:
    if volume_size > _LARGEST_GIB:
        raise bad("INVALID_VOLUME_SIZE", f"The volume size must be no larger than {_LARGEST_GIB} GiB.")
    parent = readable(call, parent_snapshot_id) if parent_snapshot_id else None
    if parent is not None and volume_size < parent.volume_size:
        text = f"The volume size must be at least that of the parent snapshot, {parent.volume_size} GiB."
        raise bad("INVALID_VOLUME_SIZE", text)
    sealed = _key(call, parent, encrypted, kms_key_arn)
    with instead_of_ec2s("INVALID_PARAMETER_VALUE"):
        check_room(call, 1)
    snapshot = Snapshot(
        id=Snapshot.new_id(), **call.owner, volume_size=volume_size, description=description, state="pending",
        progress="0%", storage=_store(call, parent), created=now(), encrypted=bool(sealed), key=sealed,
    )  # fmt: skip
    call.db.add(snapshot)
    call.db.flush()
    parent_id = parent.id if parent else ""
    call.db.add(
        SnapshotDraft(snapshot_id=snapshot.id, parent_id=parent_id, timeout=timeout, expires=expiry(timeout))
    )  # fmt: skip
    with instead_of_ec2s("INVALID_TAG"):
        tagging.put_at_creation(call, [{"ResourceType": "snapshot", "Tags": tags}], {"snapshot": [snapshot.id]})
    return {
        "SnapshotId": snapshot.id,
        "Description": description or None,
        "OwnerId": call.account,
        "Status": "pending",
        "StartTime": snapshot.created,
        "VolumeSize": volume_size,
        "BlockSize": BLOCK,
        "Tags": tags or None,
        "ParentSnapshotId": parent_snapshot_id,
        "KmsKeyArn": key_shown(snapshot),
    }


def _key(call: Call, parent: Snapshot | None, encrypted: bool | None, kms_key_arn: str) -> str:
    """Return the sealed key of a new snapshot, if it is to have one: what is upon a parent is encrypted as that is.

    Source of what is refused: "Encryption outcomes for EBS direct APIs" in the user guide of EBS.
    """
    if parent is not None and (encrypted is not None or kms_key_arn):
        raise bad("INVALID_PARAMETER_VALUE", "Encrypted and KmsKeyArn cannot be used with ParentSnapshotId.")
    if is_default(call) and (encrypted is False or (parent is not None and not parent.encrypted)):
        text = "The account has everything encrypted by default. Copy the parent snapshot, which encrypts it."
        raise bad("INVALID_PARAMETER_VALUE", text if parent else text.partition(". ")[0] + ".")
    if kms_key_arn and not encrypted and not is_default(call):
        raise bad("INVALID_PARAMETER_VALUE", "KmsKeyArn requires Encrypted.")
    with instead_of_ec2s("INVALID_CUSTOMER_KEY"):
        wanted = is_to_be_encrypted(call, encrypted, kms_key_arn)
    return sealed_key(call, wanted, parent)


def _store(call: Call, parent: Snapshot | None) -> str:
    """Return the store that a new snapshot is written in: that of its parent, or the first that can be written."""
    if parent is not None:
        zone = store_of(call, parent)[1]
    else:
        zones = select(Zone.name).where(Zone.region == call.region).order_by(Zone.name)
        zone = readable_store(call, call.db.scalars(zones).all())[1]
    return call.db.get_one(Zone, zone).storage


@action
def put_snapshot_block(
    call: Call,
    *,
    snapshot_id: str,
    block_index: int,
    block_data: bytes,
    data_length: int,
    checksum: str,
    checksum_algorithm: str,
    progress: int | None = None,
) -> Result:
    """Write a block. The snapshot's row is shared meanwhile, so that nobody completes it before that is done."""
    snapshot, draft = _draft(call, snapshot_id, alone=progress is not None)
    check_index(snapshot, block_index)
    if data_length != BLOCK or len(block_data) != BLOCK:
        raise bad("INVALID_BLOCK", f"The data of a block must have {BLOCK} bytes.")
    digest = base64.b64encode(hashlib.sha256(block_data).digest()).decode()
    if checksum != digest:
        raise bad("INVALID_PARAMETER_VALUE", "The checksum is not that of the data.")
    blocks, zone = readable_store(call, zones_of(call.db, snapshot))
    with told_by_store("full"):
        blocks.write(zone, snapshot_id, snapshot.key, block_index * BLOCK, block_data)
    touch(draft)
    if progress is not None:
        snapshot.progress = f"{progress}%"
    return {"Checksum": digest, "ChecksumAlgorithm": checksum_algorithm}


@action
def complete_snapshot(
    call: Call,
    *,
    snapshot_id: str,
    changed_blocks_count: int,
    checksum: str | None = None,
    checksum_algorithm: str | None = None,
    checksum_aggregation_method: str | None = None,
) -> Result:
    """Have the snapshot made. It is pending until it is; what is missing, or was not meant to be there, is refused."""
    snapshot, draft = _draft(call, snapshot_id, alone=True)
    blocks, zone = readable_store(call, zones_of(call.db, snapshot))
    with told_by_store("INVALID_SNAPSHOT_ID"):
        count, together = blocks.written(zone, snapshot_id, snapshot.key)
    if count != changed_blocks_count:
        raise bad("INVALID_PARAMETER_VALUE", f"{count} blocks were written, and not {changed_blocks_count}.")
    given = (checksum, checksum_algorithm, checksum_aggregation_method)
    if any(given):
        _check_sum(together, *given)
    seal(call.db, snapshot, draft)
    return {"Status": "pending"}


def _check_sum(together: bytes, checksum: str | None, algorithm: str | None, method: str | None) -> None:
    """The linear aggregate is the SHA-256 of the blocks' own, as bytes and in the order of their indexes."""
    if checksum is None or algorithm != ALGORITHM or method != _LINEAR:
        text = "Checksum, ChecksumAlgorithm and ChecksumAggregationMethod must be given together."
        raise bad("INVALID_PARAMETER_VALUE", text)
    if checksum != base64.b64encode(together).decode():
        raise bad("INVALID_PARAMETER_VALUE", "The checksum is not that of the blocks that were written.")


def _draft(call: Call, id: str, alone: bool) -> tuple[Snapshot, SnapshotDraft]:
    """Return the caller's own snapshot that is being written, locked until the call ends, ``alone`` or with others."""
    own = select(Snapshot).filter_by(id=id, **call.owner).where(Snapshot.state != "deleted")
    snapshot = call.db.scalar(own.with_for_update(read=not alone))
    if snapshot is None:
        raise lost(id)
    draft = call.db.get(SnapshotDraft, id)
    if draft is None or draft.sealed or snapshot.state != "pending" or not draft.expires:
        raise bad("INVALID_SNAPSHOT_ID", f"The snapshot '{id}' is not one that can be written to.")
    return snapshot, draft

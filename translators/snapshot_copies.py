"""Copy a snapshot, within a region or between regions that share a store of disks."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import Region, Snapshot, Zone
from translators import tags
from translators.describe import rows_of
from translators.ebs_encryption import is_to_be_encrypted, sealed_key
from translators.errors import invalid, refuse
from translators.registry import Call, Result, action
from translators.snapshot_creation import check_room, described
from translators.snapshots import SNAPSHOTS, completed, find_snapshots


@action
def copy_snapshot(
    call: Call,
    *,
    source_region: str,
    source_snapshot_id: str,
    description: str = "",
    destination_region: str | None = None,
    encrypted: bool = False,
    kms_key_id: str = "",
    presigned_url: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Copy a snapshot that the caller may make volumes of.

    ``presigned_url`` proves to EC2's source region who asks; here the same endpoint has verified this request already.
    """
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    if destination_region not in (None, call.region):
        raise invalid("destinationRegion", destination_region, "A copy is asked for in the region that it is for.")
    check_region(call, source_region)
    source = completed(find_snapshots(call, [source_snapshot_id], source_region)[source_snapshot_id])
    id = Snapshot.new_id()
    add_copies(call, [source], id, [id], [described(description)], encrypted)
    tags.put_at_creation(call, tag_specifications, {"snapshot": [id]})
    tasks.start(call.db, id, "copy_snapshot", call.region, new=True)
    return {"SnapshotId": id, "Tags": rows_of(call, SNAPSHOTS, [id])[0]["Tags"]}


def check_region(call: Call, name: str) -> None:
    """Refuse a source region that this deployment does not have."""
    if call.db.get(Region, name) is None:
        raise invalid("sourceRegion", name, "This deployment has no such region.")


def add_copies(
    call: Call,
    sources: Sequence[Snapshot],
    task_id: str,
    ids: Sequence[str],
    descriptions: Sequence[str],
    encrypted: bool,
) -> None:
    """Add the rows of copies that one task is to make in the caller's region, all of them encrypted if they are to be.

    A copy of what is encrypted is encrypted with the same key, whatever is asked for.
    """
    check_room(call, len(ids))
    for source, id, description in zip(sources, ids, descriptions, strict=True):
        key = sealed_key(call, encrypted, source)
        call.db.add(
            Snapshot(
                id=id, **call.owner, volume_size=source.volume_size, description=description,
                encrypted=encrypted or source.encrypted, key=key, state="pending", progress="0%", source_id=source.id,
                storage=_destination(call, source), taken_by=task_id,
            )
        )  # fmt: skip


def _destination(call: Call, source: Snapshot) -> str:
    """Return the store that a copy is to lie in, or nothing for every one of the region, as snapshots name it."""
    here = _stores(call, call.region)
    there = {source.storage} if source.storage else _stores(call, source.region)
    if here <= there:
        return next(iter(here)) if len(here) == 1 else ""
    shared = here & there
    if not shared:
        text = f"the regions {source.region} and {call.region} do not share a store of disks."
        refuse("UnsupportedOperation", f"The snapshot '{source.id}' cannot be copied: {text}")
    return min(shared)


def _stores(call: Call, region: str) -> set[str]:
    return set(call.db.scalars(select(Zone.storage).where(Zone.region == region)))

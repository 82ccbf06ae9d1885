"""Copy a snapshot, within a region or between regions that share a store of disks."""

from collections.abc import Sequence
from typing import Any

from engine import tasks
from engine.state import Region, Snapshot, Zone
from engine.stores import encrypts
from translators import tags
from translators.describe import rows_of
from translators.ebs_encryption import is_to_be_encrypted, sealed_key
from translators.errors import invalid, refuse
from translators.registry import Call, Result, action
from translators.snapshot_creation import check_room, described
from translators.snapshots import SNAPSHOTS, completed, find_snapshots
from translators.stores import check_store, stores_of


@action
def copy_snapshot(
    call: Call,
    *,
    source_region: str,
    source_snapshot_id: str,
    description: str = "",
    destination_region: str | None = None,
    destination_availability_zone: str | None = None,
    encrypted: bool = False,
    kms_key_id: str = "",
    presigned_url: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Copy a snapshot that the caller may make volumes of.

    With ``destination_availability_zone`` the copy lies in the store of that zone, and its data is written anew where
    the source lies in another one. ``presigned_url`` proves to EC2's source region who asks; here the same endpoint has
    verified this request already.
    """
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    if destination_region not in (None, call.region):
        raise invalid("destinationRegion", destination_region, "A copy is asked for in the region that it is for.")
    check_region(call, source_region)
    source = completed(find_snapshots(call, [source_snapshot_id], source_region)[source_snapshot_id])
    id = Snapshot.new_id()
    zone = destination_availability_zone
    store = _store_of_zone(call, zone, source, encrypted) if zone else None
    add_copies(call, [source], id, [id], [described(description)], encrypted, store)
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
    store: str | None = None,
) -> None:
    """Add the rows of copies that one task is to make in the caller's region, all of them encrypted if they are to be.

    A copy of what is encrypted is encrypted with the same key, whatever is asked for. ``store`` is where they shall
    lie: where it is not said, where their sources do.
    """
    check_room(call, len(ids))
    for source, id, description in zip(sources, ids, descriptions, strict=True):
        key = sealed_key(call, encrypted, source)
        call.db.add(
            Snapshot(
                id=id, **call.owner, volume_size=source.volume_size, description=description,
                encrypted=encrypted or source.encrypted, key=key, state="pending", progress="0%", source_id=source.id,
                storage=_destination(call, source, encrypted) if store is None else store, taken_by=task_id,
            )
        )  # fmt: skip


def _store_of_zone(call: Call, name: str, source: Snapshot, encrypted: bool) -> str:
    """Return the store of a zone of the region; refuse to write anew there what would have to be encrypted."""
    zone = call.db.get(Zone, name)
    if zone is None or zone.region != call.region:
        raise invalid("destinationAvailabilityZone", name, f"The region '{call.region}' has no such zone.")
    check_store(call, name, [], encrypted or source.encrypted)
    if zone.storage not in _sources(call, source) and (encrypted or source.encrypted):
        text = "what is encrypted is not written from one store of disks into another."
        refuse("UnsupportedOperation", f"The snapshot '{source.id}' cannot be copied to '{name}': {text}")
    return zone.storage


def _sources(call: Call, source: Snapshot) -> set[str]:
    return {source.storage} if source.storage else stores_of(call, source.region)


def _destination(call: Call, source: Snapshot, encrypted: bool) -> str:
    """Return the store that a copy is to lie in, or nothing for every one of the region, as snapshots name it."""
    here, there = stores_of(call, call.region), _sources(call, source)
    if encrypted:
        able = {store for store in there if encrypts(store)}
        if not able:
            text = "the store that it lies in does not encrypt disks."
            refuse("UnsupportedOperation", f"The snapshot '{source.id}' cannot be encrypted: {text}")
        there = able
    if here <= there:
        return next(iter(here)) if len(here) == 1 else ""
    shared = here & there
    if not shared:
        text = f"the regions {source.region} and {call.region} do not share a store of disks."
        refuse("UnsupportedOperation", f"The snapshot '{source.id}' cannot be copied: {text}")
    return min(shared)

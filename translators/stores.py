"""What the store of a zone must have for a volume to be made there."""

from collections.abc import Iterable

from sqlalchemy import select

from engine.state import Snapshot, Zone
from engine.stores import encrypts
from translators.errors import refuse
from translators.registry import Call


def check_store(call: Call, zone: str, snapshot_ids: Iterable[str], encrypted: bool) -> None:
    """Refuse what a zone's store cannot make: of a snapshot that lies in another one, or encrypted."""
    store = call.db.get_one(Zone, zone).storage
    elsewhere = select(Snapshot.id).where(
        Snapshot.id.in_(sorted(set(snapshot_ids) - {""})), Snapshot.storage.not_in(("", store))
    )
    id = call.db.scalar(elsewhere.order_by(Snapshot.id).limit(1))
    if id is not None:
        refuse(
            "InvalidParameterValue",
            f"The snapshot '{id}' lies in another store of disks than those of '{zone}'. Copy it by CopySnapshot with "
            f"DestinationAvailabilityZone={zone}, and use the copy.",
        )
    if encrypted and not encrypts(store):
        refuse("UnsupportedOperation", f"Disks in the zone '{zone}' cannot be encrypted: its store does not do that.")


def stores_of(call: Call, region: str) -> set[str]:
    """Return the stores of the zones of a region."""
    return set(call.db.scalars(select(Zone.storage).where(Zone.region == region)))

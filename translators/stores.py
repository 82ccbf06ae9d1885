"""What the store of a zone must have for a volume to be made there."""

from collections.abc import Iterable

from sqlalchemy import select

from engine.state import Snapshot, Subnet, Zone
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


def fitting_zone(call: Call, snapshot_ids: Iterable[str], encrypted: bool) -> str | None:
    """Return the zone for a launch that names none, where not every zone of the region can have its volumes.

    That is the one whose default subnet has the most free addresses. None where all can, or none.
    """
    zones = dict(call.db.execute(select(Zone.name, Zone.storage).where(Zone.region == call.region)).tuples().all())
    if len(set(zones.values())) == 1:
        return None
    named = select(Snapshot.storage).where(Snapshot.id.in_(sorted(set(snapshot_ids))), Snapshot.storage != "")
    lying = set(call.db.scalars(named))
    fitting = [name for name, store in zones.items() if lying <= {store} and (encrypts(store) or not encrypted)]
    if len(fitting) == len(zones):
        return None
    subnets = (
        select(Subnet.zone).filter_by(**call.owner).where(Subnet.default_for_az.is_(True), Subnet.zone.in_(fitting))
    )
    return call.db.scalar(subnets.order_by(Subnet.available_addresses.desc(), Subnet.id).limit(1))


def stores_of(call: Call, region: str) -> set[str]:
    """Return the stores of the zones of a region."""
    return set(call.db.scalars(select(Zone.storage).where(Zone.region == region)))

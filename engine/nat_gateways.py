"""NAT gateways as rows: how they get addresses and give them back, how they end, and when they are forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from engine.addresses import release_private, take_private
from engine.default_vpc import new_id
from engine.interfaces import make_interface, remove_interface
from engine.state import Address, NatGateway, NatGatewayAddress, NetworkInterface, Tag, Task, now

DRAINING = {"disassociating": "drain_nat_gateway", "unassigning": "drain_nat_gateway"}
"""Status of an address that is being taken away: the workflow that does it."""
CHANGING = {"associating": "sync_nat_gateway", "assigning": "sync_nat_gateway", **DRAINING}
_UNDER_WAY = {"pending": "create_nat_gateway", "deleting": "delete_nat_gateway"}


@dataclass(frozen=True)
class Wanted:
    """An address that a gateway shall have: a private one, any if empty, and the Elastic IP that leads to it."""

    private_ip: str = ""
    elastic: Address | None = None


def add_addresses(
    db: Session, gateway: NatGateway, subnet: Any, wanted: Sequence[Wanted], status: str
) -> list[NatGatewayAddress]:
    """Give a gateway addresses; the first one it ever gets is its primary one.

    ``subnet`` is a row of one. Raise addresses.Exhausted, or ValueError("InUse").
    """
    last = select(func.max(NatGatewayAddress.position)).where(NatGatewayAddress.nat_gateway_id == gateway.id)
    held = db.scalar(last)
    added = []
    for position, one in enumerate(wanted, 0 if held is None else held + 1):
        address = note_address(db, gateway, position, one.elastic, status)
        address.private_ip = _take(db, gateway, subnet, one.private_ip)
        if one.elastic:
            one.elastic.association_id = address.association_id = new_id("eipassoc")
            one.elastic.interface_id, one.elastic.private_ip = gateway.interface_id, address.private_ip
        added.append(address)
    return added


def note_address(
    db: Session, gateway: NatGateway, position: int, elastic: Address | None, status: str
) -> NatGatewayAddress:
    """Add what is described of an address; nothing is taken yet."""
    address = NatGatewayAddress(nat_gateway_id=gateway.id, position=position, status=status)
    if elastic:
        address.allocation_id, address.public_ip = elastic.id, elastic.public_ip
    db.add(address)
    return address


def _take(db: Session, gateway: NatGateway, subnet: Any, wanted: str) -> str:
    if gateway.interface_id:
        return take_private(db, subnet, gateway.interface_id, wanted, primary=False)
    attachment = {"attachment_id": new_id("ela-attach"), "attachment_status": "attached", "attach_time": now()}
    made = make_interface(
        db, {"account": gateway.account, "region": gateway.region}, subnet, (), private_ip=wanted, kind="nat_gateway",
        managed_by=gateway.id, description=f"Interface for NAT Gateway {gateway.id}", status="in-use",
        source_dest_check=False, device_index=1, **attachment,
    )  # fmt: skip
    gateway.interface_id = made.id
    return made.private_ip


def addresses_of(db: Session, gateway_id: str) -> list[NatGatewayAddress]:
    """Return what is described of a gateway's addresses, the primary one first."""
    rows = select(NatGatewayAddress).filter_by(nat_gateway_id=gateway_id).order_by(NatGatewayAddress.position)
    return list(db.scalars(rows))


def give_back(db: Session, gateway: NatGateway, address: NatGatewayAddress) -> None:
    """Take an address from a gateway: the private one is free again, the Elastic IP associated with nothing."""
    release_private(db, str(gateway.interface_id), only=str(address.private_ip))
    free = {"association_id": None, "interface_id": None, "private_ip": None}
    db.execute(update(Address).where(Address.id == address.allocation_id).values(**free))
    db.delete(address)


def end(db: Session, gateway: NatGateway, state: str) -> None:
    """Bring a gateway to ``deleted`` or ``failed``: everything that it holds is free again."""
    interface = db.get(NetworkInterface, gateway.interface_id) if gateway.interface_id else None
    if interface:
        remove_interface(db, interface)
    if state == "failed":
        for address in addresses_of(db, gateway.id):
            address.status = "failed"
    gateway.state, gateway.ended = state, now()


def lost_tasks(db: Session, region: str) -> dict[str, str]:
    """Return the gateways with something under way and no task for it, each with the workflow that does it."""
    changing = and_(NatGateway.state == "available", NatGatewayAddress.status.in_(CHANGING))
    rows = (
        select(NatGateway.id, NatGateway.state, NatGatewayAddress.status)
        .join(NatGatewayAddress, NatGatewayAddress.nat_gateway_id == NatGateway.id)
        .where(NatGateway.region == region, NatGateway.id.not_in(select(Task.resource_id)))
        .where(or_(NatGateway.state.in_(_UNDER_WAY), changing))
    )
    return {id: _UNDER_WAY.get(state) or CHANGING[status] for id, state, status in db.execute(rows)}


def forget_ended(db: Session, before: str) -> None:
    """Forget the gateways that were deleted or failed before this moment."""
    ended = list(db.scalars(select(NatGateway.id).where(NatGateway.ended != "", NatGateway.ended < before).limit(500)))
    if ended:
        db.execute(delete(Tag).where(Tag.resource_id.in_(ended)))
        db.execute(delete(NatGatewayAddress).where(NatGatewayAddress.nat_gateway_id.in_(ended)))
        db.execute(delete(NatGateway).where(NatGateway.id.in_(ended)))

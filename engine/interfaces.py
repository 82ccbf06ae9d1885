"""Network interfaces made and taken away, with everything that they hold: addresses, groups, names."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from engine.addresses import free_public, new_mac, take_private
from engine.flow_logs.rows import forget_logs
from engine.interface_addresses import release_addresses
from engine.routes import sync_routes_to
from engine.state import (
    Address,
    InterfaceGroup,
    InterfacePermission,
    NetworkInterface,
    Tag,
    Vpc,
)
from engine.state.prepared import put
from settings import Settings


@dataclass(frozen=True)
class Made:
    """A new interface, as far as its maker needs to know it."""

    id: str
    account: str
    region: str
    private_ip: str


def make_interface(
    db: Session,
    owner: dict[str, str],
    subnet: Any,
    group_ids: Sequence[str],
    *,
    private_ip: str = "",
    **columns: Any,
) -> Made:
    """Add an interface in the security groups, in their order, with the wanted private address or a free one.

    ``owner`` is ``{"account": ..., "region": ...}``, ``subnet`` a row of one, ``columns`` are further columns of the
    interface. Raise addresses.Exhausted, or ValueError("InUse").
    """
    id = NetworkInterface.new_id()
    address = take_private(db, subnet, id, private_ip)
    place = {"vpc_id": subnet.vpc_id, "subnet_id": subnet.id, "zone": subnet.zone}
    put(db, NetworkInterface, id=id, **owner, **place, mac=new_mac(subnet.mac_tag), private_ip=address, **columns)
    put_in_groups(db, id, group_ids)
    return Made(id, **owner, private_ip=address)


def put_in_groups(db: Session, interface_id: str, group_ids: Sequence[str]) -> None:
    for position, group_id in enumerate(dict.fromkeys(group_ids)):
        put(db, InterfaceGroup, interface_id=interface_id, group_id=group_id, position=position)


def lend_public(db: Session, settings: Settings, interface: NetworkInterface | Made) -> str:
    """Lend an interface a public address, as at launch. Raise addresses.Exhausted when the pool has none."""
    owner = {"account": interface.account, "region": interface.region}
    return _lend(db, settings, owner, interface.id, private_ip=interface.private_ip)


def _lend(db: Session, settings: Settings, owner: dict[str, str], borrower: str, **columns: Any) -> str:
    address = free_public(db, settings)
    number = int(IPv4Address(address))
    lent = {"number": number, "public_ip": address, "elastic": False, "interface_id": borrower}
    put(db, Address, id=Address.new_id(), **owner, **lent, **columns)
    return address


def lend_at_start(db: Session, settings: Settings, instance_id: str) -> None:
    """Lend again what a stop took back: to interfaces that were lent one at launch and have no Elastic IP now.

    Raise addresses.Exhausted when the pool has none.
    """
    held = exists().where(Address.interface_id == NetworkInterface.id)
    first = NetworkInterface.device_index == 0
    rows = select(NetworkInterface).where(NetworkInterface.instance_id == instance_id, first, ~held)
    for interface in db.scalars(rows.where(NetworkInterface.auto_public.is_(True))):
        lend_public(db, settings, interface)


def replace_groups(db: Session, interface_id: str, group_ids: Sequence[str]) -> None:
    """Put an interface in these security groups and no others."""
    db.execute(delete(InterfaceGroup).where(InterfaceGroup.interface_id == interface_id))
    put_in_groups(db, interface_id, group_ids)


def lend_uplink(db: Session, settings: Settings, vpc: Vpc) -> None:
    """Give a VPC's router an address on the external network, if it has none. Raise addresses.Exhausted."""
    if vpc.uplink_address is None:
        vpc.uplink_address = _lend(db, settings, {"account": vpc.account, "region": vpc.region}, vpc.id)


def take_back_uplink(db: Session, vpc: Vpc) -> None:
    """Take back the address that a VPC's router was lent."""
    take_back_public(db, vpc.id)
    vpc.uplink_address = None


def take_back_public(db: Session, interface_id: str) -> None:
    """Take away the public address that an interface was lent, if it has one."""
    db.execute(delete(Address).where(Address.interface_id == interface_id, Address.elastic.is_(False)))


def remove_interface(db: Session, interface: NetworkInterface) -> None:
    """Delete an interface: its addresses are free again, an Elastic IP stays allocated but associated with nothing.

    Routes to it lead nowhere from then on, rather than to whoever is given its address next.
    """
    sync_routes_to(db, interface.id)
    release_addresses(db, interface.id)
    take_back_public(db, interface.id)
    db.execute(
        update(Address)
        .where(Address.interface_id == interface.id)
        .values(association_id=None, interface_id=None, private_ip=None)
    )
    for kind in (InterfaceGroup, InterfacePermission):
        db.execute(delete(kind).where(kind.interface_id == interface.id))
    forget_logs(db, interface.id)
    db.execute(delete(Tag).where(Tag.resource_id == interface.id))
    db.delete(interface)

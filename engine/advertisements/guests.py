"""Which guests are told of routers: those of the interfaces that have addresses of IPv6."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from engine.addresses import mac_prefix
from engine.desired import PLUGGED
from engine.drivers.networking import Subnet
from engine.state import Instance, InterfacePrefix, Ipv6Address, NetworkInterface, SubnetCidrBlock
from engine.state import Subnet as SubnetRow


@dataclass(frozen=True)
class Guest:
    """A card of a guest on this host, and the subnet that it is in."""

    vpc_id: str
    mac: str
    subnet: Subnet


_card = NetworkInterface.id
_STATEMENT = (
    select(
        NetworkInterface.vpc_id, NetworkInterface.mac, SubnetRow.id, SubnetRow.cidr, SubnetRow.mac_tag,
        SubnetCidrBlock.cidr.label("cidr6"),
    )
    .join(Instance, Instance.id == NetworkInterface.instance_id)
    .join(SubnetRow, SubnetRow.id == NetworkInterface.subnet_id)
    .join(SubnetCidrBlock, SubnetCidrBlock.subnet_id == SubnetRow.id)
    .where(
        Instance.state.in_(PLUGGED),
        or_(
            exists().where(Ipv6Address.interface_id == _card),
            exists().where(InterfacePrefix.interface_id == _card, InterfacePrefix.cidr.contains(":")),
        ),
    )
)  # fmt: skip


def guests_on(db: Session, hosts: Collection[str], vpc_id: str = "", mac: str = "") -> list[Guest]:
    """Return the guests with IPv6 on these hosts; where a VPC and a MAC address are given, only who has that there."""
    statement = _STATEMENT.where(Instance.host.in_(hosts))
    if vpc_id:
        statement = statement.where(NetworkInterface.vpc_id == vpc_id, NetworkInterface.mac == mac)
    return [
        Guest(row.vpc_id, row.mac, Subnet(row.id, row.cidr, row.cidr6, mac_prefix=mac_prefix(row.mac_tag)))
        for row in db.execute(statement)
    ]

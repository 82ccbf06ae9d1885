"""Single addresses of IPv6: chosen at random, and taken by a row whose key admits no second one."""

from ipaddress import IPv6Address, IPv6Network

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from engine.addresses import RESERVED_HEAD, RESERVED_TAIL, Exhausted, InUse
from engine.prefixes import LENGTHS
from engine.reservations import Span, draw, open_spans, reserved, span
from engine.state import InterfacePrefix, Ipv6Address, SubnetCidrBlock
from engine.state.prepared import Prepared, put

_TRIES = 64
_RANGE = Prepared(select(SubnetCidrBlock.cidr).where(SubnetCidrBlock.subnet_id == bindparam("subnet_id")))


def range_of(db: Session, subnet_id: str) -> str:
    """Return a subnet's range of IPv6; empty where it has none."""
    return str(_RANGE.scalar(db, subnet_id=subnet_id) or "")


def usable6(cidr: str) -> Span:
    """Return the first and last number that an interface may have: EC2 keeps the first four, and the last one."""
    low, high = span(cidr)
    return low + RESERVED_HEAD, high - RESERVED_TAIL


def take_ipv6(db: Session, subnet_id: str, cidr6: str, interface_id: str, wanted: str = "") -> str:
    """Give an interface the wanted address, or a free one. Raise Exhausted, or InUse.

    ``cidr6`` is the subnet's range. An interface's addresses keep the order in which it got them. The subnet's row
    is locked, so that nobody takes a prefix meanwhile.
    """
    address = str(IPv6Address(wanted)) if wanted else _free(db, subnet_id, cidr6)
    if wanted and _is_taken(db, subnet_id, address):
        raise InUse(address)
    positions = select(Ipv6Address.position).where(Ipv6Address.interface_id == interface_id)
    position = max(db.scalars(positions), default=-1) + 1
    put(db, Ipv6Address, subnet_id=subnet_id, address=address, interface_id=interface_id, position=position)
    return address


def _free(db: Session, subnet_id: str, cidr6: str) -> str:
    spans = open_spans(usable6(cidr6), reserved(db, subnet_id, 6))
    for _ in range(_TRIES if spans else 0):
        address = str(IPv6Address(draw(spans)))
        if not _is_taken(db, subnet_id, address):
            return address
    raise Exhausted("IPv6 addresses")


def _is_taken(db: Session, subnet_id: str, address: str) -> bool:
    """Say whether somebody has the address, or the prefix that it is part of."""
    prefix = str(IPv6Network(f"{address}/{LENGTHS[6]}", strict=False))
    return any(db.get(kind, (subnet_id, key)) for kind, key in ((Ipv6Address, address), (InterfacePrefix, prefix)))


def release_ipv6(db: Session, interface_id: str, *only: str) -> None:
    """Give back every address of an interface, or ``only`` some."""
    own = Ipv6Address.interface_id == interface_id
    db.execute(
        delete(Ipv6Address).where(own, Ipv6Address.address.in_(only)) if only else delete(Ipv6Address).where(own)
    )

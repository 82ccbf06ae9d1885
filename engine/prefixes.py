"""Prefixes: ranges of addresses that an interface has as a whole, a /28 of IPv4 or a /80 of IPv6."""

import random
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from engine.addresses import Exhausted, InUse, release_private, usable
from engine.reservations import Span, draw, open_spans, reserved, span
from engine.state import InterfacePrefix, Ipv6Address, PrivateAddress, Subnet
from engine.state.prepared import put

LENGTHS = {4: 28, 6: 80}
_SIZE, _SIZE_6 = 1 << 32 - LENGTHS[4], 1 << 128 - LENGTHS[6]
_TRIES = 64


def holder(interface_id: str, cidr: str) -> str:
    """Return who holds the single addresses of a prefix, as far as other interfaces are concerned."""
    return f"{interface_id}/{cidr.partition('/')[0]}"


def take_prefix(db: Session, subnet: Any, interface_id: str, wanted: str = "") -> str:
    """Give an interface the wanted prefix of IPv4, or a free one. Raise Exhausted, or InUse.

    ``subnet`` is a row with an ``id`` and a ``cidr``. Each address of a prefix is taken as any other is, so that
    nobody else gets it.
    """
    first = int(IPv4Network(wanted)[0]) if wanted else _free(db, subnet)
    numbers = range(first, first + _SIZE)
    within = (PrivateAddress.number >= numbers[0], PrivateAddress.number <= numbers[-1])
    cidr = f"{IPv4Address(first)}/{LENGTHS[4]}"
    if db.scalar(select(exists().where(PrivateAddress.subnet_id == subnet.id, *within))):
        raise InUse(cidr)
    taken = {"subnet_id": subnet.id, "interface_id": holder(interface_id, cidr), "is_primary": False}
    for number in numbers:
        put(db, PrivateAddress, **taken, number=number, address=str(IPv4Address(number)))
    put(db, InterfacePrefix, subnet_id=subnet.id, cidr=cidr, interface_id=interface_id)
    less = Subnet.available_addresses - _SIZE
    db.execute(update(Subnet).where(Subnet.id == subnet.id).values(available_addresses=less))
    return cidr


def _free(db: Session, subnet: Any) -> int:
    """Return the first address of a free prefix: of a reservation for prefixes, where there is one."""
    whole = usable(subnet.cidr)
    spans = reserved(db, subnet.id, 4, "prefix") or open_spans(whole, reserved(db, subnet.id, 4))
    rows = select(PrivateAddress.number).where(PrivateAddress.subnet_id == subnet.id)
    taken = {number // _SIZE for number in db.scalars(rows)}
    free = [place for each in spans for place in _places(each, _SIZE, whole) if place not in taken]
    if not free:
        raise Exhausted("prefixes")
    return random.choice(free) * _SIZE


def _places(inside: Span, size: int, whole: Span) -> range:
    """Return which multiples of ``size`` begin a prefix that is within both spans."""
    low, high = max(inside[0], whole[0]), min(inside[1], whole[1])
    return range(-(-low // size), (high + 1) // size)


def take_prefix6(db: Session, subnet_id: str, cidr6: str, interface_id: str, wanted: str = "") -> str:
    """Give an interface the wanted prefix of IPv6, or a free one. Raise Exhausted, or InUse.

    ``cidr6`` is the subnet's range.
    """
    rows = select(Ipv6Address.address).where(Ipv6Address.subnet_id == subnet_id)
    taken = {int(IPv6Address(address)) // _SIZE_6 for address in db.scalars(rows)}
    held = set(db.scalars(select(InterfacePrefix.cidr).where(InterfacePrefix.subnet_id == subnet_id)))
    place = int(IPv6Network(wanted)[0]) // _SIZE_6 if wanted else _free6(db, subnet_id, cidr6, taken, held)
    cidr = _cidr6(place)
    if place in taken or cidr in held:
        raise InUse(cidr)
    put(db, InterfacePrefix, subnet_id=subnet_id, cidr=cidr, interface_id=interface_id)
    return cidr


def _cidr6(place: int) -> str:
    return f"{IPv6Address(place * _SIZE_6)}/{LENGTHS[6]}"


def _free6(db: Session, subnet_id: str, cidr6: str, taken: set[int], held: set[str]) -> int:
    low, high = span(cidr6)
    # Neither the first nor the last: each has addresses that nobody gets.
    whole = (low + _SIZE_6, high - _SIZE_6)
    spans = reserved(db, subnet_id, 6, "prefix") or open_spans(whole, reserved(db, subnet_id, 6))
    places = [found for found in (_places(each, _SIZE_6, whole) for each in spans) if found]
    for _ in range(_TRIES if places else 0):
        place = draw([(found[0], found[-1]) for found in places])
        if place not in taken and _cidr6(place) not in held:
            return place
    for place in (place for found in places for place in found):
        if place not in taken and _cidr6(place) not in held:
            return place
    raise Exhausted("prefixes")


def release_prefixes(db: Session, interface_id: str, *only: str) -> None:
    """Give back every prefix of an interface, or ``only`` some."""
    own = InterfacePrefix.interface_id == interface_id
    mine = (own, InterfacePrefix.cidr.in_(only)) if only else (own,)
    for cidr in db.scalars(select(InterfacePrefix.cidr).where(*mine)):
        if ":" not in cidr:
            release_private(db, holder(interface_id, cidr))
    db.execute(delete(InterfacePrefix).where(*mine))

"""Addresses: free ones are found by arithmetic, and taken by a row whose key admits no second one."""

import random
import secrets
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from engine.state import Address, PrivateAddress, Subnet, Vpc
from engine.state.prepared import Prepared, put
from settings import Settings

RESERVED_HEAD, RESERVED_TAIL = 4, 1
"""EC2 keeps a subnet's first four addresses (network, router, resolver, future) and its last one (broadcast)."""


class Exhausted(Exception):
    """There is no free address, or no free VLAN, left."""


@cache
def usable(cidr: str) -> tuple[int, int]:
    """Return the first and last number that an interface of this subnet may have."""
    network = IPv4Network(cidr)
    return int(network.network_address) + RESERVED_HEAD, int(network.broadcast_address) - RESERVED_TAIL


def count_usable(cidr: str) -> int:
    first, last = usable(cidr)
    return last - first + 1


_SOME = tuple(f"n{number}" for number in range(8))
_SOME_PRIVATE = Prepared(
    select(PrivateAddress.number).where(
        PrivateAddress.subnet_id == bindparam("subnet_id"), PrivateAddress.number.in_([bindparam(n) for n in _SOME])
    )
)
_SOME_PUBLIC = Prepared(select(Address.number).where(Address.number.in_([bindparam(n) for n in _SOME])))
_ONE_LESS = Prepared(
    update(Subnet).where(Subnet.id == bindparam("subnet_id")).values(available_addresses=Subnet.available_addresses - 1)
)


def take_private(db: Session, subnet: Any, interface_id: str, wanted: str = "", primary: bool = True) -> str:
    """Give an interface the wanted address, or a free one. Raise Exhausted, or ValueError("InUse").

    ``subnet`` is a row with an ``id`` and a ``cidr``.
    """
    if wanted:
        number = int(IPv4Address(wanted))
        if db.get(PrivateAddress, (subnet.id, number)) is not None:
            raise ValueError("InUse")
    else:
        number = _free(db, subnet.id, *usable(subnet.cidr))
    address = str(IPv4Address(number))
    taken = {"number": number, "address": address, "interface_id": interface_id, "is_primary": primary}
    put(db, PrivateAddress, subnet_id=subnet.id, **taken)
    _ONE_LESS.execute(db, subnet_id=subnet.id)
    return address


def _free(db: Session, subnet_id: str, first: int, last: int) -> int:
    """Try a handful at random, in one query; only a nearly full subnet is searched from its start."""
    tries = random.choices(range(first, last + 1), k=len(_SOME))
    taken = {n for (n,) in _SOME_PRIVATE.rows(db, subnet_id=subnet_id, **dict(zip(_SOME, tries, strict=True)))}
    for number in tries:
        if number not in taken:
            return number
    taken = set(db.scalars(select(PrivateAddress.number).where(PrivateAddress.subnet_id == subnet_id)))
    for number in range(first, last + 1):
        if number not in taken:
            return number
    raise Exhausted("private addresses")


def release_private(db: Session, interface_id: str, only: str | None = None) -> None:
    """Give back every private address of an interface, or ``only`` one."""
    held = select(PrivateAddress).where(PrivateAddress.interface_id == interface_id)
    for row in db.scalars(held.where(PrivateAddress.address == only) if only else held):
        db.execute(
            update(Subnet).where(Subnet.id == row.subnet_id).values(available_addresses=Subnet.available_addresses + 1)
        )
        db.delete(row)


def free_public(db: Session, settings: Settings) -> str:
    """Return a public address that nothing uses: an Elastic IP, a lent one and a router's are all rows."""
    first, last = (int(a) for a in settings.external_pool)
    tries = random.choices(range(first, last + 1), k=len(_SOME))
    taken = {n for (n,) in _SOME_PUBLIC.rows(db, **dict(zip(_SOME, tries, strict=True)))}
    for number in tries:
        if number not in taken:
            return str(IPv4Address(number))
    everything = set(db.scalars(select(Address.number)))
    for number in range(first, last + 1):
        if number not in everything:
            return str(IPv4Address(number))
    raise Exhausted("public addresses")


def free_vlan(db: Session, settings: Settings) -> int | None:
    """Return the lowest free VLAN id of the range, or None where VPCs have none."""
    if settings.engine == "simulated" or settings.vpc_network == "overlay":
        return None
    low, high = settings.vlan_range
    if db.scalar(select(func.count()).where(Vpc.vlan == low)) == 0:
        return low
    taken = set(db.scalars(select(Vpc.vlan).where(Vpc.vlan.is_not(None))))
    for vlan in range(low, high + 1):
        if vlan not in taken:
            return vlan
    raise Exhausted("VLAN ids")


def new_mac_tag(db: Session, vpc_id: str) -> int:
    """Return what tells a new subnet's cards from those of the VPC's other subnets."""
    taken = set(db.scalars(select(Subnet.mac_tag).where(Subnet.vpc_id == vpc_id)))
    return next(tag for tag in iter(lambda: secrets.randbelow(1 << 16), None) if tag not in taken)


def mac_prefix(tag: int) -> str:
    """Return the first three bytes of the MAC addresses in a subnet: locally administered, as EC2's own."""
    return f"06:{tag >> 8:02x}:{tag & 255:02x}"


def new_mac(tag: int) -> str:
    """Return a MAC address for a card of the subnet with this tag, in lower case with colons."""
    return mac_prefix(tag) + "".join(f":{byte:02x}" for byte in secrets.token_bytes(3))

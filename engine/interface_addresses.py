"""What an interface has besides its primary private address: more of them, addresses of IPv6, and prefixes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.addresses import release_private, take_private
from engine.ipv6_addresses import range_of, release_ipv6, take_ipv6
from engine.prefixes import release_prefixes, take_prefix, take_prefix6
from engine.state import Address, InterfacePrefix, Ipv6Address, NetworkInterface, PrivateAddress


@dataclass(frozen=True)
class Wish:
    """Addresses or prefixes that are named, or how many free ones."""

    named: tuple[str, ...] = ()
    count: int = 0

    def __len__(self) -> int:
        return len(self.named) + self.count

    @property
    def each(self) -> Sequence[str]:
        """One text for each; empty is a free one."""
        return (*self.named, *[""] * self.count)


_NOTHING = Wish()


@dataclass(frozen=True)
class Extras:
    """What an interface shall be given. ``primary_ipv6`` has its first address of IPv6 stay for good."""

    private: Wish = _NOTHING
    prefixes: Wish = _NOTHING
    ipv6: Wish = _NOTHING
    prefixes6: Wish = _NOTHING
    primary_ipv6: bool = False

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.of_ipv6 or self.primary_ipv6)

    @property
    def ipv4(self) -> int:
        """How many of IPv4, as instance types count them: a prefix is one."""
        return len(self.private) + len(self.prefixes)

    @property
    def of_ipv6(self) -> int:
        return len(self.ipv6) + len(self.prefixes6)

    @property
    def named(self) -> bool:
        return any(wish.named for wish in (self.private, self.prefixes, self.ipv6, self.prefixes6))


@dataclass(frozen=True)
class Given:
    """What an interface was given."""

    private: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    ipv6: list[str] = field(default_factory=list)
    prefixes6: list[str] = field(default_factory=list)


def give(db: Session, subnet: Any, interface_id: str, extras: Extras) -> Given:
    """Give an interface more addresses. Raise addresses.Exhausted or InUse.

    ``subnet`` is a row with an ``id`` and a ``cidr``, and a range of IPv6 where that is wished for.
    """
    given = Given()
    for wanted in extras.private.each:
        given.private.append(take_private(db, subnet, interface_id, wanted, primary=False))
    for wanted in extras.prefixes.each:
        given.prefixes.append(take_prefix(db, subnet, interface_id, wanted))
    cidr6 = range_of(db, subnet.id) if extras.of_ipv6 else ""
    for wanted in extras.ipv6.each:
        given.ipv6.append(take_ipv6(db, subnet.id, cidr6, interface_id, wanted))
    for wanted in extras.prefixes6.each:
        given.prefixes6.append(take_prefix6(db, subnet.id, cidr6, interface_id, wanted))
    if extras.primary_ipv6:
        keep_first_ipv6(db, interface_id)
    return given


def keep_first_ipv6(db: Session, interface_id: str) -> None:
    """Make the first address of IPv6 that an interface has its primary one, if it has none yet."""
    held = list(db.scalars(select(Ipv6Address).filter_by(interface_id=interface_id).order_by(Ipv6Address.position)))
    if held and not any(address.is_primary for address in held):
        held[0].is_primary = True


def count(db: Session, interface_id: str) -> tuple[int, int]:
    """Return how many addresses of each IP version an interface has; a prefix counts as one."""
    prefixes = list(db.scalars(select(InterfacePrefix.cidr).where(InterfacePrefix.interface_id == interface_id)))
    of_ipv6 = sum(":" in cidr for cidr in prefixes)
    single = [
        db.scalar(select(func.count()).where(kind.interface_id == interface_id)) or 0
        for kind in (PrivateAddress, Ipv6Address)
    ]
    return single[0] + len(prefixes) - of_ipv6, single[1] + of_ipv6


def move_private(db: Session, address: PrivateAddress, interface: NetworkInterface) -> None:
    """Let an interface have a secondary address of another one, and with it the Elastic IP that leads there."""
    public = (Address.interface_id == address.interface_id, Address.private_ip == address.address)
    db.execute(update(Address).where(*public).values(interface_id=interface.id))
    address.interface_id = interface.id


def release_addresses(db: Session, interface_id: str) -> None:
    """Give back everything that an interface has."""
    release_private(db, interface_id)
    release_prefixes(db, interface_id)
    release_ipv6(db, interface_id)

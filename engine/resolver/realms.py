"""What the database knows of a VPC whose guests ask for names: whose names are to be told, and which services'."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.orm import Session

from engine.names import domain_name
from engine.state import Endpoint, EndpointService, Peering, Vpc, VpcCidrBlock, json_rows
from engine.state.database import Database
from engine.state.prepared import Prepared

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network

_KEPT_SECONDS = 0.5
"""How long what was read of a VPC counts: changes are seen within a second."""
_ON_LINK = IPv6Network("fe80::/10")


@dataclass(frozen=True)
class Territory:
    """A VPC whose interfaces have names, and the ranges that their addresses are in."""

    vpc_id: str
    ranges: tuple[Range, ...]

    def holds(self, address: Address) -> bool:
        return any(address in each for each in self.ranges)


@dataclass(frozen=True)
class Realm:
    """A VPC as its guests' questions see it. ``neighbours`` are the peers whose names may be asked for from here.

    ``services`` are private names of interface endpoints and the endpoints that have them; a name may begin with
    ``*.``, for whatever single label is there.
    """

    own: Territory
    region: str
    answers: bool
    """EC2's enableDnsSupport."""
    names: bool
    """EC2's enableDnsHostnames: without it its interfaces have no names, and its endpoints no private ones."""
    neighbours: tuple[Territory, ...] = ()
    services: tuple[tuple[str, str], ...] = ()

    @property
    def domain(self) -> str:
        return domain_name(self.region)

    @property
    def named(self) -> Iterator[Territory]:
        """Every VPC whose interfaces have names here."""
        if self.names:
            yield self.own
        yield from self.neighbours

    def lets_ask(self, guest: str) -> bool:
        """Say whether a guest is one of this VPC's own, by its address: nobody else is answered."""
        address = ip_address(guest)
        return self.answers and (self.own.holds(address) or address in _ON_LINK)


_ranges = json_rows(
    VpcCidrBlock.cidr,
    where=and_(VpcCidrBlock.vpc_id == Vpc.id, VpcCidrBlock.state == "associated"),
    order=(VpcCidrBlock.cidr,),
)
_VPC = Prepared(
    select(Vpc.id, Vpc.region, Vpc.dns_support, Vpc.dns_hostnames, _ranges.label("cidrs")).where(
        Vpc.id == bindparam("id")
    )
)
# Each side of a peering says whether the other may resolve its names.
_open = or_(
    and_(Peering.requester_vpc_id == bindparam("id"), Peering.accepter_vpc_id == Vpc.id, Peering.accepter_dns),
    and_(Peering.accepter_vpc_id == bindparam("id"), Peering.requester_vpc_id == Vpc.id, Peering.requester_dns),
)
_NEIGHBOURS = Prepared(
    select(Vpc.id, _ranges.label("cidrs"))
    .join(Peering, _open)
    .where(Peering.status == "active", Vpc.dns_hostnames)
    .order_by(Peering.id)
)
_SERVICES = Prepared(
    select(EndpointService.private_dns_name, Endpoint.id)
    .join(Endpoint, Endpoint.service_id == EndpointService.id)
    .where(
        Endpoint.vpc_id == bindparam("id"),
        Endpoint.kind == "Interface",
        Endpoint.state == "available",
        Endpoint.private_dns,
    )
    .order_by(Endpoint.id)
)


def find_realm(db: Session, vpc_id: str) -> Realm | None:
    """Return a VPC as its guests' questions see it, or None where there is none."""
    vpc = _VPC.first(db, id=vpc_id)
    if vpc is None:
        return None
    return Realm(
        own=_territory(vpc),
        region=vpc.region,
        answers=vpc.dns_support,
        names=vpc.dns_hostnames,
        neighbours=tuple(_territory(row) for row in _NEIGHBOURS.rows(db, id=vpc_id)),
        services=tuple((row.private_dns_name.lower(), row.id) for row in _SERVICES.rows(db, id=vpc_id)),
    )


def _territory(row: object) -> Territory:
    id, cidrs = row.id, json.loads(row.cidrs)  # type: ignore[attr-defined]
    return Territory(id, tuple(ip_network(cidr) for (cidr,) in cidrs))


class Realms:
    """Realms as they are now, or were half a second ago; for any number of threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._kept: dict[str, tuple[float, Realm | None]] = {}

    def get(self, vpc_id: str) -> Realm | None:
        """Raise what the database raises."""
        now = self._clock()
        kept = self._kept.get(vpc_id)
        if kept is not None and now - kept[0] < _KEPT_SECONDS:
            return kept[1]
        with self._database.read() as db:
            found = find_realm(db, vpc_id)
        self._kept[vpc_id] = now, found
        return found

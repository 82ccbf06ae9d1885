"""Where the route tables of a VPC lead, and whether what they lead to is there."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from engine.desired.ports import PLUGGED
from engine.drivers import networking
from engine.prefix_lists import entries_of
from engine.state import (
    EgressGateway,
    Endpoint,
    Instance,
    InternetGateway,
    Ipv6Address,
    NatGateway,
    NetworkInterface,
    Peering,
    Resource,
    Route,
    RouteTable,
)
from engine.state.prepared import Prepared

LOCAL = "local"
"""The target of a VPC's routes to itself."""
_WORKING = ("pending", "available")
_KINDS = {"igw": "uplink", "eigw": "outbound", "vpce": "outlet"}


def _one_of(column: Any, values: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(column == literal(value) for value in values))


def _there(kind: type[Resource], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    found = exists().where(kind.id == Route.target, *conditions).correlate_except(kind)
    return and_(Route.target.like(f"{kind.prefix}-%"), found)


_vpc = RouteTable.vpc_id
_plugged = (
    exists().where(Instance.id == NetworkInterface.instance_id, _one_of(Instance.state, PLUGGED))
).correlate_except(Instance)
ROUTE_STATE: ColumnElement[str] = case(
    (Route.target == LOCAL, "active"),
    (_there(InternetGateway, InternetGateway.vpc_id == _vpc), "active"),
    (_there(EgressGateway, EgressGateway.vpc_id == _vpc), "active"),
    (_there(NatGateway, _one_of(NatGateway.state, _WORKING)), "active"),
    (_there(NetworkInterface, NetworkInterface.attachment_status != "detached", _plugged), "active"),
    (
        _there(
            Peering, Peering.status == "active", or_(_vpc == Peering.requester_vpc_id, _vpc == Peering.accepter_vpc_id)
        ),
        "active",
    ),
    (_there(Endpoint, _one_of(Endpoint.state, _WORKING)), "active"),
    else_="blackhole",
)
"""The state of a ``Route`` of a ``RouteTable``, as SQL: it follows from what its target is now, so nobody writes it."""

_first6 = (
    select(Ipv6Address.address)
    .where(Ipv6Address.interface_id == NetworkInterface.id)
    .order_by(Ipv6Address.is_primary.desc(), Ipv6Address.position, Ipv6Address.address)
    .limit(1)
    .scalar_subquery()
)
# A route names what its gateway's interface was at that time, and a gateway may get one only later.
_interface = NetworkInterface.id == func.coalesce(NatGateway.interface_id, Route.interface_id)
_ROUTES = Prepared(
    select(
        Route.route_table_id, Route.destination, Route.target, ROUTE_STATE.label("state"), NetworkInterface.private_ip,
        _first6.label("ipv6"),
    )
    .join(RouteTable, RouteTable.id == Route.route_table_id)
    .outerjoin(NatGateway, NatGateway.id == Route.target)
    .outerjoin(NetworkInterface, _interface)
    .where(RouteTable.vpc_id == bindparam("id"), Route.target != LOCAL)
    .order_by(Route.route_table_id, Route.destination)
)  # fmt: skip


def routes(db: Session, vpc_id: str) -> dict[str, tuple[networking.Route, ...]]:
    """Return the routes of each route table; those of a VPC to itself every network has anyway.

    Of two to the same range the one that names it has priority over that of a prefix list, and of two lists the first.
    """
    found: dict[str, dict[str, networking.Route]] = {}
    for row in _ROUTES.rows(db, id=vpc_id):
        ways = found.setdefault(row.route_table_id, {})
        for way in _ways(db, row):
            # Ranges sort before the ids of lists.
            ways.setdefault(way.destination, way)
    return {table: tuple(ways.values()) for table, ways in found.items()}


def _ways(db: Session, row: Any) -> Iterator[networking.Route]:
    listed = row.destination.startswith("pl-")
    for cidr in entries_of(db, row.destination) if listed else (row.destination,):
        yield networking.Route(cidr, _via(row, is_ipv6=":" in cidr))


def _via(row: Any, is_ipv6: bool) -> str:
    if row.target.startswith("eni-") and row.private_ip is not None:
        # While no running guest has the card, nobody answers there: the same as a blackhole, without a change of the
        # network whenever a guest starts or stops.
        return str((row.ipv6 or "blackhole") if is_ipv6 else row.private_ip)
    if row.state != "active":
        return "blackhole"
    if row.private_ip is not None:
        return str("blackhole" if is_ipv6 else row.private_ip)
    return _KINDS.get(row.target.partition("-")[0], str(row.target))

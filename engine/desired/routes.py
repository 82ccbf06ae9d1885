"""Where the route tables of a VPC lead."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from engine.drivers import base
from engine.prefix_lists import entries_of
from engine.state import Ipv6Address, NetworkInterface, Route, RouteTable
from engine.state.prepared import Prepared

_first6 = (
    select(Ipv6Address.address)
    .where(Ipv6Address.interface_id == NetworkInterface.id)
    .order_by(Ipv6Address.is_primary.desc(), Ipv6Address.position, Ipv6Address.address)
    .limit(1)
    .scalar_subquery()
)
_ROUTES = Prepared(
    select(
        Route.route_table_id, Route.destination, Route.target, Route.state, NetworkInterface.private_ip,
        _first6.label("ipv6"),
    )
    .join(RouteTable, RouteTable.id == Route.route_table_id)
    .outerjoin(NetworkInterface, NetworkInterface.id == Route.interface_id)
    .where(and_(RouteTable.vpc_id == bindparam("id"), Route.target != "local"))
    .order_by(Route.route_table_id, Route.destination)
)  # fmt: skip
_KINDS = {"igw": "uplink", "eigw": "outbound", "vpce": "outlet"}


def routes(db: Session, vpc_id: str) -> dict[str, tuple[base.Route, ...]]:
    """Return the routes of each route table; those of a VPC to itself every network has anyway."""
    found: dict[str, list[base.Route]] = {}
    for row in _ROUTES.rows(db, id=vpc_id):
        found.setdefault(row.route_table_id, []).extend(_ways(db, row))
    return {table: tuple(ways) for table, ways in found.items()}


def _ways(db: Session, row: Any) -> Iterator[base.Route]:
    listed = row.destination.startswith("pl-")
    for cidr in entries_of(db, row.destination) if listed else (row.destination,):
        yield base.Route(cidr, _via(row, is_ipv6=":" in cidr) if row.state == "active" else "blackhole")


def _via(row: Any, is_ipv6: bool) -> str:
    if row.private_ip is not None:
        return str((row.ipv6 or "blackhole") if is_ipv6 else row.private_ip)
    return _KINDS.get(row.target.partition("-")[0], str(row.target))

"""What the hops of a packet are in EC2's words: whose interface, which rule of a group, which route of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.desired import LOCAL, ROUTE_STATE
from engine.drivers.packets import Hop
from engine.prefix_lists import entries_of
from engine.state import (
    EgressGateway,
    InterfaceGroup,
    InternetGateway,
    NatGateway,
    NetworkAclAssociation,
    NetworkAclEntry,
    NetworkInterface,
    Peering,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroupRule,
    Subnet,
    Vpc,
)

LAST_LINE = 32767


@dataclass(frozen=True)
class Waypoint:
    """A hop, and what it is. ``id`` is the resource's, empty where there is none.

    ``rule`` is the row that decided, where one did, and ``route_state`` its state if it is a route. ``groups`` are
    those that were asked, the one that decided first.
    """

    hop: Hop
    id: str = ""
    account: str = ""
    vpc_id: str = ""
    subnet_id: str = ""
    interface_id: str = ""
    instance_id: str = ""
    groups: tuple[str, ...] = ()
    rule: SecurityGroupRule | NetworkAclEntry | Route | None = None
    route_state: str = ""


class Atlas:
    """Looks hops up in the database; valid as long as the session is."""

    def __init__(self, db: Session) -> None:
        self._db = db
        self._kinds: dict[str, Callable[[Hop], Waypoint]] = {
            "port": self._port,
            "groups": self._groups,
            "filter": self._filter,
            "routes": self._routes,
            "router": self._router,
            "peering": self._peering,
            "nat gateway": self._nat_gateway,
            "uplink": self._uplink,
            "wire": self._of_vpc,
            "services": self._of_vpc,
            "nowhere": self._nowhere,
        }
        self._account = cache(self._account_of)
        self._way = ""

    def waypoints(self, hops: Sequence[Hop]) -> list[Waypoint]:
        """Return what the hops of one packet are, in their order."""
        self._way = ""
        return [self._kinds[hop.kind](hop) for hop in hops]

    def _account_of(self, vpc_id: str) -> str:
        return self._db.scalar(select(Vpc.account).where(Vpc.id == vpc_id)) or ""

    def _place(self, vpc_id: str, subnet_id: str = "") -> dict[str, Any]:
        return {"vpc_id": vpc_id, "subnet_id": subnet_id, "account": self._account(vpc_id)}

    def _interface(self, hop: Hop) -> dict[str, Any]:
        row = self._db.get(NetworkInterface, hop.id)
        if row is None:
            return {"interface_id": hop.id}
        return {
            "interface_id": row.id,
            "instance_id": row.instance_id or "",
            **self._place(row.vpc_id, row.subnet_id),
        }

    def _port(self, hop: Hop) -> Waypoint:
        return Waypoint(hop, hop.id, **self._interface(hop))

    def _groups(self, hop: Hop) -> Waypoint:
        members = select(InterfaceGroup.group_id).filter_by(interface_id=hop.id).order_by(InterfaceGroup.position)
        every = list(self._db.scalars(members))
        first = hop.group or next(iter(every), "")
        rule = self._db.get(SecurityGroupRule, hop.rule) if hop.rule else None
        groups = tuple(dict.fromkeys(filter(None, [hop.group, *every])))
        return Waypoint(hop, first, groups=groups, rule=rule, **self._interface(hop))

    def _filter(self, hop: Hop) -> Waypoint:
        subnet = self._db.get(Subnet, hop.id)
        acl = self._db.scalar(select(NetworkAclAssociation.acl_id).filter_by(subnet_id=hop.id))
        if subnet is None or acl is None:
            return Waypoint(hop, subnet_id=hop.id)
        place = self._place(subnet.vpc_id, subnet.id)
        return Waypoint(hop, acl, rule=None if hop.why == "served" else self._line(acl, hop), **place)

    def _line(self, acl_id: str, hop: Hop) -> NetworkAclEntry | None:
        """Return the entry of an ACL that decided. Where the network keeps none, everything passes by the first."""
        egress = hop.direction == "out"
        lines = select(NetworkAclEntry).filter_by(acl_id=acl_id, egress=egress).order_by(NetworkAclEntry.number)
        number = LAST_LINE if hop.rule == "*" else int(hop.rule or 0)
        version = ip_address(hop.destination).version
        for line in self._db.scalars(lines):
            if line.number == number or (not number and ip_network(line.cidr).version == version):
                return line
        return None

    # -- ways ----------------------------------------------------------------------

    def _routes(self, hop: Hop) -> Waypoint:
        if hop.direction == "in":
            return self._arriving(hop)
        subnet = self._db.get(Subnet, hop.id)
        if subnet is None:
            return Waypoint(hop, subnet_id=hop.id)
        rows = select(RouteTableAssociation.route_table_id).filter_by(vpc_id=subnet.vpc_id, gateway_id="")
        both = rows.where(RouteTableAssociation.subnet_id.in_(["", subnet.id]))
        table = self._db.scalar(both.order_by(RouteTableAssociation.subnet_id.desc())) or ""
        return self._routed(hop, table, self._place(subnet.vpc_id, subnet.id))

    def _arriving(self, hop: Hop) -> Waypoint:
        rows = select(RouteTableAssociation.route_table_id).filter_by(vpc_id=hop.id)
        table = self._db.scalar(rows.where(RouteTableAssociation.gateway_id != "")) or ""
        return self._routed(hop, table, self._place(hop.id))

    def _routed(self, hop: Hop, table: str, place: dict[str, Any]) -> Waypoint:
        row, state = (self._route(table, hop) if hop.rule else None) or (None, "")
        self._way = row.target if row is not None else ""
        return Waypoint(hop, table, rule=row, route_state=state, **place)

    def _route(self, table: str, hop: Hop) -> tuple[Route, str] | None:
        """Return the route, and its state."""
        both = select(Route, ROUTE_STATE).join(RouteTable, RouteTable.id == Route.route_table_id)
        for route, state in self._db.execute(both.where(RouteTable.id == table).order_by(Route.destination)).tuples():
            if hop.rule == LOCAL:
                if route.target == LOCAL and _holds(route.destination, hop.destination):
                    return route, state
                continue
            listed = route.destination.startswith("pl-") and hop.rule in entries_of(self._db, route.destination)
            if listed or route.destination == hop.rule:
                return route, state
        return None

    def _router(self, hop: Hop) -> Waypoint:
        subnet = self._db.get(Subnet, hop.id)
        place = self._place(subnet.vpc_id, subnet.id) if subnet else self._place(hop.id)
        return Waypoint(hop, place["vpc_id"], **place)

    def _uplink(self, hop: Hop) -> Waypoint:
        """The gateway is the one that the route before it names, and otherwise the one that is attached."""
        way = self._way if self._way.partition("-")[0] in ("igw", "eigw", "vpce") else ""
        if hop.why == "closed":
            way = self._db.scalar(select(EgressGateway.id).filter_by(vpc_id=hop.id)) or ""
        attached = select(InternetGateway.id).filter_by(vpc_id=hop.id)
        return Waypoint(hop, way or self._db.scalar(attached) or "", **self._place(hop.id))

    def _nat_gateway(self, hop: Hop) -> Waypoint:
        row = self._db.get(NatGateway, hop.id)
        if row is None:
            return Waypoint(hop, hop.id)
        return Waypoint(hop, row.id, interface_id=row.interface_id or "", **self._place(row.vpc_id, row.subnet_id))

    def _peering(self, hop: Hop) -> Waypoint:
        row = self._db.get(Peering, hop.id)
        return Waypoint(hop, hop.id, account=row.account if row else "")

    def _of_vpc(self, hop: Hop) -> Waypoint:
        return Waypoint(hop, hop.id, **self._place(hop.id))

    def _nowhere(self, hop: Hop) -> Waypoint:
        return Waypoint(hop, **self._place(hop.id)) if hop.id else Waypoint(hop)


def _holds(cidr: str, address: str) -> bool:
    return ip_address(address) in ip_network(cidr)

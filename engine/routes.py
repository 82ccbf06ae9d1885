"""Routes that every table of a VPC has, and whom a change of what routes lead to concerns."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine import tasks
from engine.state import Route, RouteTable

OWN = "CreateRouteTable"
"""The origin of a VPC's routes to itself; those that were given another target keep it."""


def local_route(table_id: str, cidr: str) -> Route:
    """Return a new table's route to one of its VPC's ranges."""
    return Route(route_table_id=table_id, destination=cidr, target="local", origin=OWN)


def add_local_routes(db: Session, vpc_id: str, cidr: str) -> None:
    """Add the route to a range that a VPC was given, to each of its tables."""
    tables = db.scalars(select(RouteTable.id).where(RouteTable.vpc_id == vpc_id)).all()
    db.add_all(local_route(table, cidr) for table in tables)


def remove_local_routes(db: Session, vpc_id: str, cidr: str) -> None:
    """Take away the route to a range that a VPC has no more, whatever its target became."""
    tables = select(RouteTable.id).where(RouteTable.vpc_id == vpc_id)
    db.execute(delete(Route).where(Route.route_table_id.in_(tables), Route.destination == cidr, Route.origin == OWN))


def sync_routes_to(db: Session, interface_id: str) -> None:
    """Bring to the network what the end of an interface, or a change of its addresses, means for the routes to it."""
    tables = select(RouteTable.vpc_id, RouteTable.region).join(Route, Route.route_table_id == RouteTable.id)
    for vpc_id, region in set(db.execute(tables.where(Route.interface_id == interface_id)).tuples()):
        tasks.start(db, vpc_id, "sync_network", region)

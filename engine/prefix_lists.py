"""What a prefix list stands for, and whom a change of it concerns."""

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine import tasks
from engine.state import PrefixListEntry, Route, RouteTable, SecurityGroup, SecurityGroupRule
from engine.state.prepared import Prepared

_ENTRIES = Prepared(
    select(PrefixListEntry.cidr)
    .where(PrefixListEntry.prefix_list_id == bindparam("id"), PrefixListEntry.removed.is_(None))
    .order_by(PrefixListEntry.cidr)
)


def entries_of(db: Session, prefix_list_id: str) -> list[str]:
    """Return the ranges that are in a list now."""
    return [cidr for (cidr,) in _ENTRIES.rows(db, id=prefix_list_id)]


def sync_users(db: Session, prefix_list_id: str) -> None:
    """Bring to the network what a changed list means for the security groups and route tables that name it."""
    groups = select(SecurityGroup.id, SecurityGroup.region).where(
        SecurityGroup.id.in_(
            select(SecurityGroupRule.group_id).where(SecurityGroupRule.prefix_list_id == prefix_list_id)
        )
    )
    for id, region in db.execute(groups).all():
        tasks.start(db, id, "sync_group", region)
    tables = select(RouteTable.vpc_id, RouteTable.region).join(Route, Route.route_table_id == RouteTable.id)
    for id, region in set(db.execute(tables.where(Route.destination == prefix_list_id)).tuples()):
        tasks.start(db, id, "sync_network", region)

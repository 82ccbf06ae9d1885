"""What a security group should let pass."""

import json

from sqlalchemy import bindparam, case, select
from sqlalchemy.orm import Session

from engine.drivers import networking
from engine.prefix_lists import entries_of
from engine.state import Peering, SecurityGroup, SecurityGroupRule, json_rows
from engine.state.prepared import Prepared

_peering = select(Peering.status).where(Peering.id == SecurityGroupRule.peering_id).scalar_subquery()
_GROUP = Prepared(
    select(
        SecurityGroup.id,
        SecurityGroup.vpc_id,
        json_rows(
            SecurityGroupRule.egress, SecurityGroupRule.protocol, SecurityGroupRule.cidr_ipv4,
            SecurityGroupRule.cidr_ipv6, SecurityGroupRule.peer_group_id, SecurityGroupRule.from_port,
            SecurityGroupRule.to_port, SecurityGroupRule.prefix_list_id, SecurityGroupRule.id,
            case((SecurityGroupRule.peering_id == "", "active"), else_=_peering),
            where=SecurityGroupRule.group_id == SecurityGroup.id,
            order=(SecurityGroupRule.id,),
        ).label("rules"),
    ).where(SecurityGroup.id == bindparam("id"))
)  # fmt: skip


def group(db: Session, group_id: str) -> networking.Group | None:
    """Return what a security group should let pass, or None if it is gone."""
    row = _GROUP.first(db, id=group_id)
    if row is None:
        return None
    # A group of a peer has addresses of its own network: without the peering these may be anybody's.
    rules = tuple(_rule(db, *rule) for *rule, peering in json.loads(row.rules) if peering == "active")
    return networking.Group(row.id, row.vpc_id, rules)


def _rule(
    db: Session, egress: bool, protocol: str, cidr_ipv4: str, cidr_ipv6: str, peer: str, from_port: int, to_port: int,
    prefix_list: str, id: str,
) -> networking.Rule:  # fmt: skip
    everything = protocol == "-1"
    ranges = tuple(entries_of(db, prefix_list)) if prefix_list else (cidr_ipv4 or cidr_ipv6,)
    return networking.Rule(
        direction="out" if egress else "in",
        protocol="all" if everything else protocol,
        peer=peer or ranges,
        from_port=None if everything else from_port,
        to_port=None if everything else to_port,
        id=id,
    )

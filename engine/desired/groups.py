"""What a security group should let pass."""

import json

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine.drivers import base
from engine.prefix_lists import entries_of
from engine.state import SecurityGroup, SecurityGroupRule, json_rows
from engine.state.prepared import Prepared

_GROUP = Prepared(
    select(
        SecurityGroup.id,
        SecurityGroup.vpc_id,
        json_rows(
            SecurityGroupRule.egress, SecurityGroupRule.protocol, SecurityGroupRule.cidr_ipv4,
            SecurityGroupRule.cidr_ipv6, SecurityGroupRule.peer_group_id, SecurityGroupRule.from_port,
            SecurityGroupRule.to_port, SecurityGroupRule.prefix_list_id, SecurityGroupRule.id,
            where=SecurityGroupRule.group_id == SecurityGroup.id,
            order=(SecurityGroupRule.id,),
        ).label("rules"),
    ).where(SecurityGroup.id == bindparam("id"))
)  # fmt: skip


def group(db: Session, group_id: str) -> base.Group | None:
    """Return what a security group should let pass, or None if it is gone."""
    row = _GROUP.first(db, id=group_id)
    if row is None:
        return None
    return base.Group(row.id, row.vpc_id, tuple(_rule(db, *rule) for rule in json.loads(row.rules)))


def _rule(
    db: Session, egress: bool, protocol: str, cidr_ipv4: str, cidr_ipv6: str, peer: str, from_port: int, to_port: int,
    prefix_list: str, id: str,
) -> base.Rule:  # fmt: skip
    everything = protocol == "-1"
    ranges = tuple(entries_of(db, prefix_list)) if prefix_list else (cidr_ipv4 or cidr_ipv6,)
    return base.Rule(
        direction="out" if egress else "in",
        protocol="all" if everything else protocol,
        peer=peer or ranges,
        from_port=None if everything else from_port,
        to_port=None if everything else to_port,
        id=id,
    )

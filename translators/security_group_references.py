"""Security groups seen from elsewhere: which a VPC can use, who names one from a peer, and what names nothing now."""

import json
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import aliased

from engine.state import Peering, SecurityGroup, SecurityGroupRule, Vpc
from translators.describe import Listing, describe, tag_set, tags_of
from translators.find import find, find_all
from translators.ip_permissions import Shown, heading, pair
from translators.registry import Call, Result, action
from translators.security_groups import rules_where

_other = aliased(SecurityGroup)
_way = exists().where(Peering.id == SecurityGroupRule.peering_id, Peering.status == "active")
_there = exists().where(_other.id == SecurityGroupRule.peer_group_id)
_STALE: ColumnElement[bool] = and_(SecurityGroupRule.peer_vpc_id != "", or_(~_way, ~_there))
"""A rule that names a group of a peer, where the peering or the group is gone."""


def _stale_shape(row: Any) -> dict[str, Any]:
    rules = [Shown(*values) for values in json.loads(row.rules)]
    return {
        "GroupId": row.id,
        "GroupName": row.name,
        "Description": row.description,
        "VpcId": row.vpc_id,
        "StaleIpPermissions": [_stale_rule(rule) for rule in rules if not rule.egress],
        "StaleIpPermissionsEgress": [_stale_rule(rule) for rule in rules if rule.egress],
    }


def _stale_rule(rule: Shown) -> dict[str, Any]:
    described = {"Description": rule.description} if rule.description else {}
    return heading(rule) | {"UserIdGroupPairs": [pair(rule) | described]}


STALE_GROUPS = Listing(
    kind=SecurityGroup,
    columns=(
        SecurityGroup.id, SecurityGroup.name, SecurityGroup.description, SecurityGroup.vpc_id,
        rules_where(_STALE).label("rules"),
    ),
    shape=_stale_shape,
    filters={},
    also=(exists().where(SecurityGroupRule.group_id == SecurityGroup.id, _STALE),),
)  # fmt: skip


@action
def describe_stale_security_groups(
    call: Call, *, vpc_id: str, max_results: int | None = None, next_token: str | None = None
) -> Result:
    find(call, Vpc, vpc_id)
    where = [SecurityGroup.vpc_id == vpc_id]
    found, token = describe(call, STALE_GROUPS, max_results=max_results, next_token=next_token, where=where)
    return {"StaleSecurityGroupSet": found, "NextToken": token}


@action
def describe_security_group_references(call: Call, *, group_id: list[str]) -> Result:
    """Name the peer VPCs with a group whose rules name one of these."""
    find_all(call, SecurityGroup, group_id)
    rows = (
        select(SecurityGroupRule.peer_group_id, SecurityGroup.vpc_id, SecurityGroupRule.peering_id)
        .join(SecurityGroup, SecurityGroup.id == SecurityGroupRule.group_id)
        .where(SecurityGroupRule.peer_group_id.in_(group_id), SecurityGroupRule.peer_vpc_id != "", _way)
    )
    found = sorted(set(call.db.execute(rows).tuples()))
    names = ("GroupId", "ReferencingVpcId", "VpcPeeringConnectionId")
    return {"SecurityGroupReferenceSet": [dict(zip(names, row, strict=True)) for row in found]}


def _usable_shape(row: Any) -> dict[str, Any]:
    return {
        "GroupId": row.id,
        "GroupName": row.name,
        "Description": row.description,
        "OwnerId": row.account,
        "PrimaryVpcId": row.vpc_id,
        "Tags": tag_set(row.tags),
    }


USABLE_GROUPS = Listing(
    kind=SecurityGroup,
    columns=(
        SecurityGroup.id, SecurityGroup.account, SecurityGroup.name, SecurityGroup.description, SecurityGroup.vpc_id,
        tags_of(SecurityGroup),
    ),
    shape=_usable_shape,
    filters={
        "description": SecurityGroup.description,
        "group-id": SecurityGroup.id,
        "group-name": SecurityGroup.name,
        "owner-id": SecurityGroup.account,
        "primary-vpc-id": SecurityGroup.vpc_id,
    },
)  # fmt: skip


@action
def get_security_groups_for_vpc(
    call: Call,
    *,
    vpc_id: str,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Return the groups that interfaces of a VPC can be in: those that were made in it."""
    find(call, Vpc, vpc_id)
    where = [SecurityGroup.vpc_id == vpc_id]
    found, token = describe(call, USABLE_GROUPS, None, filters, max_results, next_token, where=where)
    return {"SecurityGroupForVpcs": found, "NextToken": token}

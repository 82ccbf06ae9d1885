"""Security groups: what may reach the interfaces that are in them, and what these may reach."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, select
from sqlalchemy.orm import aliased

from engine import tasks
from engine.default_vpc import ANYWHERE, ANYWHERE_6, egress_to_anywhere
from engine.state import EndpointGroup, InterfaceGroup, Peering, SecurityGroup, SecurityGroupRule, Vpc, json_rows
from engine.vpc_ranges import has_ipv6
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, missing
from translators.filters import Filters, Test, through
from translators.find import find
from translators.ip_permissions import ALLOWED, Shown, grouped, is_plain, known_as
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_other = aliased(SecurityGroup)
_across = SecurityGroupRule.peer_vpc_id != ""
PEER_NAME = case((_across, select(_other.name).where(_other.id == SecurityGroupRule.peer_group_id).scalar_subquery()))
"""What a group is called that a rule names in another VPC, while it is there."""
PEERING_STATUS = case(
    (_across, select(Peering.status).where(Peering.id == SecurityGroupRule.peering_id).scalar_subquery())
)
"""What became of the peering connection by which it is named; nothing when that is forgotten."""


def rules_where(*conditions: ColumnElement[bool]) -> Any:
    """Return a group's rules as a column, each with the fields of ip_permissions.Shown."""
    return json_rows(
        SecurityGroupRule.egress, SecurityGroupRule.protocol, SecurityGroupRule.from_port, SecurityGroupRule.to_port,
        SecurityGroupRule.cidr_ipv4, SecurityGroupRule.cidr_ipv6, SecurityGroupRule.peer_group_id,
        SecurityGroupRule.peer_account, SecurityGroupRule.prefix_list_id, SecurityGroupRule.peer_vpc_id,
        SecurityGroupRule.peering_id, SecurityGroupRule.description, PEER_NAME, PEERING_STATUS,
        where=and_(SecurityGroupRule.group_id == SecurityGroup.id, *conditions),
        order=(SecurityGroupRule.created, SecurityGroupRule.id),
    )  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    rules = [Shown(*values) for values in json.loads(row.rules)]
    return {
        "GroupId": row.id,
        "GroupName": row.name,
        "Description": row.description,
        "OwnerId": row.account,
        "VpcId": row.vpc_id,
        "SecurityGroupArn": f"arn:aws:ec2:{row.region}:{row.account}:security-group/{row.id}",
        "IpPermissions": grouped(rule for rule in rules if not rule.egress),
        "IpPermissionsEgress": grouped(rule for rule in rules if rule.egress),
        "Tags": tag_set(row.tags),
    }


def _rule_filters(prefix: str, egress: bool) -> Filters:
    mine = (SecurityGroupRule.group_id == SecurityGroup.id) & SecurityGroupRule.egress.is_(egress)
    peer = aliased(SecurityGroup)

    def filled(column: Any) -> Test:
        # A rule has one kind of peer; the others are empty, and must not match "*".
        return through(column, mine & (column != ""))

    def protocol(values: Sequence[str]) -> ColumnElement[bool]:
        return through(SecurityGroupRule.protocol, mine)([known_as(value) for value in values])

    return {
        f"{prefix}cidr": filled(SecurityGroupRule.cidr_ipv4),
        f"{prefix}from-port": through(SecurityGroupRule.from_port, mine),
        f"{prefix}group-id": filled(SecurityGroupRule.peer_group_id),
        f"{prefix}group-name": through(peer.name, mine & (SecurityGroupRule.peer_group_id == peer.id)),
        f"{prefix}ipv6-cidr": filled(SecurityGroupRule.cidr_ipv6),
        f"{prefix}prefix-list-id": filled(SecurityGroupRule.prefix_list_id),
        f"{prefix}protocol": protocol,
        f"{prefix}to-port": through(SecurityGroupRule.to_port, mine),
        f"{prefix}user-id": filled(SecurityGroupRule.peer_account),
    }


GROUPS = Listing(
    kind=SecurityGroup,
    columns=(
        SecurityGroup.id, SecurityGroup.account, SecurityGroup.region, SecurityGroup.name, SecurityGroup.description,
        SecurityGroup.vpc_id, rules_where().label("rules"), tags_of(SecurityGroup),
    ),
    shape=_shape,
    filters={
        "description": SecurityGroup.description,
        **_rule_filters("egress.ip-permission.", egress=True),
        "group-id": SecurityGroup.id,
        "group-name": SecurityGroup.name,
        **_rule_filters("ip-permission.", egress=False),
        "owner-id": SecurityGroup.account,
        "vpc-id": SecurityGroup.vpc_id,
    },
)  # fmt: skip


@action
def describe_security_groups(
    call: Call,
    *,
    group_ids: list[str] | None = None,
    group_names: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    ids = [*(group_ids or ()), *(ids_of_names(call, group_names) if group_names else ())]
    found, token = describe(call, GROUPS, ids, filters, max_results, next_token)
    return {"SecurityGroups": found, "NextToken": token}


@action
def create_security_group(
    call: Call,
    *,
    group_name: str,
    description: str,
    vpc_id: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    name = _checked_name(group_name)
    _check_description(description)
    # The VPC is locked, so that no two calls give out one name in different letters.
    vpc = find(call, Vpc, vpc_id or default_vpc_id(call))
    _refuse_taken(call, name, vpc)
    owner = {"account": call.account, "region": call.region}
    group = SecurityGroup(id=SecurityGroup.new_id(), **owner, vpc_id=vpc.id, name=name, description=description)
    call.db.add(group)
    call.db.flush()
    for cidr in (ANYWHERE, ANYWHERE_6) if has_ipv6(call.db, vpc.id) else (ANYWHERE,):
        call.db.add(egress_to_anywhere(owner, group, cidr))
    tags.put_at_creation(call, tag_specifications, {"security-group": [group.id]})
    made = rows_of(call, GROUPS, [group.id])[0]
    return {key: made[key] for key in ("GroupId", "SecurityGroupArn", "Tags")}


def _checked_name(text: str) -> str:
    """Return the name that is kept: EC2 drops spaces at its end."""
    if not text.strip():
        raise missing("groupName")
    _refuse_beyond_ascii("GroupName", text)
    if text.lower() == "default":
        raise Ec2Error("InvalidParameterValue", f"Cannot use reserved security group name: {text}")
    if text.startswith("sg-"):
        why = "Group names may not be in the format sg-*."
        raise Ec2Error("InvalidParameterValue", f"invalid value for parameter groupName ({text}): {why}")
    if not is_plain(text):
        rule = f"Valid names are strings less than 256 characters from the following set:  {ALLOWED}"
        raise Ec2Error("InvalidParameterValue", f"Invalid security group name. {rule}")
    return text.rstrip(" ")


def _check_description(text: str) -> None:
    if not text:
        raise missing("GroupDescription")
    _refuse_beyond_ascii("GroupDescription", text)
    if not is_plain(text):
        rule = f"Valid descriptions are strings less than 256 characters from the following set:  {ALLOWED}"
        raise Ec2Error("InvalidParameterValue", f"Invalid security group description. {rule}")


def _refuse_beyond_ascii(name: str, text: str) -> None:
    if not text.isascii():
        why = "Character sets beyond ASCII are not supported."
        raise Ec2Error("InvalidParameterValue", f"Value ({text}) for parameter {name} is invalid. {why}")


def _refuse_taken(call: Call, name: str, vpc: Vpc) -> None:
    same = func.lower(SecurityGroup.name) == name.lower()
    if call.db.scalar(select(SecurityGroup.id).where(SecurityGroup.vpc_id == vpc.id, same)):
        raise Ec2Error("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
    own = (SecurityGroup.account == call.account, SecurityGroup.region == call.region)
    check_quota(call, "security groups", 1 + (call.db.scalar(select(func.count(SecurityGroup.id)).where(*own)) or 0))


@action
def delete_security_group(call: Call, *, group_id: str | None = None, group_name: str | None = None) -> Result:
    """Delete a group that no interface is in and no other group of its VPC names; rules of peers become stale."""
    group = find_group(call, group_id, group_name)
    if group.name == "default":
        text = f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
        raise Ec2Error("CannotDelete", text)
    used = exists().where(InterfaceGroup.group_id == group.id) | exists().where(EndpointGroup.group_id == group.id)
    others = (SecurityGroupRule.group_id != group.id, SecurityGroupRule.peer_vpc_id == "")
    named = exists().where(SecurityGroupRule.peer_group_id == group.id, *others)
    if call.db.scalar(select(used | named)):
        raise Ec2Error("DependencyViolation", f"resource {group.id} has a dependent object")
    rules = call.db.scalars(select(SecurityGroupRule.id).filter_by(group_id=group.id)).all()
    tags.forget(call, group.id, *rules)
    call.db.execute(delete(SecurityGroupRule).where(SecurityGroupRule.group_id == group.id))
    call.db.delete(group)
    tasks.start(call.db, group.id, "remove_group", call.region)
    return {"Return": True, "GroupId": group.id}


def find_group(call: Call, group_id: str | None, group_name: str | None) -> SecurityGroup:
    """Return the caller's group by its id, or by its name in the default VPC; locked until the call ends."""
    if group_id and group_name:
        raise combination("The parameter groupName cannot be used with the parameter groupId")
    if not group_id and not group_name:
        raise missing("groupName or groupId")
    return find(call, SecurityGroup, group_id or ids_of_names(call, [group_name or ""])[0])


def ids_of_names(call: Call, names: Sequence[str]) -> list[str]:
    """Return the ids of groups of the default VPC, in the order of their names, whose case does not matter."""
    vpc_id = default_vpc_id(call)
    lower = func.lower(SecurityGroup.name)
    wanted = [name.lower() for name in names]
    mine = select(lower, SecurityGroup.id).where(SecurityGroup.vpc_id == vpc_id, lower.in_(wanted))
    found = {name: id for name, id in call.db.execute(mine)}
    for name in names:
        if name.lower() not in found:
            text = f"The security group '{name}' does not exist in default VPC '{vpc_id}'"
            raise Ec2Error("InvalidGroup.NotFound", text)
    return [found[name] for name in wanted]


def default_vpc_id(call: Call) -> str:
    own = (Vpc.account == call.account, Vpc.region == call.region)
    id = call.db.scalar(select(Vpc.id).where(*own, Vpc.is_default.is_(True)))
    if id is None:
        raise Ec2Error("VPCIdNotSpecified", "No default VPC for this user")
    return id

"""Security group rules: authorized, revoked, changed, described."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import SecurityGroup, SecurityGroupRule, Vpc
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, missing, not_found
from translators.find import find, find_all
from translators.ip_permissions import Permission, Rule, describing, grouped, outside, read
from translators.prefix_list_weights import check_rules
from translators.registry import Call, Result, action
from translators.security_group_peers import GroupPeers
from translators.security_groups import PEERING_STATUS, find_group


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SecurityGroupRuleId": row.id,
        "GroupId": row.group_id,
        "GroupOwnerId": row.account,
        "IsEgress": row.egress,
        "IpProtocol": row.protocol,
        "FromPort": row.from_port,
        "ToPort": row.to_port,
        "CidrIpv4": row.cidr_ipv4 or None,
        "CidrIpv6": row.cidr_ipv6 or None,
        "PrefixListId": row.prefix_list_id or None,
        "ReferencedGroupInfo": _referenced(row) if row.peer_group_id else None,
        "Description": row.description or None,
        "SecurityGroupRuleArn": f"arn:aws:ec2:{row.region}:{row.account}:security-group-rule/{row.id}",
        "Tags": tag_set(row.tags),
    }


def _referenced(row: Any) -> dict[str, Any]:
    info = {"GroupId": row.peer_group_id, "UserId": row.peer_account}
    if not row.peer_vpc_id:
        return info
    status = row.peering_status or "deleted"
    return info | {"VpcId": row.peer_vpc_id, "VpcPeeringConnectionId": row.peering_id, "PeeringStatus": status}


RULES = Listing(
    kind=SecurityGroupRule,
    columns=(
        SecurityGroupRule.id, SecurityGroupRule.account, SecurityGroupRule.region, SecurityGroupRule.group_id,
        SecurityGroupRule.egress, SecurityGroupRule.protocol, SecurityGroupRule.from_port, SecurityGroupRule.to_port,
        SecurityGroupRule.cidr_ipv4, SecurityGroupRule.cidr_ipv6, SecurityGroupRule.peer_group_id,
        SecurityGroupRule.peer_account, SecurityGroupRule.prefix_list_id, SecurityGroupRule.peer_vpc_id,
        SecurityGroupRule.peering_id, PEERING_STATUS.label("peering_status"), SecurityGroupRule.description,
        tags_of(SecurityGroupRule),
    ),
    shape=_shape,
    filters={"group-id": SecurityGroupRule.group_id, "security-group-rule-id": SecurityGroupRule.id},
)  # fmt: skip


@action
def describe_security_group_rules(
    call: Call,
    *,
    security_group_rule_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, RULES, security_group_rule_ids, filters, max_results, next_token)
    return {"SecurityGroupRules": found, "NextToken": token}


@action
def authorize_security_group_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: list[dict[str, Any]] | None = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
    source_security_group_name: str | None = None,
    source_security_group_owner_id: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    group = find_group(call, group_id, group_name)
    source = (source_security_group_name, source_security_group_owner_id)
    permissions = outside(ip_permissions, ip_protocol, from_port, to_port, cidr_ip, *source)
    return _authorize(call, group, False, permissions, tag_specifications)


@action
def authorize_security_group_egress(
    call: Call,
    *,
    group_id: str,
    ip_permissions: list[dict[str, Any]] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    return _authorize(call, find(call, SecurityGroup, group_id), True, ip_permissions or [], tag_specifications)


def _authorize(
    call: Call,
    group: SecurityGroup,
    egress: bool,
    permissions: Sequence[Permission],
    tag_specifications: list[dict[str, Any]] | None,
) -> Result:
    if not permissions:
        raise missing("ipPermissions")
    rules = read(permissions, egress, GroupPeers(call, group))
    held = _held(call, group)
    for rule in rules:
        if rule.identity in held:
            raise _duplicate(rule)
    check_rules(call, [*held.values(), *rules])
    owner = {"account": call.account, "region": call.region}
    made = [
        SecurityGroupRule(
            id=SecurityGroupRule.new_id(), **owner, group_id=group.id, identity=rule.identity, **asdict(rule)
        )
        for rule in rules
    ]
    call.db.add_all(made)
    ids = [row.id for row in made]
    tags.put_at_creation(call, tag_specifications, {"security-group-rule": ids})
    _sync(call, group)
    return {"Return": True, "SecurityGroupRules": rows_of(call, RULES, ids)}


@action
def revoke_security_group_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    security_group_rule_ids: list[str] | None = None,
    ip_permissions: list[dict[str, Any]] | None = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
    source_security_group_name: str | None = None,
    source_security_group_owner_id: str | None = None,
) -> Result:
    group = find_group(call, group_id, group_name)
    source = (source_security_group_name, source_security_group_owner_id)
    permissions = outside(ip_permissions, ip_protocol, from_port, to_port, cidr_ip, *source)
    return _revoke(call, group, False, permissions, security_group_rule_ids or [])


@action
def revoke_security_group_egress(
    call: Call,
    *,
    group_id: str,
    security_group_rule_ids: list[str] | None = None,
    ip_permissions: list[dict[str, Any]] | None = None,
) -> Result:
    group = find(call, SecurityGroup, group_id)
    return _revoke(call, group, True, ip_permissions or [], security_group_rule_ids or [])


def _revoke(
    call: Call, group: SecurityGroup, egress: bool, permissions: Sequence[Permission], ids: Sequence[str]
) -> Result:
    """Revoke all that is named. What is not there is an error, but in a default VPC a part of the answer (EC2's
    reference of RevokeSecurityGroupIngress)."""
    _exactly_one(permissions, ids, "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
    unknown: list[Rule] = []
    if ids:
        gone = _rules_of(call, group, egress, list(dict.fromkeys(ids)))
    else:
        held = _held(call, group)
        rules = read(permissions, egress, GroupPeers(call, group, held.values()))
        unknown = [rule for rule in rules if rule.identity not in held]
        if unknown and not find(call, Vpc, group.vpc_id).is_default:
            raise _rule_not_found()
        gone = [held[rule.identity] for rule in rules if rule.identity in held]
    tags.forget(call, *(row.id for row in gone))
    for row in gone:
        call.db.delete(row)
    if gone:
        _sync(call, group)
    return {
        "Return": True,
        "RevokedSecurityGroupRules": [_revoked(row) for row in gone],
        "UnknownIpPermissions": grouped(unknown) or None,
    }


def _revoked(row: SecurityGroupRule) -> dict[str, Any]:
    return {
        "SecurityGroupRuleId": row.id,
        "GroupId": row.group_id,
        "IsEgress": row.egress,
        "IpProtocol": row.protocol,
        "FromPort": row.from_port,
        "ToPort": row.to_port,
        "CidrIpv4": row.cidr_ipv4 or None,
        "CidrIpv6": row.cidr_ipv6 or None,
        "PrefixListId": row.prefix_list_id or None,
        "ReferencedGroupId": row.peer_group_id or None,
        "Description": row.description or None,
    }


@action
def modify_security_group_rules(call: Call, *, group_id: str, security_group_rules: list[dict[str, Any]]) -> Result:
    """Put each named rule in the place of what it was: what a request leaves out, even a description, is gone."""
    group = find(call, SecurityGroup, group_id)
    rows = find_all(call, SecurityGroupRule, [item["SecurityGroupRuleId"] for item in security_group_rules])
    if len({row.id for row in rows}) < len(rows):
        raise Ec2Error("InvalidParameterValue", "The same security group rule must not appear multiple times")
    _same_group(group, rows)
    wanted = [
        _replacement(call, group, row, item.get("SecurityGroupRule") or {})
        for row, item in zip(rows, security_group_rules, strict=True)
    ]
    others = [row for row in _held(call, group).values() if row not in rows]
    taken = {row.identity for row in others}
    for rule in wanted:
        if rule.identity in taken:
            raise _duplicate(rule)
        taken.add(rule.identity)
    check_rules(call, [*others, *wanted])
    for row in rows:
        # Two rules may change places: each lets go of what makes it unique before any takes another's.
        row.identity = row.id
    call.db.flush()
    for row, rule in zip(rows, wanted, strict=True):
        for column, value in (asdict(rule) | {"identity": rule.identity}).items():
            setattr(row, column, value)
    _sync(call, group)
    return {"Return": True}


def _replacement(call: Call, group: SecurityGroup, row: SecurityGroupRule, asked: Mapping[str, Any]) -> Rule:
    about = {"Description": asked.get("Description")}
    members = (
        ("IpRanges", "CidrIp", "CidrIpv4"),
        ("Ipv6Ranges", "CidrIpv6", "CidrIpv6"),
        ("PrefixListIds", "PrefixListId", "PrefixListId"),
        ("UserIdGroupPairs", "GroupId", "ReferencedGroupId"),
    )
    peers = {list_: [{name: asked[given], **about}] for list_, name, given in members if asked.get(given)}
    if len(peers) > 1:
        raise combination("Exactly one source or destination must be given for a security group rule.")
    ports = {name: asked.get(name) for name in ("IpProtocol", "FromPort", "ToPort")}
    return read([{**ports, **peers}], row.egress, GroupPeers(call, group, [row]))[0]


@action
def update_security_group_rule_descriptions_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: list[dict[str, Any]] | None = None,
    security_group_rule_descriptions: list[dict[str, Any]] | None = None,
) -> Result:
    group = find_group(call, group_id, group_name)
    return _update_descriptions(call, group, False, ip_permissions or [], security_group_rule_descriptions or [])


@action
def update_security_group_rule_descriptions_egress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: list[dict[str, Any]] | None = None,
    security_group_rule_descriptions: list[dict[str, Any]] | None = None,
) -> Result:
    group = find_group(call, group_id, group_name)
    return _update_descriptions(call, group, True, ip_permissions or [], security_group_rule_descriptions or [])


def _update_descriptions(
    call: Call,
    group: SecurityGroup,
    egress: bool,
    permissions: Sequence[Permission],
    descriptions: Sequence[Mapping[str, Any]],
) -> Result:
    """Describe rules anew; without a text the old one goes. No packet cares, so the network is left alone."""
    text = "Either 'ipPermissions' or 'securityGroupRuleDescriptions' should be provided."
    _exactly_one(permissions, descriptions, text)
    if descriptions:
        rows = _rules_of(call, group, egress, [item.get("SecurityGroupRuleId") or "" for item in descriptions])
        for row, item in zip(rows, descriptions, strict=True):
            row.description = describing(item)
        return {"Return": True}
    held = _held(call, group)
    for rule in read(permissions, egress, GroupPeers(call, group, held.values())):
        if rule.identity not in held:
            raise _rule_not_found()
        held[rule.identity].description = rule.description
    return {"Return": True}


def _exactly_one(first: Sequence[Any], second: Sequence[Any], text: str) -> None:
    if first and second:
        raise Ec2Error("InvalidParameterCombination", f"{text} Both were.")
    if not first and not second:
        raise Ec2Error("MissingParameter", text)


def _held(call: Call, group: SecurityGroup) -> dict[str, SecurityGroupRule]:
    """Return the group's rules by their identity. The group is locked, so nobody else changes them."""
    rows = call.db.scalars(select(SecurityGroupRule).filter_by(group_id=group.id))
    return {row.identity: row for row in rows}


def _rules_of(call: Call, group: SecurityGroup, egress: bool, ids: Sequence[str]) -> list[SecurityGroupRule]:
    rows = find_all(call, SecurityGroupRule, ids)
    _same_group(group, rows)
    for row in rows:
        if row.egress is not egress:
            raise not_found(SecurityGroupRule, row.id)
    return rows


def _same_group(group: SecurityGroup, rows: Iterable[SecurityGroupRule]) -> None:
    for row in rows:
        if row.group_id != group.id:
            raise not_found(SecurityGroupRule, row.id)


def _duplicate(rule: Rule) -> Ec2Error:
    return Ec2Error("InvalidPermission.Duplicate", f'the specified rule "{rule}" already exists')


def _rule_not_found() -> Ec2Error:
    return Ec2Error("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")


def _sync(call: Call, group: SecurityGroup) -> None:
    tasks.start(call.db, group.id, "sync_group", call.region)

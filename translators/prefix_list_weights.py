"""What security groups' rules and route tables' routes count for: a prefix list as many as it may have entries."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import select

from engine.state import PrefixList, Route, SecurityGroupRule
from translators.ip_permissions import Rule
from translators.prefix_lists import MANAGED
from translators.quotas import check_quota, limit
from translators.registry import Call

Weights = Mapping[str, tuple[int, int]]
"""Of each prefix list by its id: its IP version, and how many rules or routes it counts for."""
_BOTH = (4, 6)


def check_rules(call: Call, rules: Collection[Rule | SecurityGroupRule]) -> None:
    """Refuse more rules than a group may have, for each direction and IP version."""
    weights = _weights(call, {rule.prefix_list_id for rule in rules})
    check_quota(call, "rules per security group", _largest(rules, weights))


def unable_to_hold(call: Call, listed: PrefixList, size: int) -> list[str]:
    """Return the ids of what refers to a list and would be over its quota if the list had that size."""
    groups = select(SecurityGroupRule.group_id).where(SecurityGroupRule.prefix_list_id == listed.id)
    rules: dict[str, list[SecurityGroupRule]] = {}
    for rule in call.db.scalars(select(SecurityGroupRule).where(SecurityGroupRule.group_id.in_(groups))):
        rules.setdefault(rule.group_id, []).append(rule)
    tables = select(Route.route_table_id).where(Route.destination == listed.id)
    routes: dict[str, list[str]] = {}
    rows = select(Route.route_table_id, Route.destination).where(Route.route_table_id.in_(tables))
    for table, destination in call.db.execute(rows.where(Route.target != "local")).tuples():
        routes.setdefault(table, []).append(destination)
    named = {rule.prefix_list_id for own in rules.values() for rule in own}
    weights = dict(_weights(call, named | {destination for own in routes.values() for destination in own}))
    weights[listed.id] = (6 if listed.family == "IPv6" else 4, size)
    over = [id for id, own in rules.items() if _largest(own, weights) > limit(call, "rules per security group")]
    over += [id for id, own in routes.items() if _most(own, weights) > limit(call, "routes per route table")]
    return sorted(over)


def _weights(call: Call, ids: Collection[str]) -> Weights:
    lists = [id for id in ids if id.startswith(f"{PrefixList.prefix}-")]
    if not lists:
        return {}
    rows = select(PrefixList.id, PrefixList.family, PrefixList.max_entries, MANAGED).where(PrefixList.id.in_(lists))
    # "AWS-managed prefix list weight" in the VPC user guide: those of gateway endpoints' services count as one.
    return {
        id: (6 if family == "IPv6" else 4, 1 if managed else size)
        for id, family, size, managed in call.db.execute(rows).tuples()
    }


def _largest(rules: Iterable[Rule | SecurityGroupRule], weights: Weights) -> int:
    """Return the largest count of a direction and IP version. A rule that names a group counts for both versions."""
    counts: dict[tuple[bool, int], int] = {}
    for rule in rules:
        version, weight = weights.get(rule.prefix_list_id, (0, 1))
        if not version:
            version = 4 if rule.cidr_ipv4 else 6 if rule.cidr_ipv6 else 0
        for each in (version,) if version else _BOTH:
            counts[rule.egress, each] = counts.get((rule.egress, each), 0) + weight
    return max(counts.values(), default=0)


def _most(destinations: Iterable[str], weights: Weights) -> int:
    counts = dict.fromkeys(_BOTH, 0)
    for destination in destinations:
        version, weight = weights.get(destination, (6 if ":" in destination else 4, 1))
        counts[version] += weight
    return max(counts.values())

"""Managed prefix lists as they are described: the caller's own, and those of the operator's services, as AWS's."""

import json
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, or_, select, union

from engine.state import (
    EndpointService,
    PrefixList,
    PrefixListEntry,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    json_rows,
)
from translators.describe import PAGE, Listing, describe, make_token, open_token, tag_set, tags_of
from translators.errors import not_found, refuse
from translators.find import check_ids
from translators.registry import Call, Result, action

VERSIONS_KEPT = 1000
"""Versions of a list: "if a prefix list has 1,000 stored versions and you add a new version, the oldest is removed"."""
_AWS = "AWS"
"""Whom a list of a service belongs to, for everybody."""

MANAGED = exists().where(EndpointService.prefix_list_id == PrefixList.id)
"""Whether a list is a service's."""


def _shape(row: Any) -> dict[str, Any]:
    owner = "aws" if row.managed else row.account
    return {
        "PrefixListId": row.id,
        "PrefixListName": row.name,
        "PrefixListArn": f"arn:aws:ec2:{row.region}:{owner}:prefix-list/{row.id}",
        "AddressFamily": row.family,
        "OwnerId": _AWS if row.managed else row.account,
        "State": row.state,
        "StateMessage": row.state_message or None,
        "MaxEntries": None if row.managed else row.max_entries,
        "Version": None if row.managed else row.version,
        "Tags": tag_set(row.tags) or [],
    }


_here = PrefixList.region == bindparam("region")
PREFIX_LISTS = Listing(
    kind=PrefixList,
    columns=(
        PrefixList.id, PrefixList.account, PrefixList.region, PrefixList.name, PrefixList.family,
        PrefixList.max_entries, PrefixList.version, PrefixList.state, PrefixList.state_message,
        MANAGED.label("managed"), tags_of(PrefixList),
    ),
    shape=_shape,
    visible=and_(_here, or_(PrefixList.account == bindparam("account"), MANAGED)),
    filters={
        "owner-id": case((MANAGED, _AWS), else_=PrefixList.account),
        "prefix-list-id": PrefixList.id,
        "prefix-list-name": PrefixList.name,
    },
)  # fmt: skip


@action
def describe_managed_prefix_lists(
    call: Call,
    *,
    prefix_list_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, PREFIX_LISTS, prefix_list_ids, filters, max_results, next_token)
    return {"PrefixLists": found, "NextToken": token}


def _service_shape(row: Any) -> dict[str, Any]:
    cidrs = [cidr for (cidr,) in json.loads(row.cidrs)]
    return {"PrefixListId": row.id, "PrefixListName": row.name, "Cidrs": cidrs}


_entry = and_(PrefixListEntry.prefix_list_id == PrefixList.id, PrefixListEntry.removed.is_(None))
SERVICES = Listing(
    kind=PrefixList,
    columns=(
        PrefixList.id, PrefixList.name,
        json_rows(PrefixListEntry.cidr, where=_entry, order=(PrefixListEntry.cidr,)).label("cidrs"),
    ),
    shape=_service_shape,
    visible=and_(_here, MANAGED),
    filters={"prefix-list-id": PrefixList.id, "prefix-list-name": PrefixList.name},
)  # fmt: skip


@action
def describe_prefix_lists(
    call: Call,
    *,
    prefix_list_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Describe what services are behind, as far as routes lead to them."""
    found, token = describe(call, SERVICES, prefix_list_ids, filters, max_results, next_token)
    return {"PrefixLists": found, "NextToken": token}


def find_list(call: Call, id: str) -> PrefixList:
    """Return a list that the caller may refer to, locked until the call ends if the call writes."""
    check_ids(PrefixList, [id])
    seen = or_(PrefixList.account == call.account, MANAGED)
    row = select(PrefixList).where(PrefixList.id == id, PrefixList.region == call.region, seen)
    found = call.db.scalar(row.with_for_update() if call.writes else row)
    if found is None:
        raise not_found(PrefixList, id)
    return found


def is_managed(call: Call, id: str) -> bool:
    """Say whether a list is a service's: nobody may change it."""
    return bool(call.db.scalar(select(exists().where(EndpointService.prefix_list_id == id))))


def in_version(id: str, version: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for being an entry of a list's version."""
    held = or_(PrefixListEntry.removed.is_(None), PrefixListEntry.removed > version)
    return PrefixListEntry.prefix_list_id == id, PrefixListEntry.added <= version, held


def check_version(listed: PrefixList, version: int) -> None:
    """Refuse a version that a list does not have, or no longer has."""
    if not max(1, listed.version - VERSIONS_KEPT + 1) <= version <= listed.version:
        text = f"The specified value for version is not valid. The current version is {listed.version}."
        refuse("InvalidParameterValue", text)


@action
def get_managed_prefix_list_entries(
    call: Call,
    *,
    prefix_list_id: str,
    target_version: int | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    listed = find_list(call, prefix_list_id)
    version = listed.version if target_version is None else target_version
    check_version(listed, version)
    rows = select(PrefixListEntry.cidr, PrefixListEntry.description).where(*in_version(listed.id, version))
    found, token = _page(call, rows, PrefixListEntry.cidr, max_results, next_token)
    entries = [{"Cidr": cidr, "Description": description or None} for cidr, description in found]
    return {"Entries": entries, "NextToken": token}


@action
def get_managed_prefix_list_associations(
    call: Call, *, prefix_list_id: str, max_results: int | None = None, next_token: str | None = None
) -> Result:
    """Name the caller's security groups and route tables that refer to a list."""
    users = users_of(find_list(call, prefix_list_id).id).subquery()
    rows = select(users.c.id, users.c.account).where(users.c.account == call.account)
    found, token = _page(call, rows, users.c.id, max_results, next_token)
    associations = [{"ResourceId": id, "ResourceOwner": account} for id, account in found]
    return {"PrefixListAssociations": associations, "NextToken": token}


def users_of(id: str) -> Any:
    """Select id and account of the security groups and route tables that refer to a list."""
    groups = select(SecurityGroup.id, SecurityGroup.account).join(
        SecurityGroupRule, SecurityGroupRule.group_id == SecurityGroup.id
    )
    tables = select(RouteTable.id, RouteTable.account).join(Route, Route.route_table_id == RouteTable.id)
    return union(groups.where(SecurityGroupRule.prefix_list_id == id), tables.where(Route.destination == id))


def _page(call: Call, rows: Any, key: Any, max_results: int | None, token: str | None) -> tuple[list[Any], str | None]:
    """Return one page of rows, whose first column is the unique ``key``, and the token of the next one."""
    if token:
        rows = rows.where(key > open_token(PrefixList.prefix, token, 1)[0])
    size = max_results or PAGE
    found = list(call.db.execute(rows.order_by(key).limit(size + 1)).tuples())
    more = len(found) > size
    return found[:size], make_token(PrefixList.prefix, found[size - 1][:1]) if more else None

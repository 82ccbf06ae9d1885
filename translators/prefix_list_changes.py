"""Managed prefix lists made, changed and deleted. Every change of what is in one makes a new version of it."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from sqlalchemy import delete, func, select

from engine.prefix_lists import sync_users
from engine.state import PrefixList, PrefixListEntry
from translators import tags
from translators.describe import rows_of
from translators.errors import Ec2Error, combination, invalid, missing, refuse
from translators.prefix_list_weights import unable_to_hold
from translators.prefix_lists import (
    MANAGED,
    PREFIX_LISTS,
    VERSIONS_KEPT,
    check_version,
    find_list,
    in_version,
    is_managed,
    users_of,
)
from translators.quotas import check_quota, limit
from translators.registry import Call, Result, action

_FAMILIES: dict[str, type[IPv4Network] | type[IPv6Network]] = {"IPv4": IPv4Network, "IPv6": IPv6Network}
_RESERVED = ("com.amazonaws.", "com.amazon.", "com.aws.")
_LONGEST = 255
_NAMED_USERS = 10
"""How many of those that cannot support a new size a message names."""


@action
def create_managed_prefix_list(
    call: Call,
    *,
    prefix_list_name: str,
    address_family: str,
    max_entries: int,
    entries: list[dict[str, Any]] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make a list, at once; the answer calls it ``create-in-progress``, as EC2's does."""
    if address_family not in _FAMILIES:
        raise invalid("addressFamily", address_family, "Valid values are IPv4 and IPv6.")
    name = _named(prefix_list_name)
    _check_size(call, max_entries)
    given = _entries(address_family, entries or ())
    _check_fits(len(given), max_entries)
    own = select(func.count()).select_from(PrefixList).filter_by(**call.owner).where(~MANAGED)
    check_quota(call, "prefix lists", 1 + (call.db.scalar(own) or 0))
    listed = PrefixList(
        id=PrefixList.new_id(), **call.owner, name=name, family=address_family, max_entries=max_entries, version=1
    )
    call.db.add(listed)
    call.db.flush()
    _add(call, listed, given)
    tags.put_at_creation(call, tag_specifications, {"prefix-list": [listed.id]})
    return _answer(call, listed, "create-in-progress")


def _answer(call: Call, listed: PrefixList, state: str) -> Result:
    shape = rows_of(call, PREFIX_LISTS, [listed.id])[0]
    return {"PrefixList": shape | {"State": state, "StateMessage": None}}


@action
def modify_managed_prefix_list(
    call: Call,
    *,
    prefix_list_id: str,
    current_version: int | None = None,
    prefix_list_name: str | None = None,
    add_entries: list[dict[str, Any]] | None = None,
    remove_entries: list[dict[str, Any]] | None = None,
    max_entries: int | None = None,
) -> Result:
    """Change a list, at once. A size that something which refers to it cannot support leaves it ``modify-failed``."""
    listed = _changeable(call, prefix_list_id)
    if current_version is not None:
        _check_current(listed, current_version)
    if max_entries is not None and (add_entries or remove_entries):
        raise combination("The entries and the maximum size of a prefix list cannot be modified at the same time.")
    if prefix_list_name is None and max_entries is None and not add_entries and not remove_entries:
        raise Ec2Error("InvalidRequest", "The request received was invalid.")
    if prefix_list_name is not None:
        listed.name = _named(prefix_list_name)
    _settle(listed, "modify-complete")
    if add_entries or remove_entries:
        _change_entries(call, listed, add_entries or (), remove_entries or ())
    if max_entries is not None:
        _resize(call, listed, max_entries)
    return _answer(call, listed, "modify-in-progress")


def _changeable(call: Call, id: str) -> PrefixList:
    listed = find_list(call, id)
    if is_managed(call, id):
        refuse("OperationNotPermitted", f"The prefix list {id} is managed by AWS: it cannot be modified or deleted.")
    return listed


def _check_current(listed: PrefixList, version: int) -> None:
    if version != listed.version:
        raise Ec2Error("PrefixListVersionMismatch", "The prefix list has the incorrect version number.")


def _settle(listed: PrefixList, state: str, message: str = "") -> None:
    listed.state, listed.state_message = state, message


def _change_entries(
    call: Call, listed: PrefixList, added: Sequence[Mapping[str, Any]], removed: Sequence[Mapping[str, Any]]
) -> None:
    new, gone = _entries(listed.family, added), _entries(listed.family, removed)
    for cidr in new.keys() & gone.keys():
        text = f"Request cannot contain Cidr {cidr} in both AddPrefixListEntries and RemovePrefixListEntries"
        refuse("InvalidParameterValue", text)
    held = _held(call, listed)
    for cidr in gone:
        if cidr not in held:
            refuse("InvalidPrefixListModification", f"The prefix list entry {cidr} does not exist.")
    for cidr in new:
        if cidr in held:
            refuse("InvalidPrefixListModification", f"The prefix list entry {cidr} already exists.")
    _check_fits(len(held) + len(new) - len(gone), listed.max_entries)
    _replace(call, listed, new, [held[cidr] for cidr in gone])


def _held(call: Call, listed: PrefixList) -> dict[str, PrefixListEntry]:
    rows = select(PrefixListEntry).where(*in_version(listed.id, listed.version))
    return {row.cidr: row for row in call.db.scalars(rows)}


def _replace(call: Call, listed: PrefixList, new: Mapping[str, str], gone: Sequence[PrefixListEntry]) -> None:
    """Make the next version: the entries ``gone`` are not in it, those in ``new`` are."""
    listed.version += 1
    for row in gone:
        row.removed = listed.version
    _add(call, listed, new)
    oldest = listed.version - VERSIONS_KEPT + 1
    past = (PrefixListEntry.prefix_list_id == listed.id, PrefixListEntry.removed <= oldest)
    call.db.execute(delete(PrefixListEntry).where(*past), execution_options={"synchronize_session": False})
    sync_users(call.db, listed.id)


def _add(call: Call, listed: PrefixList, new: Mapping[str, str]) -> None:
    for cidr, description in new.items():
        row = {"cidr": cidr, "description": description, "added": listed.version}
        call.db.add(PrefixListEntry(prefix_list_id=listed.id, **row))
    call.db.flush()


def _resize(call: Call, listed: PrefixList, size: int) -> None:
    _check_size(call, size)
    if len(_held(call, listed)) > size:
        raise invalid("maxEntries", size, "The prefix list has more entries.")
    over = unable_to_hold(call, listed, size)
    if over:
        _settle(listed, "modify-failed", f"These resources do not support the new size: {_some(over)}")
    else:
        listed.max_entries = size


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_NAMED_USERS])


@action
def restore_managed_prefix_list_version(
    call: Call, *, prefix_list_id: str, previous_version: int, current_version: int
) -> Result:
    """Make a new version of what was in an earlier one."""
    listed = _changeable(call, prefix_list_id)
    _check_current(listed, current_version)
    check_version(listed, previous_version)
    rows = select(PrefixListEntry.cidr, PrefixListEntry.description)
    past = call.db.execute(rows.where(*in_version(listed.id, previous_version))).tuples()
    wanted = {cidr: description for cidr, description in past}
    _check_fits(len(wanted), listed.max_entries)
    held = _held(call, listed)
    gone = [row for row in held.values() if wanted.get(row.cidr) != row.description]
    staying = held.keys() - {row.cidr for row in gone}
    _replace(call, listed, {cidr: text for cidr, text in wanted.items() if cidr not in staying}, gone)
    _settle(listed, "restore-complete")
    return _answer(call, listed, "restore-in-progress")


@action
def delete_managed_prefix_list(call: Call, *, prefix_list_id: str) -> Result:
    """Delete a list. One that is in use stays, and its state says that and what uses it, as in EC2."""
    listed = _changeable(call, prefix_list_id)
    answer = _answer(call, listed, "delete-in-progress")
    users = users_of(listed.id).subquery()
    used = call.db.scalars(select(users.c.id).order_by(users.c.id).limit(_NAMED_USERS)).all()
    if used:
        _settle(listed, "delete-failed", f"The prefix list is referenced by: {_some(used)}")
        return answer
    tags.forget(call, listed.id)
    call.db.execute(delete(PrefixListEntry).where(PrefixListEntry.prefix_list_id == listed.id))
    call.db.delete(listed)
    return answer


def _named(text: str) -> str:
    if not text.strip():
        raise missing("prefixListName")
    if len(text) > _LONGEST:
        raise invalid("prefixListName", text, f"It is longer than {_LONGEST} characters.")
    if text.startswith(_RESERVED):
        raise invalid("prefixListName", text, f"Names cannot start with {', '.join(_RESERVED)}")
    return text


def _check_size(call: Call, size: int) -> None:
    most = limit(call, "entries per prefix list")
    if not 1 <= size <= most:
        refuse("InvalidParameterValue", f"Must specify a max size between 1 and {most}")


def _check_fits(count: int, most: int) -> None:
    if count > most:
        text = f"You've reached the maximum number of entries for the prefix list: {most}"
        raise Ec2Error("PrefixListMaxEntriesExceeded", text)


def _entries(family: str, given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return descriptions by their ranges, with host bits cleared as EC2 does for rules."""
    found: dict[str, str] = {}
    for item in given:
        text, description = item.get("Cidr") or "", item.get("Description") or ""
        try:
            if "/" not in text:
                raise ValueError
            cidr = str(_FAMILIES[family](text, strict=False))
        except ValueError:
            raise invalid("cidr", text, f"This is not a valid {family} CIDR block.") from None
        if len(description) > _LONGEST:
            raise invalid("description", description, f"It is longer than {_LONGEST} characters.")
        if cidr in found:
            raise invalid("cidr", text, "The CIDR block appears more than once.")
        found[cidr] = description
    return found

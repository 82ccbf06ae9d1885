"""Every describe: which rows, in what order, from where to where; one statement, whatever the number of rows.

A ``Listing`` says what a noun looks like. Children of a row come in the same statement as JSON text (``json_rows``),
so a row's values are all that its answer is made of, and serve as the key under which the rendered text is kept.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, tuple_

from engine.state import Resource, Tag, json_rows
from translators.errors import Ec2Error, combination, not_found
from translators.filters import Filters, clause
from translators.find import check_ids
from translators.memo import Memo
from translators.prepared import Prepared
from translators.registry import Call

PAGE = 1000


@dataclass(frozen=True, eq=False)
class Listing:
    """What is described, and how.

    ``columns`` are the values of one row, ``shape`` turns such a row into EC2's structure and must depend on nothing
    else, ``order`` is a unique key in which pages go, ``visible`` the condition for being shown at all (default: the
    caller's own), ``ids_forbid_pages`` what EC2 calls the ids if it refuses them
    together with MaxResults, ``lenient_ids`` whether ids that are not found are passed over.
    """

    kind: type[Resource]
    columns: tuple[Any, ...]
    shape: Callable[[Any], Mapping[str, Any]]
    filters: Filters
    order: tuple[Any, ...] = ()
    visible: ColumnElement[bool] | None = None
    also: tuple[ColumnElement[bool], ...] = field(default=())
    ids_forbid_pages: str = ""
    lenient_ids: bool = False

    @cached_property
    def keys(self) -> tuple[Any, ...]:
        return self.order or (self.kind.id,)

    @cached_property
    def _prepared(self) -> dict[str, Prepared]:
        return {}

    def select(
        self,
        call: Call,
        conditions: Sequence[ColumnElement[bool]] = (),
        limit: int | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Any]:
        """Return the visible rows for which the conditions hold; ``account`` and ``region`` are bound parameters."""
        dialect = call.db.get_bind().dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            own = and_(self.kind.account == bindparam("account"), self.kind.region == bindparam("region"))
            visible = own if self.visible is None else self.visible
            prepared = Prepared(dialect, self.columns, self.keys, (visible, *self.also))
            self._prepared[dialect.name] = prepared
        scope = {"account": call.account, "region": call.region}
        return prepared.rows(call.db, scope, self.kind, conditions, limit, ids)


def tags_of(kind: type[Resource]) -> Any:
    """Return the column that holds a row's tags, as the caller put them, as JSON text."""
    mine = and_(Tag.resource_id == kind.id, Tag.account == bindparam("account"))
    return json_rows(Tag.key, Tag.value, where=mine, order=(Tag.key,)).label("tags")


def tag_set(text: str) -> list[dict[str, str]] | None:
    return [{"Key": key, "Value": value} for key, value in json.loads(text)] or None


def describe(
    call: Call,
    listing: Listing,
    ids: Sequence[str] | None = None,
    filters: Sequence[Mapping[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    paged: bool = True,
    where: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[Memo], str | None]:
    """Return the items of one page, and the token of the next one if there is one.

    ``where`` are further conditions, which this request alone has.
    """
    if ids and max_results and listing.ids_forbid_pages:
        raise combination(f"The parameter {listing.ids_forbid_pages} cannot be used with the parameter maxResults")
    conditions = [*clause(listing.filters, listing.kind, filters), *where]
    if ids:
        check_ids(listing.kind, ids)
    if next_token:
        position = open_token(listing.kind.prefix, next_token, len(listing.keys))
        conditions.append(tuple_(*listing.keys) > tuple_(*position))
    size = min(max_results or PAGE, PAGE) if paged and not ids else None
    rows = listing.select(call, conditions, size + 1 if size else None, ids)
    if ids and not filters and not listing.lenient_ids:
        _all_found(call, listing, ids, rows)
    token = None
    if size and len(rows) > size:
        rows = rows[:size]
        token = make_token(listing.kind.prefix, rows[-1][-len(listing.keys) :])
    return [Memo((listing.kind.prefix, *row), partial(listing.shape, row)) for row in rows], token


def rows_of(call: Call, listing: Listing, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the structures of the caller's rows as they now stand in this transaction, in the order of ``ids``."""
    call.db.flush()
    rows = listing.select(call, ids=ids)
    found = {row[-1]: dict(listing.shape(row)) for row in rows}
    return [found[id] for id in ids]


def _all_found(call: Call, listing: Listing, ids: Sequence[str], rows: Sequence[Any]) -> None:
    lost = set(ids) - {row[-1] for row in rows}
    if lost:
        raise not_found(listing.kind, *lost)


def make_token(kind: str, position: Sequence[Any]) -> str:
    """Return an opaque token for "after this position"."""
    return base64.urlsafe_b64encode(json.dumps([kind, *position]).encode()).decode()


def open_token(kind: str, token: str, length: int) -> list[Any]:
    """Return the position a token stands for; refuse one that another describe gave, or nobody."""
    try:
        found, *position = json.loads(base64.urlsafe_b64decode(token.encode()))
        if found == kind and len(position) == length and all(isinstance(p, str | int) for p in position):
            return list(position)
    except (ValueError, TypeError):
        pass
    raise Ec2Error("InvalidNextToken", "The token is not valid for this request.")

"""Filters, done once, in SQL: a table of names and columns becomes a WHERE clause.

A table's value is a column of the described kind, ``through(column, link)`` for a column of a related row, or
``constant(...)`` for what is the same on every row. ``tag:<key>``, ``tag-key`` and ``tag-value`` work everywhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, String, bindparam, cast, exists, false, or_, select, true

from engine.state import Resource, Tag
from translators.errors import Ec2Error, invalid

Test = Callable[[Sequence[str]], ColumnElement[bool]]
Filters = Mapping[str, Any]

_MOST_VALUES = 200
_WILD = re.compile(r"\\.|[*?]")


def through(column: Any, link: ColumnElement[bool]) -> Test:
    """Match rows that have a related row, joined by ``link``, whose column matches."""
    return lambda values: exists().where(link, matches(column, values))


def constant(value: str) -> Test:
    """Match every row, or none: the value is the same for all."""
    return lambda values: true() if any(pattern(v).fullmatch(value) for v in values) else false()


def clause(
    table: Filters, kind: type[Resource], asked: Sequence[Mapping[str, Any]] | None
) -> list[ColumnElement[bool]]:
    """Return the conditions that the request's Filters stand for: all must hold, one value of each is enough."""
    found = []
    for item in asked or ():
        name, values = item.get("Name", ""), item.get("Values") or []
        if len(values) > _MOST_VALUES:
            raise Ec2Error("FilterLimitExceeded", f"The maximum number of filter values is {_MOST_VALUES}")
        found.append(_one(table, kind, name, values))
    return found


def _one(table: Filters, kind: type[Resource], name: str, values: Sequence[str]) -> ColumnElement[bool]:
    if name.startswith("tag:"):
        return _tagged(kind, Tag.key == name[4:], matches(Tag.value, values))
    if name == "tag-key":
        return _tagged(kind, matches(Tag.key, values))
    if name == "tag-value":
        return _tagged(kind, matches(Tag.value, values))
    if name not in table:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name}' is invalid")
    test = table[name]
    return matches(test, values) if isinstance(test, ColumnElement) or hasattr(test, "type") else test(values)


def _tagged(kind: type[Resource], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    mine = (Tag.account == bindparam("account"), Tag.region == bindparam("region"))
    return kind.id.in_(select(Tag.resource_id).where(*mine, *conditions))


def matches(column: Any, values: Sequence[str]) -> ColumnElement[bool]:
    """Match a column by any of EC2's patterns: ``*`` is any text, ``?`` one character, ``\\`` makes either plain."""
    if isinstance(column.type, Boolean):
        return or_(false(), *(column.is_(_boolean(value)) for value in values))
    plain = [_unescaped(v) for v in values if not _is_wild(v)]
    wild = [_like(v) for v in values if _is_wild(v)]
    text = cast(column, String) if isinstance(column.type, Integer) else column
    tests = [text.in_(plain)] if len(plain) > 1 else [text == v for v in plain]
    if isinstance(column.type, Integer) and plain:
        tests = [column.in_([int(v) for v in plain if re.fullmatch(r"-?\d{1,18}", v)])]
    return or_(false(), *tests, *(text.like(v, escape="\\") for v in wild))


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise invalid("filter value", value, "Expecting true or false.")
    return value.lower() == "true"


def _is_wild(value: str) -> bool:
    return any(m.group() in "*?" for m in _WILD.finditer(value))


def _unescaped(value: str) -> str:
    return re.sub(r"\\([*?\\])", r"\1", value)


def _like(value: str) -> str:
    tokens = re.findall(r"\\[*?\\]|[\s\S]", value)
    return "".join(
        {"*": "%", "?": "_", "%": r"\%", "_": r"\_", "\\": r"\\", r"\\": r"\\"}.get(t, t[-1]) for t in tokens
    )


def pattern(value: str) -> re.Pattern[str]:
    """Return the same pattern for text that is not in the database."""
    tokens = re.findall(r"\\[*?\\]|[\s\S]", value)
    return re.compile("".join({"*": ".*", "?": "."}.get(t, re.escape(t[-1])) for t in tokens), re.DOTALL)


def select_in_memory(
    rows: Sequence[Any], table: Mapping[str, Callable[[Any], Any]], asked: Sequence[Mapping[str, Any]] | None
) -> list[Any]:
    """Filter a short list that is not in the database: a name's function gives one value or a list of values."""
    for item in asked or ():
        name = item.get("Name", "")
        if name not in table:
            raise Ec2Error("InvalidParameterValue", f"The filter '{name}' is invalid")
        patterns = [pattern(v) for v in item.get("Values") or []]
        rows = [row for row in rows if any(p.fullmatch(v) for p in patterns for v in _texts(table[name](row)))]
    return list(rows)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values if v is not None]

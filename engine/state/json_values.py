"""Conditions on what a JSON object of lists of texts holds, in the words of either database."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, String, column, exists, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

Test = Callable[[ColumnElement[str]], ColumnElement[bool]]


class _Elements(GenericFunction[str]):
    """A table of the elements of a JSON list, each a row with a ``value``."""

    inherit_cache = True


@compiles(_Elements, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Elements, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_array_elements_text({compiler.process(element.clauses, **kw)})"


def has_key(document: Any, test: Test) -> ColumnElement[bool]:
    """Say whether one of the object's keys passes the test."""
    members = func.json_each(document).table_valued(column("key", String), name="members")
    return exists().where(test(members.c.key))


def has_value(document: Any, test: Test) -> ColumnElement[bool]:
    """Say whether an element of one of the object's lists passes the test."""
    members = func.json_each(document).table_valued(column("value", String), name="members")
    elements = _Elements(members.c.value).table_valued(column("value", String), name="elements")
    return exists().select_from(members).where(exists().select_from(elements).where(test(elements.c.value)))

"""A text within a JSON object of lists of texts, in the words of either database."""

from typing import Any

from sqlalchemy import ColumnElement, String, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class _First(GenericFunction[str]):
    type = String()
    inherit_cache = True


@compiles(_First, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    document, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({document}, '$.\"' || {key} || '\"[0]')"


@compiles(_First, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    document, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({document} -> {key} ->> 0)"


def first_text(document: Any, key: str) -> ColumnElement[str]:
    """Return the first element of the list at a key, or NULL. ``key`` is a word of the program's own."""
    return _First(document, literal_column(f"'{key}'"))

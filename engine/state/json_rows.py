"""Children of a row as one JSON text in the same statement, so that a describe is a single query.

``json_rows(Tag.key, Tag.value, where=..., order=...)`` is a scalar subquery that yields ``[["k","v"],...]``.
"""

from typing import Any

from sqlalchemy import ColumnElement, String, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class _Aggregate(GenericFunction[str]):
    type = String()
    inherit_cache = True


@compiles(_Aggregate, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **kw)}))"


@compiles(_Aggregate, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"coalesce(json_agg(json_build_array({compiler.process(element.clauses, **kw)}))::text, '[]')"


def json_rows(*columns: Any, where: ColumnElement[bool], order: tuple[Any, ...] = (), join: Any = None) -> Any:
    """Return the named columns of the rows that match, in order, as JSON text; ``[]`` where there are none.

    ``join`` is a table joined to the first column's; every other table that ``where`` names is the outer row's.
    """
    own = {column.table for column in columns if hasattr(column, "table")}
    rows = select(*[column.label(f"c{i}") for i, column in enumerate(columns)]).where(where)
    if join is not None:
        own |= {join.__table__}
    inner = rows.order_by(*order).correlate_except(*own).subquery()
    return select(_Aggregate(*inner.c)).scalar_subquery()

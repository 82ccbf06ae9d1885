"""A listing's SELECT as text, compiled once, and completed for each request.

SQLAlchemy finds the compiled form of a statement by a key that it makes anew from the whole statement: for a describe
with all its children that took longer than everything else together. Here the part that never changes is compiled once
for each database, and only what a request adds (its ids, its filters) is compiled for it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, select, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from engine.state.prepared import converted, dictionary_style, execute, flags_of, record

_FLAGS = {"render_postcompile": True}


class Prepared:
    """``columns`` are what a row has, ``keys`` unique columns by which it is ordered; they come last in a row."""

    def __init__(self, dialect: Dialect, columns: Sequence[Any], keys: Sequence[Any], where: Sequence[Any]) -> None:
        self._dialect = dictionary_style(dialect)
        labelled = [key.label(f"key_{number}") for number, key in enumerate(keys)]
        # The first condition keeps the others in brackets where they need them, whatever is appended.
        self._sql, self._params = _own_names(self._compile(select(*columns, *labelled).where(text("1=1"), *where)))
        self._placeholder = ":%s" if self._dialect.paramstyle == "named" else "%%(%s)s"
        self._order = " ORDER BY " + ", ".join(str(key.compile(dialect=self._dialect)) for key in keys)
        every = [*columns, *labelled]
        self.record = record([column.key for column in every])
        self._flags = flags_of(dialect, every)

    def _compile(self, statement: Select[Any]) -> tuple[str, dict[str, Any]]:
        # Values to compile with; each request brings its own.
        compiled = statement.params(account="", region="").compile(dialect=self._dialect, compile_kwargs=_FLAGS)
        return str(compiled), dict(compiled.params)

    def rows(
        self,
        db: Session,
        params: Mapping[str, Any],
        kind: type[Any],
        conditions: Sequence[ColumnElement[bool]] = (),
        limit: int | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Any]:
        """Return the rows of those ids for which all ``conditions``, which may speak of ``kind``'s relations, hold."""
        sql, values = self._sql, {**self._params, **params}
        if ids:
            named = {f"wanted_{number}": id for number, id in enumerate(ids)}
            sql += f" AND {kind.__tablename__}.id IN ({', '.join(self._placeholder % name for name in named)})"
            values |= named
        if conditions:
            # Compiled inside of a SELECT from the kind, so that subqueries know which table is not theirs.
            whole, more = self._compile(select(literal_column("1")).select_from(kind).where(*conditions))
            sql += f" AND ({whole.partition('WHERE ')[2]})"
            values = {**more, **values}
        sql += self._order + (f" LIMIT {limit}" if limit else "")
        found = execute(db.connection(), sql, values).fetchall()
        return [self.record._make(converted(row, self._flags)) for row in found]


def _own_names(compiled: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Rename the constants of a statement, so that what is compiled apart from it can use the same names."""
    sql, params = compiled
    own = {name: value for name, value in params.items() if name not in ("account", "region")}
    for name in own:
        sql = re.sub(rf"(:|%\(){re.escape(name)}\b", rf"\1own_{name}", sql)
    return sql, {f"own_{name}": value for name, value in own.items()}

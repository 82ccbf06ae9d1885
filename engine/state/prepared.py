"""Statements compiled once, for what every launch runs: to find a compiled form costs more than to run it.

``PRICE = Prepared(select(Row.a).where(Row.b == bindparam("b")))``, then ``PRICE.rows(db, b=1)``. Rows are plain tuples
with the columns' names. Types are the database's own: what is compiled here uses text, numbers and booleans only.
"""

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, insert
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.state.base import Base


class Prepared:
    """A statement with ``bindparam``s. Pending changes of the session are flushed before it runs, as by any query."""

    def __init__(self, statement: Any) -> None:
        self._statement: Any = statement
        self._columns: Sequence[Any] = list(getattr(statement, "selected_columns", ()))
        self._record = record([column.key for column in self._columns])
        self._compiled: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {}

    def _for(self, dialect: Dialect) -> tuple[str, dict[str, Any], tuple[int, ...]]:
        found = self._compiled.get(dialect.name)
        if found is None:
            style = {"render_postcompile": True}
            compiled = self._statement.compile(dialect=dictionary_style(dialect), compile_kwargs=style)
            found = (str(compiled), dict(compiled.params), flags_of(dialect, self._columns))
            self._compiled[dialect.name] = found
        return found

    def execute(self, db: Session, **params: Any) -> Any:
        """Run it; return the driver's cursor, with ``rowcount`` and ``fetchall``."""
        if db.autoflush:
            db.flush()
        connection = db.connection()
        sql, constants, _ = self._for(connection.dialect)
        return execute(connection, sql, {**constants, **params})

    def rows(self, db: Session, **params: Any) -> list[Any]:
        found = self.execute(db, **params).fetchall()
        flags = self._for(db.get_bind().dialect)[2]
        return [self._record._make(converted(row, flags)) for row in found]

    def first(self, db: Session, **params: Any) -> Any:
        """Return the first row, or None."""
        found = self.rows(db, **params)
        return found[0] if found else None

    def scalar(self, db: Session, **params: Any) -> Any:
        """Return the first column of the first row, or None."""
        found = self.first(db, **params)
        return found[0] if found else None


def execute(connection: Connection, sql: str, params: dict[str, Any]) -> Any:
    """Run SQL in the connection's transaction straight by its driver; errors are SQLAlchemy's all the same."""
    bare: Any = connection.connection.driver_connection
    try:
        return bare.execute(sql, params)
    except connection.dialect.loaded_dbapi.Error as error:
        base = connection.dialect.loaded_dbapi.Error
        raise DBAPIError.instance(sql, params, error, base, dialect=connection.dialect) from error


def record(names: Sequence[str]) -> Any:
    """Return a class of rows with these names; one that is there twice is known by its first place."""
    return namedtuple("Record", names, rename=True)


def flags_of(dialect: Dialect, columns: Sequence[Any]) -> tuple[int, ...]:
    """Return the places of the booleans that the database gives as 0 and 1."""
    if dialect.supports_native_boolean:
        return ()
    return tuple(n for n, column in enumerate(columns) if isinstance(column.type, Boolean))


def converted(row: Any, flags: Sequence[int]) -> Any:
    """Return a row with its 0 and 1 as booleans where they are meant so."""
    if not flags:
        return row
    values = list(row)
    for position in flags:
        if values[position] is not None:
            values[position] = bool(values[position])
    return values


@lru_cache(maxsize=8)
def dictionary_style(dialect: Dialect) -> Dialect:
    """Return the dialect with parameters by name, which both drivers take as a dictionary."""
    if dialect.paramstyle in ("named", "pyformat"):
        return dialect
    named: Any = type(dialect)
    return named(paramstyle="named")  # type: ignore[no-any-return]


class _Insert:
    def __init__(self, kind: type[Base]) -> None:
        self.statement = Prepared(insert(kind))
        defaults = {column.name: column.default for column in kind.__table__.columns}
        self.calls: dict[str, Any] = {n: d.arg for n, d in defaults.items() if d is not None and d.is_callable}
        self.constants = {n: getattr(d, "arg", None) for n, d in defaults.items() if n not in self.calls}


@lru_cache(maxsize=64)
def _insert(kind: type[Base]) -> _Insert:
    return _Insert(kind)


def put(db: Session, kind: type[Base], /, **values: Any) -> None:
    """Insert a row at once, with the defaults of the columns that are not named; no object is made for it."""
    row = _insert(kind)
    made = {name: call(None) for name, call in row.calls.items() if name not in values}
    row.statement.execute(db, **{**row.constants, **made, **values})

"""Bring a database's tables to what this version of the program knows, once, whoever comes first.

A new database is made whole from the tables; an old one is led there by the migrations. Either is one transaction: a
process that is killed in the middle leaves the database as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select

from engine.state.base import Base
from engine.state.database import Database

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_LOCK = 0x67726F756E64
"""The PostgreSQL advisory lock under which a database is made, migrated or filled."""


class SchemaError(Exception):
    """The database is not one that this version of the program can use."""


def head() -> str:
    """Return the number of the newest migration. Listing the folder spares importing alembic, which takes a second."""
    return max(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(database: Database) -> None:
    """Bring the tables up to date. Any number of processes may call it at once: one does it, the others wait.

    Raise SchemaError for tables that are not ours, or a newer version's.
    """
    with database.reader.connect() as connection:
        if _revision(connection) == head():
            return
    with _alone(database) as connection:
        found = _revision(connection)
        if found is None:
            _create(connection)
        elif found != head():
            _migrate(connection, found)


def wait_for_turn(connection: Connection) -> None:
    """Hold off others that make, migrate or fill this database until the transaction of this connection ends."""
    # On SQLite a transaction that writes is alone from its beginning.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    with database.writer.connect() as connection:
        try:
            if database.is_sqlite:
                # SQLite alters a table by making it anew: what refers to it must not mind, nor be deleted with it.
                # The pragma has no effect inside of a transaction.
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                wait_for_turn(connection)
                yield connection
                if database.is_sqlite and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
                    raise SchemaError(f"cannot upgrade the database: rows refer to what is not there: {lost[:5]}")
        finally:
            connection.invalidate()


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, VERSION.name):
        return None
    return connection.scalar(select(VERSION.c.version_num))


def _create(connection: Connection) -> None:
    present = set(connection.dialect.get_table_names(connection)) & set(Base.metadata.tables)
    if present:
        raise SchemaError(
            f"cannot use the database: it has tables ({', '.join(sorted(present)[:3])} ...) of no known version; "
            "name an empty database, or remove this one if it is a leftover of development"
        )
    Base.metadata.create_all(connection, checkfirst=False)
    VERSION.create(connection, checkfirst=False)
    connection.execute(insert(VERSION).values(version_num=head()))


def _migrate(connection: Connection, found: str) -> None:
    if found > head():
        raise SchemaError(
            f"cannot use the database: a newer version of Groundfog made it (schema {found}, this one knows {head()})"
        )
    # Imported here: a database that is up to date needs nothing of it.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, "head")

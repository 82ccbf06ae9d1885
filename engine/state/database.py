"""The database: SQLite in one file, or PostgreSQL; one way to read and one way to write."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker


class Database:
    """``read()`` is a transaction that cannot write; ``write()`` one that commits or leaves no trace.

    On SQLite a writer takes the write lock when it begins, so that it never fails half-way, and writers of one
    process queue on a lock of their own: SQLite's waiting is by sleeping.
    """

    def __init__(self, url: str, durable: bool = True) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.writer = _sqlite(url, "BEGIN IMMEDIATE", durable)
            self.reader = _sqlite(url, "BEGIN", durable, read_only=True)
        else:
            self.writer = create_engine(url, pool_size=20, max_overflow=20, pool_pre_ping=True)
            # One snapshot for a whole reading, as SQLite's transactions have.
            self.reader = self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.writers = sessionmaker(self.writer, expire_on_commit=False)
        """Makes the sessions that write; events may be hung on it."""
        self._read = sessionmaker(self.reader, expire_on_commit=False, autoflush=False)
        self._turn = threading.RLock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        if self.is_sqlite:
            with self._turn, self.writers.begin() as session:
                yield session
        else:
            with self.writers.begin() as session:
                yield session

    def learn_sizes(self) -> None:
        """Have SQLite look again at how many rows there are, by which it chooses indexes; PostgreSQL does so itself.

        Other connections read the figures together with the schema, so where they are another order of magnitude the
        table that holds them is made anew: that is a change of the schema.
        """
        if not self.is_sqlite:
            return
        with self.write() as session:
            connection = session.connection()
            before = _sizes(connection)
            connection.exec_driver_sql("PRAGMA analysis_limit=400")
            connection.exec_driver_sql("ANALYZE")
            if before and _sizes(connection) != before:
                connection.exec_driver_sql("DROP TABLE sqlite_stat1")
                connection.exec_driver_sql("ANALYZE")

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Give the bare SQLite connection to one caller while no other of this process writes."""
        with self._turn, self.writer.connect() as connection:
            connection.rollback()
            bare = connection.connection.driver_connection
            assert isinstance(bare, sqlite3.Connection)
            yield bare

    def close(self) -> None:
        self.writer.dispose()
        self.reader.dispose()


def _sizes(connection: Connection) -> dict[str, int]:
    """Return the order of magnitude, as a power of two, of the rows of each table that SQLite knows the size of."""
    held = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").first()
    rows = connection.exec_driver_sql("SELECT tbl, stat FROM sqlite_stat1").all() if held else []
    return {table: int(stat.split()[0]).bit_length() for table, stat in rows}


def _sqlite(url: str, begin: str, durable: bool, read_only: bool = False) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, pool_size=32, max_overflow=32)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            # FULL: what was acknowledged survives a power cut. A worker may use NORMAL: its steps are repeatable.
            f"synchronous={'FULL' if durable else 'NORMAL'}",
            "foreign_keys=ON",
            "case_sensitive_like=ON",
            "cache_size=-2000",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine

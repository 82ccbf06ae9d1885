"""OVN's northbound database: one connection, a replica in memory, and differences written in one transaction.

Whoever changes something hands a function to ``Northbound.change``. It runs on the connection's own thread, compares
what should be with the replica, and writes only what differs: when nothing does, nothing is sent.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from ovs.db.data import Atom
from ovs.db.types import UuidType
from ovsdbapp.backend.ovs_idl.connection import Connection, OvsdbIdl
from ovsdbapp.backend.ovs_idl.transaction import Transaction
from ovsdbapp.exceptions import TimeoutException

from engine.drivers.base import CALL_LIMIT, DriverError

Row = Any
Result = TypeVar("Result")

ID = "groundfog:id"
NETWORK = "groundfog:network"
OWNER = "groundfog:owner"
SUBNET = "groundfog:subnet"
RULE = "groundfog:rule"

# Columns that are looked up. Only columns that never change may be indexed: the replica's index of a column that a
# transaction rewrites goes out of step with its row (ovs.db.custom_index).
_NAMED = (
    "Logical_Switch",
    "Logical_Router",
    "Logical_Switch_Port",
    "Logical_Router_Port",
    "Port_Group",
    "Address_Set",
    "Meter",
)
_MARKED = ("DHCP_Options", "NAT")
_PLAIN = ("ACL", "Meter_Band", "Logical_Router_Static_Route", "Logical_Router_Policy", "Gateway_Chassis")


class View:
    """The rows as this process knows them; valid only while the function it was handed to runs."""

    def __init__(self, tables: Mapping[str, Any], owner: str = "") -> None:
        self._tables, self._owner = tables, owner

    def named(self, table: str, name: str) -> Row | None:
        """Return the row of that name, or None."""
        return next(self._indexed(table, "name", name=name), None)

    def marked(self, table: str, id: str) -> list[Row]:
        """Return the rows that carry ``groundfog:id`` = id; of DHCP options and NATs only."""
        return list(self._indexed(table, "mark", external_ids={ID: id}))

    def publicly(self, address: str) -> list[Row]:
        """Return the NATs, of whatever network, that hold a public address."""
        return list(self._indexed("NAT", "external_ip", external_ip=address))

    def ids(self, table: str) -> set[str]:
        """Return the ``groundfog:id`` of all rows of a table that are the owner's: a scan."""
        marks = (row.external_ids for row in self._tables[table].rows.values())
        return {m[ID] for m in marks if ID in m and m.get(OWNER, "") == self._owner}

    def all(self, table: str) -> list[Row]:
        """Return the rows of a table that this product made: a scan, for what is rare."""
        return [row for row in self._tables[table].rows.values() if NETWORK in row.external_ids]

    def begun(self, table: str, uuid: str, words: str) -> Row | None:
        """Return the row whose UUID begins so, or None; of several, one whose own words are among these: a scan."""
        found = [row for key, row in self._tables[table].rows.items() if uuid and str(key).startswith(uuid)]
        own = [row for row in found if (getattr(row, "match", "") or getattr(row, "ip_prefix", "")) in words]
        return next(iter([*own, *found]), None)

    def _indexed(self, table: str, index: str, **columns: Any) -> Iterator[Row]:
        rows = self._tables[table].rows
        sought = rows.IndexEntry(**columns)
        return iter(rows.indexes[index].irange(sought, sought))


class Edit(View):
    """The same rows inside of a transaction."""

    def __init__(self, tables: Mapping[str, Any], transaction: Any, owner: str = "") -> None:
        super().__init__(tables, owner)
        self._transaction = transaction

    def put(self, row: Row, **columns: Any) -> None:
        """Write those columns that differ."""
        for name, wanted in self._owned(columns).items():
            if not _same(getattr(row, name), wanted):
                setattr(row, name, wanted)

    def insert(self, table: str, **columns: Any) -> Row:
        row = self._transaction.insert(self._tables[table])
        for name, value in self._owned(columns).items():
            setattr(row, name, value)
        return row

    def _owned(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say in what is marked whose it is, so that two deployments can share one control plane."""
        marks = columns.get("external_ids")
        if not self._owner or not isinstance(marks, dict) or ID not in marks:
            return columns
        return {**columns, "external_ids": {**marks, OWNER: self._owner}}

    def root(self, table: str, name: str, **columns: Any) -> Row:
        """Return the row of a table that needs no parent, made or corrected."""
        row = self.named(table, name)
        if row is None:
            return self.insert(table, name=name, **columns)
        self.put(row, **columns)
        return row

    def child(self, parent: Row, column: str, table: str, name: str, **columns: Any) -> Row:
        """Return a named row that lives in ``parent``'s column, made or corrected."""
        row = self.named(table, name)
        if row is None:
            row = self.insert(table, name=name, **columns)
            parent.addvalue(column, row)
        else:
            self.put(row, **columns)
        return row

    def drop(self, parent: Row, column: str, row: Row | None) -> None:
        """Take a row out of its parent, and so out of the database; None is gone already."""
        if row is not None:
            parent.delvalue(column, row)
            row.delete()

    def children(
        self, parent: Row, column: str, table: str, key: tuple[str, ...], wanted: Iterable[Mapping[str, Any]]
    ) -> None:
        """Make the rows in ``parent``'s column exactly those; a row whose ``key`` columns agree is kept and corrected.

        Key columns are scalars. Rows that another made are taken away as well: the column is ours.
        """
        present: dict[tuple[Any, ...], Row] = {}
        for row in rows_of(parent, column):
            identity = tuple(getattr(row, name) for name in key)
            if identity in present:
                self.drop(parent, column, row)
            present.setdefault(identity, row)
        for columns in wanted:
            kept = present.pop(tuple(columns[name] for name in key), None)
            if kept is None:
                parent.addvalue(column, self.insert(table, **columns))
            else:
                self.put(kept, **columns)
        for row in present.values():
            self.drop(parent, column, row)


def rows_of(parent: Row, column: str) -> list[Row]:
    """Return the rows a column refers to; what was deleted meanwhile is left out."""
    try:
        return [row for row in getattr(parent, column) if row is not None]
    except AttributeError:
        # The parent was made in this very transaction and the column was not written.
        return []


def holds(parent: Row, column: str, row: Row) -> bool:
    """Say whether a column referred to a row when this transaction began.

    A row's attribute makes a sorted list of all that it refers to: 15 ms for a group of 1,000 ports, in the way of
    every port that is made. What the replica keeps beneath is a dict.
    """
    return parent._data is not None and Atom(UuidType, row.uuid) in parent._data[column].values


def _same(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        if len(present) != len(wanted):
            return False
        return {getattr(p, "uuid", p) for p in present} == {getattr(w, "uuid", w) for w in wanted}
    return bool(present == wanted)


class Northbound:
    """A connection made at the first call and renewed by itself; safe to call from many threads.

    ``remote`` is OVSDB's notation, e.g. ``unix:/run/ovn/ovnnb_db.sock`` or ``tcp:a:6641,tcp:b:6641``;
    ``timeout`` the seconds after which a call gives up with a DriverError.
    """

    def __init__(self, remote: str, timeout: float = CALL_LIMIT / 3, owner: str = "") -> None:
        self._remote = remote
        self._owner = owner
        self._timeout = timeout
        self._connection: Any = None
        self._connecting = threading.Lock()

    def change(self, work: Callable[[Edit], Result]) -> Result:
        """Run ``work`` and commit what it wrote as one transaction. It may run again if another client interfered."""
        connection = self._connect()
        command = _Command(connection.idl, work, self._owner)
        # Transaction asks its first argument for the replica only.
        transaction = Transaction(connection, connection, self._timeout, check_error=True, log_errors=False)
        transaction.add(command)
        try:
            transaction.commit()
        except DriverError:
            raise
        except Exception as error:
            # It may still stand in the queue: what the caller was told has failed must not happen later.
            command.abandoned = True
            raise DriverError(f"cannot write to OVN's northbound database: {_reason(error)}") from error
        return command.result

    def read(self, work: Callable[[View], Result]) -> Result:
        """Run ``work`` on the replica. Raise DriverError while the database cannot be reached: no stale answers."""
        connection = self._connect()
        with self._locked(connection):
            idl = connection.idl
            if idl.state != idl.IDL_S_MONITORING or not idl._session.is_connected():
                raise DriverError("cannot reach OVN's northbound database")
            return work(View(idl.tables, self._owner))

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        with self._connecting:
            if self._connection is not None:
                self._connection.stop(self._timeout)
                self._connection = None

    @contextmanager
    def _locked(self, connection: Any) -> Iterator[None]:
        if not connection.lock.acquire(timeout=self._timeout):
            raise DriverError("cannot read OVN's northbound database: it does not answer")
        try:
            yield
        finally:
            connection.lock.release()

    def _connect(self) -> Any:
        with self._connecting:
            if self._connection is None:
                self._connection = self._open()
            return self._connection

    def _open(self) -> Any:
        tables = (*_NAMED, *_MARKED, *_PLAIN)
        try:
            idl = OvsdbIdl.from_server(self._remote, "OVN_Northbound", helper_tables=tables)
            _index(idl.tables)
            connection = Connection(idl, self._timeout)
            connection.start()
        except Exception as error:
            raise DriverError(f"cannot reach OVN's northbound database: {_reason(error)}") from error
        return connection


def _index(tables: Mapping[str, Any]) -> None:
    for table in _NAMED:
        tables[table].rows.index_create("name").add_column("name")
    for table in _MARKED:
        tables[table].rows.index_create("mark").add_column("external_ids", key=_mark)
    tables["NAT"].rows.index_create("external_ip").add_column("external_ip")


def _mark(row: Any) -> str:
    return str(row.external_ids.get(ID, ""))


def _reason(error: Exception) -> str:
    return "it does not answer" if isinstance(error, TimeoutException) else str(error)


class _Command(Generic[Result]):
    """What ovsdbapp's Transaction runs on the connection's thread."""

    result: Result

    def __init__(self, idl: Any, work: Callable[[Edit], Result], owner: str) -> None:
        self._idl = idl
        self._owner = owner
        self._work = work
        self.abandoned = False

    def run_idl(self, transaction: Any) -> None:
        if not self.abandoned:
            self.result = self._work(Edit(self._idl.tables, transaction, self._owner))

    def post_commit(self, transaction: Any) -> None:
        """Nothing: callers do not ask for the new rows."""

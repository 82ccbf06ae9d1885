"""Tell the worker, within milliseconds and across processes, that a task has become due."""

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import event
from sqlalchemy.orm import Session


class Wakeup(Protocol):
    """``notify`` never blocks and may be lost: polling is the safety net."""

    def notify(self) -> None: ...
    def wait(self, seconds: float) -> None: ...


class InProcess:
    """API and worker are threads of one process."""

    def __init__(self) -> None:
        self._due = threading.Event()

    def notify(self) -> None:
        self._due.set()

    def wait(self, seconds: float) -> None:
        self._due.wait(seconds)
        self._due.clear()


class Datagram:
    """API and worker are processes of one host: a datagram to a socket file."""

    def __init__(self, path: Path, listen: bool = False) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if listen:
            path.unlink(missing_ok=True)
            self._socket.bind(self._path)

    def notify(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(b"!", self._path)

    def wait(self, seconds: float) -> None:
        select.select([self._socket], [], [], seconds)
        with contextlib.suppress(OSError):
            while self._socket.recv(64):
                pass


class Listen:
    """API and worker share a PostgreSQL: LISTEN and NOTIFY."""

    CHANNEL = "groundfog_task"

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self._connection: Any = None

    def notify(self) -> None:
        """Do nothing: the notification is part of the transaction (see ``announce``)."""

    def wait(self, seconds: float) -> None:
        import psycopg

        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._url, autocommit=True)
                self._connection.execute(f"LISTEN {self.CHANNEL}")
                return
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.OperationalError:
            self._connection = None
            threading.Event().wait(seconds)


def announce(sessions: Any, wakeup: Wakeup, postgresql: bool) -> None:
    """Make every commit of these sessions that started a task wake the worker."""

    @event.listens_for(sessions, "before_commit")
    def before(session: Session) -> None:
        if postgresql and session.info.get("task_started"):
            session.connection().exec_driver_sql(f"NOTIFY {Listen.CHANNEL}")

    @event.listens_for(sessions, "after_commit")
    def after(session: Session) -> None:
        if session.info.pop("task_started", False):
            wakeup.notify()

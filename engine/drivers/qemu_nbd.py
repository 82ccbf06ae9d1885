"""Disk images that are read or written by way of a qemu-nbd of their own, which knows layers and formats."""

import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from engine.drivers.base import DriverError
from engine.drivers.nbd import Nbd

_LIMIT = 30.0
"""Seconds that a server may take to start, or to answer."""
_AS_SERVICE = 'exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
"""Hands the socket that is standard input over to a program, as systemd does it for sockets that it opened."""


class Served:
    """A qcow2 file, opened by a server that ends together with this connection, however this process ends.

    The connection is there before the server is, and that serves one client only: nobody else gets in between.
    """

    def __init__(self, file: Path, writable: bool = False) -> None:
        """Raise DriverError when the file cannot be opened, or another has it open for writing."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the connection)
        command = ["qemu-nbd", "--format=qcow2", *([] if writable else ["--read-only"]), str(file)]
        connection, listener = _pair()
        with listener:
            # Without qemu-nbd the shell ends, and so does the connection.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _AS_SERVICE, "sh", *command],
                stdin=listener.fileno(), stdout=subprocess.DEVNULL, stderr=self._errors,
            )  # fmt: skip
        try:
            self._disk = Nbd(connection)
        except DriverError as error:
            connection.close()
            said = self._end()
            raise DriverError(f"cannot open {file}: {said or error}") from error
        self.size = self._disk.size
        self.read, self.write, self.flush = self._disk.read, self._disk.write, self._disk.flush

    def close(self) -> None:
        """Wait until the server has let go of the file."""
        self._disk.close()
        self._end()

    def _end(self) -> str:
        """Wait for the server's end, and bring it about if need be; return what it complained of."""
        try:
            self._process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace").strip()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return a connection, and the socket that a server takes it from; nobody can make another one."""
    connection, listener = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory(prefix="groundfog-") as room:  # nobody else may look into it
        address = f"{room}/nbd"
        listener.bind(address)
        listener.listen(1)
        connection.settimeout(_LIMIT)
        connection.connect(address)
    return connection, listener


class Readers:
    """The last few files that were read, kept open for a while: to open one takes longer than to read from it."""

    MOST = 4
    IDLE = 10.0
    """Seconds. A file that is open keeps its room on the disk, though it may be removed meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], tuple[Served, float]] = {}

    def read(self, file: Path, offset: int, length: int) -> bytes:
        """Return what a qcow2 file that is not written any more has there; zeros beyond its end."""
        with self._lock:
            key, served = self._served(file)
            try:
                within = max(0, min(length, served.size - offset))
                return (served.read(offset, within) if within else b"").ljust(length, b"\0")
            except DriverError:
                self._open.pop(key)
                served.close()
                raise

    def _served(self, file: Path) -> tuple[tuple[int, int], Served]:
        try:
            status = file.stat()
        except OSError as error:
            raise DriverError(f"cannot read {file}: {error}") from error
        key = (status.st_dev, status.st_ino)
        served, _ = self._open.pop(key, (None, 0.0))
        if served is None:
            if len(self._open) >= self.MOST:
                self._close(next(iter(self._open)))
            served = Served(file)
            if not self._open:
                self._look_later()
        self._open[key] = (served, time.monotonic())
        return key, served

    def _look_later(self) -> None:
        timer = threading.Timer(self.IDLE, self._close_idle)
        timer.daemon = True
        timer.start()

    def _close_idle(self) -> None:
        with self._lock:
            for key in [key for key, (_, used) in self._open.items() if used < time.monotonic() - self.IDLE]:
                self._close(key)
            if self._open:
                self._look_later()

    def _close(self, key: tuple[int, int]) -> None:
        served, _ = self._open.pop(key)
        served.close()

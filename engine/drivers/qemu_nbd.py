"""Disk images that are read or written by way of a qemu-nbd of their own, which knows layers and formats."""

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from engine.drivers.base import DriverError
from engine.drivers.nbd import Nbd
from engine.drivers.qcow2_encryption import SECRET, whole

_LIMIT = 30.0
"""Seconds that a server may take to start, or to answer."""
_AS_SERVICE = 'exec 3<&0 0<&1 1>/dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
"""Hands the socket that is standard input over to a program, as systemd does it for sockets that it opened; the pipe
that is standard output is its input, from which it reads the key."""


class Served:
    """A qcow2 file, opened by a server that ends together with this connection, however this process ends.

    The connection is there before the server is, and that serves one client only: nobody else gets in between.
    """

    def __init__(self, file: Path, writable: bool = False, key: str | None = None) -> None:
        """Raise DriverError when the file cannot be opened, or another has it open for writing."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the connection)
        options = [*(["--object", SECRET] if key else []), *([] if writable else ["--read-only"])]
        command = ["qemu-nbd", *options, *whole(file, key)]
        connection, listener = _pair()
        with listener, _told(key or "") as secret:
            # Without qemu-nbd the shell ends, and so does the connection.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _AS_SERVICE, "sh", *command],
                stdin=listener.fileno(), stdout=secret, stderr=self._errors,
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


@contextmanager
def _told(secret: str) -> Iterator[int]:
    """Give the end of a pipe from which a secret can be read, which is shorter than a pipe holds."""
    read, write = os.pipe()
    try:
        os.write(write, secret.encode())
        os.close(write)
        yield read
    finally:
        os.close(read)


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


_File = tuple[int, int, str | None]
"""What tells a file from all others, and the key that it was opened with."""


class Readers:
    """The last few files that were read, kept open for a while: to open one takes longer than to read from it."""

    MOST = 4
    IDLE = 10.0
    """Seconds. A file that is open keeps its room on the disk, though it may be removed meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[_File, tuple[Served, float]] = {}

    def read(self, file: Path, offset: int, length: int, key: str | None = None) -> bytes:
        """Return what a qcow2 file that is not written any more has there; zeros beyond its end."""
        with self._lock:
            which, served = self._served(file, key)
            try:
                within = max(0, min(length, served.size - offset))
                return (served.read(offset, within) if within else b"").ljust(length, b"\0")
            except DriverError:
                self._open.pop(which)
                served.close()
                raise

    def _served(self, file: Path, key: str | None) -> tuple[_File, Served]:
        try:
            status = file.stat()
        except OSError as error:
            raise DriverError(f"cannot read {file}: {error}") from error
        which = (status.st_dev, status.st_ino, key)
        served, _ = self._open.pop(which, (None, 0.0))
        if served is None:
            if len(self._open) >= self.MOST:
                self._close(next(iter(self._open)))
            served = Served(file, key=key)
            if not self._open:
                self._look_later()
        self._open[which] = (served, time.monotonic())
        return which, served

    def _look_later(self) -> None:
        timer = threading.Timer(self.IDLE, self._close_idle)
        timer.daemon = True
        timer.start()

    def _close_idle(self) -> None:
        with self._lock:
            for which in [one for one, (_, used) in self._open.items() if used < time.monotonic() - self.IDLE]:
                self._close(which)
            if self._open:
                self._look_later()

    def _close(self, which: _File) -> None:
        served, _ = self._open.pop(which)
        served.close()

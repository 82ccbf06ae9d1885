"""A client of the NBD protocol as far as one disk needs it. Source: doc/proto.md of NetworkBlockDevice/nbd."""

import socket
import struct

from engine.drivers.base import DriverError

_GREETING, _OPTIONS = b"NBDMAGIC", b"IHAVEOPT"
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME = 1
_REQUEST, _REPLY = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3


class Nbd:
    """The server's default export, by a connection that has a time limit of its own."""

    def __init__(self, connection: socket.socket) -> None:
        """Shake hands; raise DriverError when the server does not offer a disk."""
        self._connection = connection
        greeting, options, flags = struct.unpack(">8s8sH", self._receive(18))
        if (greeting, options) != (_GREETING, _OPTIONS) or not flags & _FIXED_NEWSTYLE:
            raise DriverError("cannot talk to a server that does not speak NBD")
        self._send(struct.pack(">L8sLL", _FIXED_NEWSTYLE | (flags & _NO_ZEROES), _OPTIONS, _EXPORT_NAME, 0))
        (self.size,) = struct.unpack(">Q2x", self._receive(10 if flags & _NO_ZEROES else 134)[:10])

    def read(self, offset: int, length: int) -> bytes:
        return self._ask(_READ, offset, length, returns=length)

    def write(self, offset: int, data: bytes) -> None:
        self._ask(_WRITE, offset, len(data), data)

    def flush(self) -> None:
        """Wait until what was written is on the disk."""
        self._ask(_FLUSH, 0, 0)

    def close(self) -> None:
        try:
            self._connection.sendall(struct.pack(">LHHQQL", _REQUEST, 0, _DISCONNECT, 0, 0, 0))
        except OSError:
            pass  # it is gone already
        finally:
            self._connection.close()

    def _ask(self, command: int, offset: int, length: int, data: bytes = b"", returns: int = 0) -> bytes:
        self._send(struct.pack(">LHHQQL", _REQUEST, 0, command, 0, offset, length) + data)
        magic, error, _ = struct.unpack(">LLQ", self._receive(16))
        if magic != _REPLY or error:
            raise DriverError(f"cannot use the disk at {offset}: the NBD server answered with error {error}")
        return self._receive(returns)

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise DriverError(f"cannot reach the NBD server: {error}") from error

    def _receive(self, length: int) -> bytes:
        received = bytearray(length)
        room = memoryview(received)
        try:
            while room:
                count = self._connection.recv_into(room)
                if not count:
                    raise DriverError("the NBD server has gone")
                room = room[count:]
        except OSError as error:
            raise DriverError(f"cannot reach the NBD server: {error}") from error
        return bytes(received)

"""Ask the operator's resolvers what a VPC does not know itself."""

import asyncio
import secrets
import struct
from collections.abc import Sequence
from typing import Any

_TRY_SECONDS = 2.0
"""How long each resolver is given."""
_PORT = 53


class Unanswered(Exception):
    """No resolver answered."""


class Forwarder:
    """``servers`` are addresses, each with ``#port`` if it is not 53 (dnsmasq's notation), asked in their order."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [_split(server) for server in servers]

    async def ask(self, query: bytes, by_tcp: bool) -> bytes:
        """Return the answer to a query as it came, under the query's own id. Raise Unanswered."""
        # An id that nobody can guess, sent from a port that nobody can: RFC 5452.
        id = secrets.token_bytes(2)
        for host, port in self._servers:
            try:
                async with asyncio.timeout(_TRY_SECONDS):
                    ask = _by_tcp if by_tcp else _by_udp
                    answer = await ask(host, port, id + query[2:])
            except (OSError, TimeoutError, EOFError):
                continue
            return query[:2] + answer[2:]
        raise Unanswered


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.partition("#")
    return host, int(port or _PORT)


async def _by_udp(host: str, port: int, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answer(query, answer), remote_addr=(host, port))
    try:
        transport.sendto(query)
        return await answer
    finally:
        transport.close()


class _Answer(asyncio.DatagramProtocol):
    """Takes the first datagram that answers the query: the same id and question, from who was asked."""

    def __init__(self, query: bytes, answer: "asyncio.Future[bytes]") -> None:
        self._query, self._answer = query, answer

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) >= 12 and data[:2] == self._query[:2] and data[2] & 0x80 and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def _by_tcp(host: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        await writer.drain()
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()

"""Speak DNS (RFC 1035, RFC 7766) at the addresses at which a VPC's guests find their resolver."""

import asyncio
import struct
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from socket import socket
from typing import Any

import dns.exception
import dns.message
import dns.rcode
import structlog

from engine.resolver.forwarder import Forwarder, Unanswered
from engine.resolver.records import Records

log = structlog.get_logger()

_WITHOUT_EDNS = 512
"""Bytes of a UDP answer to who does not say that it takes more (RFC 1035)."""
_LARGEST = 1232
"""Bytes of a UDP answer at most: what passes without fragments everywhere (DNS flag day 2020)."""
_QUERIES = 128
"""Queries of one guest that may be under way at once; more are dropped, as EC2 drops more than 1,024 a second."""
_IDLE_SECONDS = 10.0


class Resolver:
    """Answers queries; what only the database knows is read on ``threads``."""

    def __init__(self, records: Records, forwarder: Forwarder, threads: Executor) -> None:
        self._records, self._forwarder, self._threads = records, forwarder, threads

    async def answer(self, vpc_id: str, wire: bytes, by_tcp: bool) -> bytes | None:
        """Return the answer in wire format, whatever comes; None for what is no query at all."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return _format_error(wire)
        if query.flags & 0x8000 or query.opcode() != 0:
            return None
        loop = asyncio.get_running_loop()
        own = await loop.run_in_executor(self._threads, self._records.answer, vpc_id, query)
        if own is not None:
            return _to_wire(query, own, by_tcp)
        try:
            return await self._forwarder.ask(wire, by_tcp)
        except Unanswered:
            failed = dns.message.make_response(query, recursion_available=True)
            failed.set_rcode(dns.rcode.SERVFAIL)
            return failed.to_wire()


def _format_error(wire: bytes) -> bytes | None:
    """Answer what has a header and makes no sense; an answer in a query's place stays unanswered."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + struct.pack("!HHHHH", 0x8000 | int(dns.rcode.FORMERR), 0, 0, 0, 0)


def _to_wire(query: dns.message.Message, answer: dns.message.Message, by_tcp: bool) -> bytes:
    if by_tcp:
        return answer.to_wire()
    size = min(max(query.payload, _WITHOUT_EDNS), _LARGEST) if query.edns >= 0 else _WITHOUT_EDNS
    try:
        return answer.to_wire(max_size=size)
    except dns.exception.TooBig:
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= 0x0200  # TC: ask again by TCP
        return short.to_wire()


class NameServer:
    """One VPC's resolver on sockets that others made: it hears only that VPC's guests."""

    def __init__(self, vpc_id: str, resolver: Resolver) -> None:
        self._vpc_id, self._resolver = vpc_id, resolver
        self._listening: list[asyncio.Server] = []
        self._hearing: list[asyncio.DatagramTransport] = []
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, streams: Sequence[socket], datagrams: Sequence[socket]) -> None:
        loop = asyncio.get_running_loop()
        for each in streams:
            self._listening.append(await asyncio.start_server(self._converse, sock=each))
        for each in datagrams:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=each)
            self._hearing.append(transport)

    async def close(self) -> None:
        for server in self._listening:
            server.close()
        for transport in self._hearing:
            transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram(self, transport: asyncio.DatagramTransport, wire: bytes, peer: Any) -> None:
        """Begin to answer a datagram, unless its sender asks too much."""
        guest = peer[0]
        if self._under_way[guest] >= _QUERIES:
            return
        task = asyncio.create_task(self._reply(transport, wire, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, transport: asyncio.DatagramTransport, wire: bytes, peer: Any) -> None:
        answer = await self._counted(peer[0], wire, by_tcp=False)
        if answer is not None and not transport.is_closing():
            transport.sendto(answer, peer)

    async def _counted(self, guest: str, wire: bytes, by_tcp: bool) -> bytes | None:
        self._under_way[guest] += 1
        try:
            return await self._resolver.answer(self._vpc_id, wire, by_tcp)
        except Exception:
            log.exception("cannot answer a query for a name", vpc_id=self._vpc_id, address=guest)
            return None
        finally:
            self._under_way[guest] -= 1
            if not self._under_way[guest]:
                del self._under_way[guest]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of a connection one after the other, until it is idle or over."""
        guest = (writer.get_extra_info("peername") or ("",))[0]
        try:
            while self._under_way[guest] < _QUERIES:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                answer = await self._counted(guest, wire, by_tcp=True)
                if answer is None:
                    break
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._transport is not None:
            self._server.datagram(self._transport, data, addr)

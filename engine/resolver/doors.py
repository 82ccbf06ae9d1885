"""Questions by UDP and by TCP (RFC 7766), each through one socket of a VPC."""

import asyncio
from asyncio import DatagramProtocol, DatagramTransport, StreamReader, StreamWriter
from contextlib import suppress
from socket import socket
from typing import Any

import structlog

from engine.metadata.crowd import Crowd
from engine.resolver.messages import LONGEST
from engine.resolver.resolver import Resolver

_IDLE_SECONDS = 10.0
"""How long a connection may be silent."""

log = structlog.get_logger()


class DatagramDoor(DatagramProtocol):
    """Answers packets, each by itself."""

    def __init__(self, vpc_id: str, resolver: Resolver) -> None:
        self._vpc_id = vpc_id
        self._resolver = resolver
        self._transport: DatagramTransport | None = None
        self._work: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket) -> None:
        listener.setblocking(False)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        for task in self._work:
            task.cancel()

    def connection_made(self, transport: DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        # An address of the link is written with the name of a device, which only the namespace knows.
        peer = (addr[0].partition("%")[0], *addr[1:])
        if self._resolver.hears(self._vpc_id, peer[0]):
            task = asyncio.create_task(self._answer(data, peer))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _answer(self, data: bytes, peer: Any) -> None:
        answer = await self._resolver.answer(self._vpc_id, peer[0], data)
        if answer is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, peer)


class StreamDoor:
    """Answers what comes by connections, one question after the other."""

    def __init__(self, vpc_id: str, resolver: Resolver) -> None:
        self._vpc_id = vpc_id
        self._resolver = resolver
        self._server: asyncio.Server | None = None
        self._crowd = Crowd()
        self._open: set[StreamWriter] = set()

    async def open(self, listener: socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener, backlog=1024)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        guest = str((writer.get_extra_info("peername") or ("",))[0]).partition("%")[0]
        self._open.add(writer)
        try:
            if self._crowd.enter(guest):
                with suppress(OSError, EOFError, TimeoutError):
                    await self._converse(guest, reader, writer)
        finally:
            self._crowd.leave(guest)
            self._open.discard(writer)
            writer.transport.abort()

    async def _converse(self, guest: str, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            async with asyncio.timeout(_IDLE_SECONDS):
                length = int.from_bytes(await reader.readexactly(2), "big")
                wire = await reader.readexactly(length)
            if not self._resolver.hears(self._vpc_id, guest):
                return
            answer = await self._resolver.answer(self._vpc_id, guest, wire, LONGEST)
            if answer is None:
                return
            async with asyncio.timeout(_IDLE_SECONDS):
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()

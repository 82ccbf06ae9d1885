"""Connections by one listening socket, each carried on to a server of the service."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPIDLE, socket

import structlog

from engine.metadata.crowd import Crowd

_CONNECT_SECONDS = 5.0
"""How long a server has to accept a connection before another one is asked."""
_IDLE_SECONDS = 350
"""After so long a silence it is found out whether both sides are still there; endpoints of AWS give up on them then."""
_CHUNK = 1 << 16
_CONNECTIONS = 1024
"""Connections that one client may hold."""

log = structlog.get_logger()


class RelayDoor:
    """Carries bytes both ways. Servers take turns; one that does not answer is passed over."""

    def __init__(self, id: str, servers: Callable[[], Sequence[str]]) -> None:
        """``servers`` says, for each new connection, which ones there are (``host:port``)."""
        self._id = id
        self._servers = servers
        self._turns = count()
        self._crowd = Crowd(_CONNECTIONS)
        self._server: asyncio.Server | None = None
        self._work: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket) -> None:
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=_CHUNK)

    async def close(self) -> None:
        """Stop; connections end."""
        if self._server is not None:
            self._server.close()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        client = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            if self._crowd.enter(client):
                await self._relay(reader, writer)
        finally:
            self._crowd.leave(client)
            await _end(writer)

    async def _relay(self, reader: StreamReader, writer: StreamWriter) -> None:
        found = await self._connect()
        if found is None:
            return
        answers, asking = found
        try:
            _keep_alive(writer)
            _keep_alive(asking)
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, asking))
                both.create_task(_carry(answers, writer))
        except* OSError:
            pass  # one side has gone, so the other is told by the end of its connection
        finally:
            await _end(asking)

    async def _connect(self) -> tuple[StreamReader, StreamWriter] | None:
        servers = self._servers()
        first = next(self._turns)
        for turn in range(len(servers)):
            host, _, port = servers[(first + turn) % len(servers)].rpartition(":")
            try:
                connecting = asyncio.open_connection(host.strip("[]"), int(port), limit=_CHUNK)
                return await asyncio.wait_for(connecting, _CONNECT_SECONDS)
            except (OSError, TimeoutError) as error:
                log.warning("a server does not answer", interface=self._id, server=host, error=str(error))
        return None


async def _carry(reader: StreamReader, writer: StreamWriter) -> None:
    """Carry what one side says until it has said all; the other may go on speaking."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _keep_alive(writer: StreamWriter) -> None:
    peer: socket = writer.get_extra_info("socket")
    peer.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    peer.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, _IDLE_SECONDS)


async def _end(writer: StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()

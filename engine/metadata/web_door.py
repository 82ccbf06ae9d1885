"""HTTP by one listening socket: one request a connection, and no guest takes what the others need."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from socket import socket

from aiohttp import web

from engine.metadata.crowd import Crowd

Respond = Callable[[str, web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers a request that came in by the door of a VPC."""

_CONNECTION_SECONDS = 10.0
"""How long a connection may last. It serves one request, which takes milliseconds."""


class WebDoor(web.Server):
    """Speaks HTTP by one listening socket. A guest that holds too many connections is hung up on."""

    def __init__(self, vpc_id: str, respond: Respond) -> None:
        super().__init__(partial(respond, vpc_id), access_log=None)
        self.listening: asyncio.Server | None = None
        self._crowd = Crowd()
        self._ends: dict[web.RequestHandler, tuple[str, asyncio.TimerHandle]] = {}

    async def open(self, listener: socket) -> None:
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(self, sock=listener, backlog=1024)

    async def close(self) -> None:
        if self.listening is not None:
            self.listening.close()
        await self.shutdown(timeout=1.0)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        guest = (transport.get_extra_info("peername") or ("",))[0]
        loop = asyncio.get_running_loop()
        end = loop.call_later(_CONNECTION_SECONDS, transport.abort)
        self._ends[handler] = guest, end
        if not self._crowd.enter(guest):
            # Not at once: the handler must have begun before it can end.
            loop.call_soon(transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        guest, end = self._ends.pop(handler)
        end.cancel()
        self._crowd.leave(guest)

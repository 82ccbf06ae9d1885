"""What guests find in their VPC: a namespace for each, with a door for metadata and, maybe, a resolver of names."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Any, Protocol, TypeVar

import structlog
from aiohttp import web

from engine.resolver.server import NameServer, Resolver

Found = TypeVar("Found")
Respond = Callable[[str, web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers a request that came in by the door of a VPC."""

_CONNECTIONS = 32
"""Connections that one guest may hold: no guest can take the file descriptors that the others need."""
_CONNECTION_SECONDS = 10.0
"""How long a connection may last. It serves one request, which takes milliseconds."""
_CHECK_SECONDS = 30.0
"""A restart of the switch takes devices out of namespaces without a word: how often they are made sure of."""
_LONGEST_WAIT = 30.0
_DNS = 53

METADATA = "169.254.169.254"
RESOLVERS = ("169.254.169.253", "fd00:ec2::253")
"""Where the resolver of every VPC is, besides the address in the VPC's own range."""

log = structlog.get_logger()


class Listeners(Protocol):
    """What this host offers (see ``drivers.netns``). Every method may block, and raise when the host refuses."""

    def ensure_namespace(self, network_id: str, resolver: str = "") -> str: ...
    def listen(self, network_id: str, port: int = 80, address: str = METADATA) -> socket: ...
    def hear(self, network_id: str, port: int, address: str) -> socket: ...
    def remove_namespace(self, network_id: str) -> None: ...
    def list_namespaces(self) -> set[str]: ...


class Door(web.Server):
    """Speaks HTTP by one listening socket. A guest that holds too many connections is hung up on."""

    def __init__(self, vpc_id: str, respond: Respond) -> None:
        super().__init__(partial(respond, vpc_id), access_log=None)
        self.listening: asyncio.Server | None = None
        self._held: Counter[str] = Counter()
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
        self._held[guest] += 1
        if self._held[guest] > _CONNECTIONS:
            # Not at once: the handler must have begun before it can end.
            loop.call_soon(transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        guest, end = self._ends.pop(handler)
        end.cancel()
        self._held[guest] -= 1
        if not self._held[guest]:
            del self._held[guest]


@dataclass(frozen=True)
class Post:
    """What is open in a VPC. ``names`` answers at ``resolver``, which is empty where the VPC has no resolver."""

    door: Door
    resolver: str = ""
    names: NameServer | None = None

    async def close(self) -> None:
        await self.door.close()
        if self.names is not None:
            await self.names.close()


@dataclass(frozen=True)
class _Setback:
    tries: int
    again: float
    """When to try again, by the loop's clock."""


class Doors:
    """Bring the doors to what they should be, again and again; the trouble of one VPC is no other's.

    Nothing is remembered that the host does not know itself, so a process that was killed is followed by one that
    finds the namespaces of its predecessor, and takes over or removes them.
    """

    def __init__(self, listeners: Listeners, respond: Respond, resolver: Resolver) -> None:
        self._listeners = listeners
        self._respond = respond
        self._resolver = resolver
        self._host = ThreadPoolExecutor(4, "doors")
        self._open: dict[str, Post] = {}
        self._checked: dict[str, float] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        self._setbacks: dict[str, _Setback] = {}

    @property
    def opened(self) -> set[str]:
        """The VPCs whose guests are listened to."""
        return set(self._open)

    async def converge(self, wanted: Mapping[str, str]) -> None:
        """Begin whatever must be done to listen in these VPCs and in no other. Raises what ``list_namespaces`` does.

        ``wanted`` has, for each VPC, the address of its resolver; nothing where it has none.
        """
        present = await self._on_host(self._listeners.list_namespaces)
        for id in wanted.keys() | present | self._open.keys():
            if id not in self._work and not self._must_wait(id):
                if id not in wanted:
                    self._begin(id, self._leave(id))
                elif id not in present or not self._is_as(id, wanted[id]) or self._is_unchecked(id):
                    self._begin(id, self._serve(id, wanted[id], lost=id not in present))

    async def close(self) -> None:
        """Stop listening. The namespaces stay: guests outlive this process, and the next one starts the quicker."""
        for task in self._work.values():
            task.cancel()
        await asyncio.gather(*self._work.values(), return_exceptions=True)
        for id in list(self._open):
            await self._shut(id)
        self._host.shutdown(wait=False, cancel_futures=True)

    def _must_wait(self, id: str) -> bool:
        return id in self._setbacks and self._setbacks[id].again > _now()

    def _is_as(self, id: str, resolver: str) -> bool:
        return id in self._open and self._open[id].resolver == resolver

    def _is_unchecked(self, id: str) -> bool:
        return self._checked[id] + _CHECK_SECONDS < _now()

    def _begin(self, id: str, work: Coroutine[Any, Any, None]) -> None:
        self._work[id] = asyncio.create_task(self._attempt(id, work))

    async def _attempt(self, id: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            self._setbacks.pop(id, None)
        except Exception as error:
            tries = self._setbacks[id].tries + 1 if id in self._setbacks else 1
            seconds = min(_LONGEST_WAIT, 0.25 * 2**tries)
            self._setbacks[id] = _Setback(tries, _now() + seconds)
            log.warning("cannot serve metadata", vpc_id=id, error=str(error), tries=tries, again_in=seconds)
        finally:
            del self._work[id]

    async def _serve(self, id: str, resolver: str, lost: bool) -> None:
        if lost or not self._is_as(id, resolver):
            # Sockets hear nothing any more in a namespace that somebody removed.
            await self._shut(id)
        await self._on_host(self._listeners.ensure_namespace, id, resolver)
        if id not in self._open:
            self._open[id] = await self._opened(id, resolver)
            log.info("serving metadata", vpc_id=id, resolver=resolver)
        self._checked[id] = _now()

    async def _opened(self, id: str, resolver: str) -> Post:
        sockets: list[socket] = []

        async def take(work: Callable[..., socket], *arguments: Any) -> socket:
            sockets.append(await self._on_host(work, id, *arguments))
            return sockets[-1]

        door, names = Door(id, self._respond), NameServer(id, self._resolver) if resolver else None
        try:
            await door.open(await take(self._listeners.listen))
            if names is not None:
                addresses = (resolver, *RESOLVERS)
                streams = [await take(self._listeners.listen, _DNS, address) for address in addresses]
                datagrams = [await take(self._listeners.hear, _DNS, address) for address in addresses]
                await names.open(streams, datagrams)
        except BaseException:
            await Post(door, resolver, names).close()
            for each in sockets:
                each.close()
            raise
        return Post(door, resolver, names)

    async def _leave(self, id: str) -> None:
        await self._shut(id)
        await self._on_host(self._listeners.remove_namespace, id)
        log.info("no more metadata to serve", vpc_id=id)

    async def _shut(self, id: str) -> None:
        post = self._open.pop(id, None)
        self._checked.pop(id, None)
        if post is not None:
            await post.close()

    async def _on_host(self, work: Callable[..., Found], *arguments: Any) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._host, work, *arguments)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""The doors that guests knock at: a namespace with listening sockets for every VPC, opened and closed as needed.

Those of endpoints are like them, with an interface's id in the place of the VPC's.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import socket
from typing import Any, Literal, Protocol, TypeVar

import structlog

from engine.drivers.networking import Router, Subnet

Found = TypeVar("Found")
Places = frozenset["Place"]
Kind = Literal["stream", "datagram", "frames"]

_CHECK_SECONDS = 30.0
"""A restart of the switch takes devices out of namespaces without a word: how often they are made sure of."""
_LONGEST_WAIT = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, order=True)
class Place:
    """Where guests of a VPC are listened to: by TCP (``stream``) or UDP at an address and port.

    ``frames`` are ICMPv6 messages to an address of many, of the type ``port``.
    """

    address: str
    port: int
    kind: Kind = "stream"


class Listeners(Protocol):
    """What this host offers (see ``drivers.netns``). Every method may block, and raise when the host refuses."""

    def ensure_namespace(self, network_id: str, addresses: Collection[str]) -> str: ...
    def listen(self, network_id: str, address: str, port: int, kind: Kind) -> socket: ...
    def remove_namespace(self, network_id: str) -> None: ...
    def list_namespaces(self) -> set[str]: ...


class Wires(Listeners, Protocol):
    """Namespaces on the wires of VPCs."""

    def router(self, subnet: Subnet) -> Router: ...


class Door(Protocol):
    """Somebody who answers what comes in by one socket."""

    async def open(self, listener: socket) -> None:
        """Begin to answer; the socket is the door's own from now on, unless this raises."""
        ...

    async def close(self) -> None: ...


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

    def __init__(self, listeners: Listeners, make_door: Callable[[str, Place], Door]) -> None:
        """``make_door`` makes what answers at a place of a VPC."""
        self._listeners = listeners
        self._make_door = make_door
        self._host = ThreadPoolExecutor(4, "doors")
        self._open: dict[str, dict[Place, Door]] = {}
        self._served: dict[str, Places] = {}
        self._checked: dict[str, float] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        self._setbacks: dict[str, _Setback] = {}

    async def converge(self, wanted: Mapping[str, Places]) -> None:
        """Begin whatever must be done to listen at these places of VPCs and nowhere else.

        Raises what ``list_namespaces`` does.
        """
        present = await self._on_host(self._listeners.list_namespaces)
        for id in wanted.keys() | present | self._open.keys():
            if id not in self._work and not self._must_wait(id):
                if id not in wanted:
                    self._begin(id, self._leave(id))
                elif id not in present or self._served.get(id) != wanted[id] or self._is_unchecked(id):
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
            log.warning("cannot serve", id=id, error=str(error), tries=tries, again_in=seconds)
        finally:
            del self._work[id]

    async def _serve(self, id: str, wanted: Places, lost: bool) -> None:
        if lost:
            # Somebody removed the namespace; the sockets in it hear nothing any more.
            await self._shut(id)
        held = self._open.setdefault(id, {})
        served = self._served.pop(id, None)
        for place in held.keys() - wanted:
            await held.pop(place).close()
        addresses = {place.address for place in wanted if place.kind != "frames"}
        await self._on_host(self._listeners.ensure_namespace, id, addresses)
        for place in sorted(wanted - held.keys()):
            held[place] = await self._opened(id, place)
        if wanted != served:
            log.info("serving", id=id, addresses=sorted(addresses))
        self._served[id] = wanted
        self._checked[id] = _now()

    async def _opened(self, id: str, place: Place) -> Door:
        listener = await self._on_host(self._listeners.listen, id, place.address, place.port, place.kind)
        door = self._make_door(id, place)
        try:
            await door.open(listener)
        except BaseException:
            listener.close()
            raise
        return door

    async def _leave(self, id: str) -> None:
        await self._shut(id)
        await self._on_host(self._listeners.remove_namespace, id)
        log.info("nobody left to listen to", id=id)

    async def _shut(self, id: str) -> None:
        self._checked.pop(id, None)
        self._served.pop(id, None)
        for door in self._open.pop(id, {}).values():
            await door.close()

    async def _on_host(self, work: Callable[..., Found], *arguments: Any) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._host, work, *arguments)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Tells guests of their routers: at once when they ask, and every few minutes when they do not."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv6Network
from socket import socket

import structlog

from engine.advertisements.guests import Guest, guests_on
from engine.advertisements.packets import EVERYBODY, Solicitor, advertisement, read_solicitation
from engine.drivers.networking import Router, Subnet
from engine.metadata.crowd import Pace
from engine.state.database import Database

_LOOK_SECONDS = 4.0
"""How often it is looked for guests that have not been told yet: an interface may be given IPv6 at any time."""
_FIRST, _FIRST_SECONDS, _SECONDS = 3, 16.0, 200.0
"""How often a guest is told unasked: the first times more often than later (RFC 4861, sections 6.2.4 and 10)."""
_SOLICITATIONS = 5
"""Solicitations of one guest that are answered in a second."""
_FRAME = 2048

log = structlog.get_logger()


class Advertiser:
    """For one event loop; the database is asked on threads. ``mtu`` is what guests are told."""

    def __init__(
        self, database: Database, hosts: Collection[str], router: Callable[[Subnet], Router], mtu: int
    ) -> None:
        """``router`` says what the router of a subnet goes by on the link."""
        self._database = database
        self._hosts = sorted(hosts)
        self._router = router
        self._mtu = mtu
        self._threads = ThreadPoolExecutor(1, "advertiser")
        self._pace = Pace(_SOLICITATIONS)
        self._doors: dict[str, FrameDoor] = {}
        self._told: dict[Guest, tuple[int, float]] = {}
        """How often each guest was told unasked, and when it is to be told again, by the loop's clock."""

    async def run(self) -> None:
        """Tell guests unasked, for ever."""
        try:
            while True:
                try:
                    self._tell(await self._guests())
                except Exception as error:
                    log.error("cannot tell guests of routers", error=str(error))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _tell(self, guests: list[Guest]) -> None:
        now = asyncio.get_running_loop().time()
        self._told = {guest: self._told[guest] for guest in guests if guest in self._told}
        for guest in guests:
            times, due = self._told.get(guest, (0, now))
            if now >= due and guest.vpc_id in self._doors:
                self._send(guest, EVERYBODY)
                self._told[guest] = times + 1, now + (_FIRST_SECONDS if times + 1 < _FIRST else _SECONDS)

    async def heard(self, vpc_id: str, frame: bytes) -> None:
        """Answer whoever asks for routers in a VPC."""
        solicitor = read_solicitation(frame)
        if solicitor is None or not self._pace.allows((vpc_id, solicitor.mac)):
            return
        try:
            for guest in await self._guests(vpc_id, solicitor.mac):
                self._send(guest, solicitor.address)
        except Exception as error:
            log.error("cannot answer who asks for routers", vpc_id=vpc_id, mac=solicitor.mac, error=str(error))

    async def _guests(self, vpc_id: str = "", mac: str = "") -> list[Guest]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._look, vpc_id, mac)

    def _look(self, vpc_id: str, mac: str) -> list[Guest]:
        with self._database.read() as db:
            return guests_on(db, self._hosts, vpc_id, mac)

    def _send(self, guest: Guest, address: str) -> None:
        door = self._doors.get(guest.vpc_id)
        if door is not None:
            prefix = IPv6Network(guest.subnet.cidr6)
            door.send(advertisement(self._router(guest.subnet), prefix, self._mtu, Solicitor(guest.mac, address)))

    def add(self, vpc_id: str, door: "FrameDoor") -> None:
        """Take note of the way to the guests of a VPC; whoever is there is told soon."""
        self._doors[vpc_id] = door
        self._told = {guest: told for guest, told in self._told.items() if guest.vpc_id != vpc_id}

    def remove(self, vpc_id: str, door: "FrameDoor") -> None:
        if self._doors.get(vpc_id) is door:
            del self._doors[vpc_id]


class FrameDoor:
    """Hears and sends frames by a socket on the wire of a VPC."""

    def __init__(self, vpc_id: str, advertiser: Advertiser) -> None:
        self._vpc_id = vpc_id
        self._advertiser = advertiser
        self._socket: socket | None = None
        self._work: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket) -> None:
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._receive)
        self._socket = listener
        self._advertiser.add(self._vpc_id, self)

    async def close(self) -> None:
        self._advertiser.remove(self._vpc_id, self)
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for task in self._work:
            task.cancel()

    def send(self, frame: bytes) -> None:
        """Send a frame. One that cannot be sent is as good as lost on the way: the guest asks, or is told, again."""
        with suppress(OSError):
            if self._socket is not None:
                self._socket.send(frame)

    def _receive(self) -> None:
        with suppress(OSError):
            if self._socket is not None:
                task = asyncio.create_task(self._advertiser.heard(self._vpc_id, self._socket.recv(_FRAME)))
                self._work.add(task)
                task.add_done_callback(self._work.discard)

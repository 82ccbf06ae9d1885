"""Answers guests' questions: from the database what is the VPC's own, and from the operator's resolvers all else."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from engine.metadata.crowd import Crowd, Pace
from engine.resolver.messages import (
    Message,
    Refusal,
    asked_name,
    failed,
    of_known,
    of_reply,
    read,
    room,
    said,
    to_forward,
)
from engine.resolver.names import find_name
from engine.resolver.realms import Realms
from engine.resolver.upstream import Upstream
from engine.state.database import Database

_PACKETS = 1024
"""Packets a second that a guest may send; more are dropped ("Amazon DNS quotas" in the VPC user guide)."""
_QUESTIONS = 128
"""Questions of one guest that may be on their way to others at a time: each holds a socket."""
_THREADS = 4

log = structlog.get_logger()


class Resolver:
    """For one event loop; the database is asked on threads."""

    def __init__(self, database: Database, upstream: Upstream) -> None:
        self._database = database
        self._upstream = upstream
        self._realms = Realms(database)
        self._threads = ThreadPoolExecutor(_THREADS, "resolver")
        self._pace = Pace(_PACKETS)
        self._forwarded = Crowd(_QUESTIONS)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def hears(self, vpc_id: str, guest: str) -> bool:
        """Count a packet from a guest, and say whether it may be answered."""
        return self._pace.allows((vpc_id, guest))

    async def answer(self, vpc_id: str, guest: str, wire: bytes, longest: int = 0) -> bytes | None:
        """Return the answer to a packet from an address in a VPC, or None where it is not to be answered.

        It has at most ``longest`` bytes, or where that is 0, as many as a UDP packet for who asks.
        """
        try:
            request = read(wire)
        except Refusal as refusal:
            return refusal.wire
        try:
            reply = await self._reply(vpc_id, guest, request)
            return None if reply is None else said(reply, longest or room(request))
        except Exception:
            log.exception("cannot answer a question", vpc_id=vpc_id, guest=guest, name=asked_name(request))
            return failed(request)

    async def _reply(self, vpc_id: str, guest: str, request: Message) -> Message | None:
        loop = asyncio.get_running_loop()
        is_guest, reply = await loop.run_in_executor(self._threads, self._known, vpc_id, guest, request)
        if reply is not None or not is_guest:
            return reply
        try:
            if not self._forwarded.enter((vpc_id, guest)):
                return None
            return of_reply(request, await self._upstream.ask(to_forward(request)))
        finally:
            self._forwarded.leave((vpc_id, guest))

    def _known(self, vpc_id: str, guest: str, request: Message) -> tuple[bool, Message | None]:
        """Say whether who asks may, and return what the VPC itself knows, or None where others must be asked."""
        realm = self._realms.get(vpc_id)
        if realm is None or not realm.lets_ask(guest):
            return False, None
        with self._database.read() as db:
            known = find_name(db, realm, asked_name(request))
        return True, None if known is None else of_known(request, known)

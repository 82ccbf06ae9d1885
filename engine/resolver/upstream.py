"""The operator's resolvers, which are asked for every name that is not a VPC's own."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import dns.asyncquery
import dns.exception
import dns.rcode

from engine.resolver.messages import Message

_PATIENCE = (0.8, 1.5)
"""Seconds that each server is given, in the first round and in the second."""
_TOTAL_SECONDS = 4.5
"""A guest asks again after five seconds: it is told before that there is no answer."""
_FINAL = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
_PORT = 53
_WITH_PORT = re.compile(r"(?:\[(?P<six>[^]]+)\]|(?P<four>[^:]+)):(?P<port>\d+)")


class Upstream:
    """Asks one server after the other, in two rounds, and begins with whichever answered last."""

    def __init__(self, servers: Callable[[], Sequence[str]]) -> None:
        """``servers`` are addresses; one of them may have a port: ``192.0.2.1:5353``, ``[2001:db8::1]:5353``."""
        self._servers = servers
        self._last = ""

    async def ask(self, query: Message) -> Message | None:
        """Return the answer, or None where no server gives one. What all others refuse or fail at counts as one."""
        found: list[Message] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_TOTAL_SECONDS):
                await self._rounds(query, found)
        return found[-1] if found else None

    async def _rounds(self, query: Message, found: list[Message]) -> None:
        for seconds in _PATIENCE:
            for server in sorted(self._servers(), key=lambda server: server != self._last):
                reply = await _exchange(query, server, seconds)
                if reply is not None:
                    found.append(reply)
                    if reply.rcode() in _FINAL:
                        self._last = server
                        return


async def _exchange(query: Message, server: str, seconds: float) -> Message | None:
    address, port = split(server)
    try:
        # A socket of its own for each question: the port is as hard to guess as the id.
        reply, _ = await dns.asyncquery.udp_with_fallback(
            query, address, seconds, port, ignore_unexpected=True, ignore_errors=True
        )
    except (OSError, EOFError, dns.exception.DNSException):
        return None
    return reply


def split(server: str) -> tuple[str, int]:
    """Return the address and the port of a server."""
    found = _WITH_PORT.fullmatch(server)
    if found is None:
        return server, _PORT
    return found["six"] or found["four"], int(found["port"])

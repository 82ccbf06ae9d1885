"""Names as guests on loopback ask for them, and a resolver of the operator's that says what a test wants."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

from engine.state import VpcCidrBlock
from engine.state.database import Database
from tests.acceptance.deployment import free_port
from tests.engine.imds import HERE, Loopback

RESOLVER = "169.254.169.253"
Message = dns.message.Message
OUTSIDE = "192.0.2.7"


class Fake:
    """A resolver at 127.0.0.1 that knows an address for every name; ``say`` changes what it answers by UDP or TCP."""

    def __init__(self, say: Callable[[Message, str], Message | None] | None = None) -> None:
        self.asked: list[Message] = []
        self.say = say or (lambda query, _: knows(query))
        self.port = free_port()
        self._tcp = socket.create_server((HERE, self.port))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((HERE, self.port))
        for serve in (self._datagrams, self._connections):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def names(self) -> list[str]:
        return [query.question[0].name.to_text() for query in self.asked]

    def close(self) -> None:
        for each in (self._udp, self._tcp):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _answer(self, wire: bytes, how: str) -> bytes:
        query = dns.message.from_wire(wire)
        self.asked.append(query)
        reply = self.say(query, how)
        return reply.to_wire(max_size=65535) if reply is not None else b""

    def _datagrams(self) -> None:
        try:
            while True:
                wire, peer = self._udp.recvfrom(4096)
                if not wire:
                    return
                if answer := self._answer(wire, "udp"):
                    self._udp.sendto(answer, peer)
        except OSError:
            return

    def _connections(self) -> None:
        try:
            while True:
                connection, _ = self._tcp.accept()
                with connection:
                    length = int.from_bytes(connection.recv(2), "big")
                    if answer := self._answer(connection.recv(length), "tcp"):
                        connection.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            return


def knows(query: Message, *addresses: str, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> Message:
    """Return an answer with these addresses, or one that all names have."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(code)
    if query.question[0].rdtype == dns.rdatatype.A and code == dns.rcode.NOERROR:
        name = query.question[0].name
        reply.answer.append(dns.rrset.from_text_list(name, 300, "IN", "A", list(addresses or [OUTSIDE])))
    return reply


def truncated(query: Message) -> Message:
    """Return an answer that says that there is more than fits."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.TC
    return reply


def let_loopback_ask(database: Database, vpc_id: str) -> None:
    """Have guests at 127.0.0.0/8 count as the VPC's own."""
    with database.write() as db:
        db.add(VpcCidrBlock(id=f"vpc-cidr-assoc-{vpc_id[4:]}", vpc_id=vpc_id, cidr="127.0.0.0/8"))


def ask(
    listeners: Loopback, vpc_id: str, name: str, kind: str = "A", how: str = "datagram", guest: str = HERE, **edns: Any
) -> Message:
    """Ask as a guest of a VPC with this address."""
    query = dns.message.make_query(name, kind, **edns)
    port = listeners.port_of(vpc_id, RESOLVER, how)
    send = dns.query.udp if how == "datagram" else dns.query.tcp
    return send(query, HERE, timeout=6, port=port, source=guest)


def texts(reply: Message) -> list[str]:
    """Return what an answer says, without names."""
    return [item.to_text() for rrset in reply.answer for item in rrset]


def code(reply: Message) -> str:
    return dns.rcode.to_text(reply.rcode())

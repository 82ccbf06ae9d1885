"""What is asked of a network about one packet, and what it answers: the packet, and every hop that it would make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

EPHEMERAL = 49152
"""The first of the ports that clients take for themselves (RFC 6335): one of those that any client's system uses."""


@dataclass(frozen=True)
class Packet:
    """A packet that somebody might send: the machine at a port, or, where ``port_id`` is empty, somebody outside.

    ``source`` empty is the port's own first address of the destination's IP version. ``protocol`` ``icmp`` is an echo
    request, or its answer, of either IP version; it has no ports. ``is_reply`` says that it answers one that passed
    before. ``behind`` is, for a reply, whom the translator stood for that it comes back to.
    """

    port_id: str
    destination: str
    protocol: Literal["tcp", "udp", "icmp"]
    destination_port: int = 0
    source: str = ""
    source_port: int = EPHEMERAL
    is_reply: bool = False
    behind: str = ""


MOST_HOPS = 64
"""After these a packet goes round."""

Kind = Literal[
    "port", "groups", "filter", "routes", "router", "peering", "nat gateway", "uplink", "wire", "services", "nowhere"
]
Why = Literal[
    "", "reply", "served", "spoofed", "not addressed", "no rule", "line", "no line", "no route", "blackhole",
    "no public address", "not of the peer", "no other end", "closed", "no such address", "loop",
]  # fmt: skip


@dataclass(frozen=True)
class Hop:
    """A thing that a packet came by, and what became of it there.

    ``kind`` and ``id``: a ``port``, the ``groups`` of a port, the ``filter`` or the ``routes`` of a subnet (of a
    network, for what arrives by its uplink), a subnet's ``router`` itself, a ``peering``, a ``nat gateway``, the
    ``uplink`` of a network, the ``wire`` that is its VLAN, the ``services`` it has itself, or ``nowhere``: nobody has
    the address. ``direction`` is as seen from there. ``rule`` is what decided: the id of a rule of the group ``group``,
    the number of a filter's line, a route's destination or ``local``. ``source`` and ``destination`` are the packet's
    addresses from there on. ``why`` says why it was dropped, or passed though no rule says so:

    * ``reply``: what groups let pass may be answered; ``served``: the network's own services are reached in any case;
    * ``spoofed``: the source is not one that may come from there; ``not addressed``: the destination is not the port's;
    * ``no rule`` of any group allows it; a ``line`` of the filter drops it, or ``no line`` names it;
    * ``no route``; the route is a ``blackhole``; its source has ``no public address``;
    * ``not of the peer``: a peering is for the two networks alone; ``no other end``: the peer has not made its own;
    * ``closed``: nobody comes in that way; ``no such address``: nobody has the destination; ``loop``: it goes round.
    """

    kind: Kind
    id: str
    direction: Literal["in", "out"]
    source: str
    destination: str
    outcome: Literal["passed", "delivered", "dropped"] = "passed"
    why: Why = ""
    rule: str = ""
    group: str = ""


def reply_to(packet: Packet, hops: Sequence[Hop]) -> Packet | None:
    """Return the answer to a packet that these hops brought to a port or outside.

    None where it was not delivered, or to somebody of whom the network knows nothing more.
    """
    first, last = hops[0], hops[-1]
    if last.outcome != "delivered" or last.kind not in ("port", "uplink"):
        return None
    translators = [hop for hop in hops if hop.kind == "nat gateway"] or [hop for hop in (last,) if hop.kind == "uplink"]
    return replace(
        packet,
        port_id=last.id if last.kind == "port" else "",
        source=last.destination,
        source_port=packet.destination_port,
        destination=last.source,
        destination_port=packet.source_port,
        is_reply=True,
        behind=first.source if translators and translators[0].source != first.source else "",
    )

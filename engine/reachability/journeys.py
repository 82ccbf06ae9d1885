"""A packet's way there and its answer's way back, also through machines that forward."""

from dataclasses import dataclass, replace

from engine.drivers.networking import NetworkDriver
from engine.drivers.packets import MOST_HOPS, Hop, Packet, reply_to


@dataclass(frozen=True)
class Journey:
    """The hops of a packet, and those of the answer to it: none where it does not arrive, or nobody knows."""

    packet: Packet
    there: tuple[Hop, ...]
    back: tuple[Hop, ...] = ()

    @property
    def arrives(self) -> bool:
        return self.there[-1].outcome == "delivered"

    @property
    def is_answered(self) -> bool:
        """Say whether the packet and its answer arrive, as far as the network can know."""
        return self.arrives and (not self.back or self.back[-1].outcome == "delivered")


def travel(network: NetworkDriver, packet: Packet) -> Journey:
    """Send a packet in thought. Raise DriverError where its port is not in the network."""
    there = _through(network, packet)
    reply = reply_to(packet, there)
    return Journey(packet, there, _through(network, reply) if reply else ())


def _through(network: NetworkDriver, packet: Packet) -> tuple[Hop, ...]:
    """Follow a packet through every machine that forwards, as if each sent it on as it is."""
    hops = network.trace(packet)
    while hops[-1].kind == "port" and hops[-1].outcome == "passed":
        here = hops[-1]
        if len(hops) > MOST_HOPS:
            return (*hops[:-1], replace(here, outcome="dropped", why="loop"))
        sent_on = replace(packet, port_id=here.id, source=here.source, destination=here.destination)
        hops += network.trace(sent_on)
    return hops

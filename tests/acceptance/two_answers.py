"""Traces by this host's own OVN and by the simulated network, which must say the same."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from engine.drivers.networking import Group, Network, Port
from engine.drivers.packets import Hop, Packet, reply_to
from engine.drivers.simulated import Simulated
from tests.acceptance.two_networks import TwoNetworks


class Both:
    """OVN and the simulated network, told the same."""

    def __init__(self, cloud: TwoNetworks) -> None:
        self.cloud, self.simulated = cloud, Simulated().network
        for network in (cloud.network, cloud.twin_network):
            self.simulated.ensure_network(network)
        for group in (cloud.web, cloud.app, cloud.shut, cloud.twin):
            self.simulated.ensure_group(group)
        for port in (cloud.web_port, cloud.app_port, cloud.shut_port, cloud.twin_port):
            self.simulated.ensure_port(port)

    @contextmanager
    def having(self, *things: Network | Group | Port) -> Iterator[None]:
        """Make things other than they are, for a while."""
        cloud = self.cloud
        with ExitStack() as stack:
            for thing in things:
                verb = f"ensure_{type(thing).__name__.lower()}"
                before = {each.id: each for each in vars(cloud).values() if isinstance(each, type(thing))}
                for network in (cloud.ovn, self.simulated):
                    stack.callback(getattr(network, verb), before.get(thing.id, thing))
                    getattr(network, verb)(thing)
            yield

    def trace(self, port: Port | None, destination: str, to: int = 80, **more: Any) -> tuple[Hop, ...]:
        """Return what both say of a packet, which must be the same."""
        protocol = more.pop("protocol", "tcp")
        return self.follow(
            Packet(port.id if port else "", destination, protocol, to if protocol != "icmp" else 0, **more)
        )

    def follow(self, packet: Packet) -> tuple[Hop, ...]:
        found = self.cloud.ovn.trace(packet)
        assert [*found] == [*self.simulated.trace(packet)]
        return found

    def answer(self, packet: Packet) -> tuple[Hop, ...]:
        reply = reply_to(packet, self.follow(packet))
        assert reply is not None
        return self.follow(reply)


def words(hops: tuple[Hop, ...]) -> list[str]:
    """Return hops in short: what, which way, the rule, and what became of the packet where it did not just pass."""
    outcome = {"passed": "", "delivered": "!", "dropped": "x"}
    parts = [(h.kind, h.direction, h.rule, h.why, outcome[h.outcome]) for h in hops]
    return [" ".join(filter(None, part)) for part in parts]

"""What a host can tell of its guests' packets: those that passed a card, and those that the network dropped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

FIN, SYN, RST, ACK = 1, 2, 4, 16


class Flow(NamedTuple):
    """Where packets come from and go to; ``protocol`` is IANA's number, ports are 0 where it has none."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0

    @property
    def reverse(self) -> "Flow":
        return Flow(self.destination, self.source, self.protocol, self.destination_port, self.source_port)


class Period(NamedTuple):
    """A time in which packets are counted: of ``interval`` seconds, from ``start``, in seconds since 1970."""

    interval: int
    start: int


@dataclass(frozen=True)
class Passed:
    """Packets of one flow that a card received (``inward``) or sent, in ``bytes`` of IP, headers included.

    ``tcp_flags`` are those of all packets together: FIN, SYN, RST, and ACK where it came together with SYN.
    """

    flow: Flow
    inward: bool
    packets: int
    bytes: int
    tcp_flags: int = 0


@dataclass(frozen=True)
class Count:
    """What passed a card in a period. It is not ``complete`` when there were more flows than can be counted."""

    passed: Sequence[Passed]
    complete: bool = True


class Counters(Protocol):
    """Counts the packets of cards where these meet the switch. What is counted outlives the process that asked.

    Every method raises DriverError when the host refuses.
    """

    def count(self, card: str, device: str, mac: str, periods: Iterable[Period]) -> None:
        """Count what this card, on this device, sends and receives; in these periods from now on and in no others.

        What was counted in others stays until ``remove``. Ask again when the device is another.
        """
        ...

    def stop(self, card: str) -> None:
        """Count nothing more for a card, whose device may be gone; what was counted stays."""
        ...

    def list_periods(self) -> Mapping[str, set[Period]]:
        """Return the periods of each card for which something is or was counted."""
        ...

    def read(self, card: str, period: Period) -> Count | None:
        """Return what was counted, or None where nothing was: somebody else took the counters away."""
        ...

    def remove(self, card: str, periods: Iterable[Period]) -> None:
        """Forget what was counted in periods that are counted no more."""
        ...

    def forget(self, card: str) -> None:
        """Count nothing any more for a card and forget everything of it."""
        ...


@dataclass(frozen=True)
class Dropped:
    """A packet that a network's groups or filters dropped, ``at`` seconds since 1970.

    ``leaving`` tells a packet on its way from a port of the network's switch from one on its way to a port. One that
    its subnet did not let out (``kept_in``) names no card any more: that of its source address sent it.
    """

    at: float
    network: str
    flow: Flow
    leaving: bool
    source_mac: str
    destination_mac: str
    kept_in: bool = False
    tcp_flags: int = 0


class Drops(Protocol):
    """What the logged networks dropped on this host, and how much of it nobody knows."""

    def between(self, since: float, until: float) -> Iterator[Dropped]:
        """Yield what was dropped in this time, in seconds since 1970, in order. Raises OSError."""
        ...

    def lost(self) -> int:
        """Return how many packets were dropped unseen since this host started, all networks together."""
        ...

"""A host in memory: what is counted there, what its log says, its database and its clock."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from engine.drivers.base import DriverError, port_uuid
from engine.drivers.flows import Count, Dropped, Passed, Period
from engine.flow_logs.collector import Collector
from engine.flow_logs.counting import Counting, Wanted
from engine.flow_logs.deliveries import Deliveries
from engine.flow_logs.pending import Pending
from engine.flow_logs.rows import Card, Facts, Log
from engine.flow_logs.writer import Writer
from tests.engine.flow_logs.scene import CARD, LOG, NETWORK


class Killed(BaseException):
    """The process was killed."""


class Kernel:
    """Counters that outlive the processes that ask for them."""

    def __init__(self) -> None:
        self.held: dict[str, dict[Period, list[Passed]]] = {}
        self.current: dict[str, set[Period]] = {}
        self.devices: dict[str, str] = {}
        self.broken = ""
        self.killing = ""
        """What is called when the process is killed: ``count``, or ``remove``."""

    def passes(self, *packets: Passed, card: str = "eni-1") -> None:
        for period in self.current.get(card, ()):
            self.held[card][period] += packets

    def count(self, card: str, device: str, mac: str, periods: Iterable[Period]) -> None:
        self._enter("count")
        if self.broken:
            raise DriverError(self.broken)
        self.current[card], self.devices[card] = set(periods), device
        for period in self.current[card]:
            self.held.setdefault(card, {}).setdefault(period, [])

    def stop(self, card: str) -> None:
        self.current[card] = set()

    def list_periods(self) -> Mapping[str, set[Period]]:
        return {card: set(periods) for card, periods in self.held.items()}

    def read(self, card: str, period: Period) -> Count | None:
        passed = self.held.get(card, {}).get(period)
        return None if passed is None else Count(list(passed))

    def remove(self, card: str, periods: Iterable[Period]) -> None:
        self._enter("remove")
        for period in periods:
            assert period not in self.current.get(card, ()), "it is counted"
            self.held.get(card, {}).pop(period, None)

    def forget(self, card: str) -> None:
        for each in (self.held, self.current, self.devices):
            each.pop(card, None)

    def _enter(self, name: str) -> None:
        if self.killing == name:
            self.killing = ""
            raise Killed


class AclLog:
    """What was dropped, and how much of it is not written down."""

    def __init__(self) -> None:
        self.drops: list[Dropped] = []
        self.unseen = 0
        self.readable = True

    def between(self, since: float, until: float) -> Iterator[Dropped]:
        if not self.readable:
            raise FileNotFoundError("there is no log")
        return (drop for drop in self.drops if since <= drop.at < until)

    def lost(self) -> int:
        return self.unseen


class World:
    """``start`` begins a process, as after a kill; ``at`` lets it sweep at a time."""

    def __init__(self, root: Path, now: float) -> None:
        self.kernel, self.acls, self.now = Kernel(), AclLog(), now
        self.logs: list[Log] = [replace(LOG, created=int(now))]
        self.cards: list[Card] = [CARD]
        self.taps = {port_uuid("eni-1"): "lo"}
        self.files, self.pending = root / "files", Pending(root / "pending")
        self.said: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        self.counting = Counting(self.kernel, lambda: self.taps)
        writer = Writer(self.kernel, self.acls, self.pending, "host", lambda: self.now, self._pause)
        self.collector = Collector(self, self.counting, writer, lambda: None, lambda: self.now)
        self._deliveries = Deliveries(self.pending, self.files, None, lambda: {log.id for log in self.logs})

    def at(self, now: float) -> None:
        self.now = max(now, self.now)
        self.collector.sweep()
        self.said.update(self._deliveries.deliver())

    def _pause(self, seconds: float) -> None:
        self.now += seconds

    def lines(self, log: str = "fl-1") -> list[str]:
        """Return what was delivered: the packets, begin, end, action and status of each line."""
        texts = [text for file in sorted(self.files.rglob(f"*_{log}.log")) for text in file.read_text().splitlines()]
        return [" ".join(text.split()[i] for i in (8, 10, 11, 12, 13)) for text in texts]

    # -- the database ------------------------------------------------------------

    def wanted(self) -> Wanted:
        found = {}
        for card in self.cards:
            intervals = frozenset(log.interval for log in self.logs if log.concerns(card))
            if card.here and intervals:
                found[card.id] = card.mac, intervals
        return found

    def facts(self) -> Facts:
        cards = {card.id: card for card in self.cards if any(log.concerns(card) for log in self.logs)}
        return Facts(tuple(self.logs), cards, {"vpc-1": NETWORK})

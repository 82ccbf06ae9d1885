"""Makes lines of periods that are over, once and for all."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.drivers.flows import Count, Counters, Dropped, Drops
from engine.flow_logs.counting import Due
from engine.flow_logs.lines import lines_of
from engine.flow_logs.parcels import Lines, Parcel, parcels_of
from engine.flow_logs.pending import Batch, Pending
from engine.flow_logs.records import LATE, Found, by_card, records_of
from engine.flow_logs.rows import Card, Facts, Log

Others = Mapping[int, tuple[int, int]]
"""The intervals that end for all cards, with their begin and end in seconds since 1970."""


@dataclass(frozen=True)
class _Told:
    """What is known of a card in a period; ``counted`` tells whether its packets should have been counted."""

    card: Card
    interval: int
    start: int
    end: int
    counted: bool
    count: Count | None = None


class Writer:
    """``host`` tells this host's objects from those of others that log the same VPC."""

    def __init__(
        self, counters: Counters, drops: Drops, pending: Pending, host: str,
        clock: Callable[[], float] = time.time, pause: Callable[[float], object] = time.sleep,
    ) -> None:  # fmt: skip
        self._counters, self._drops, self._pending, self._host = counters, drops, pending, host
        self._clock, self._pause = clock, pause
        self._lost, self._loss = 0, 0

    def finish(self) -> None:
        """Finish what a killed predecessor had written but not settled."""
        self._pending.prepare()
        for batch in self._pending.committed():
            self._settle(batch)
        self._note_losses()

    def write(self, facts: Facts, due: Sequence[Due], others: Others, failed: set[str]) -> None:
        """Write what was counted in periods that are over, and what was dropped in them.

        A card that is not counted, because it is on another host or is in ``failed``, may have had packets dropped
        here in the intervals that end for all.
        """
        self._note_losses()
        last = max([each.end for each in due] + [end for _, end in others.values()])
        if (left := last + LATE - self._clock()) > 0:
            self._pause(left)
        first = min([each.period.start for each in due] + [start for start, _ in others.values()])
        told = [*self._counted(facts, due), *_uncounted(facts, due, others, failed)]
        drops: dict[str, list[Dropped]] = {}
        for card, drop in by_card(self._drops.between(first, last + LATE), list(facts.cards.values())):
            drops.setdefault(card, []).append(drop)
        parcels = [parcel for each in facts.logs for parcel in self._parcels(each, facts, told, drops)]
        if parcels or due:
            self._settle(self._pending.commit(parcels, [(each.card, each.period) for each in due]))

    def _settle(self, batch: Batch) -> None:
        for card, period in batch.counted:
            self._counters.remove(card, [period])
        self._pending.release(batch)

    def _counted(self, facts: Facts, due: Sequence[Due]) -> Iterator[_Told]:
        for id, period, end in due:
            if (card := facts.cards.get(id)) is not None:
                yield _Told(card, period.interval, period.start, end, True, self._counters.read(id, period))

    def _parcels(
        self, log: Log, facts: Facts, told: Sequence[_Told], drops: Mapping[str, list[Dropped]]
    ) -> Iterator[Parcel]:
        written = []
        for each in told:
            if each.interval != log.interval or not log.concerns(each.card):
                continue
            if each.count is not None and each.start < log.created:
                continue  # It was begun for another log: the next period is this one's first.
            period = replace(each, start=max(each.start, log.created))
            found = self._found(period, facts, drops.get(each.card.id, []))
            if period.start < period.end and (each.counted or found.records):
                network = facts.networks.get(each.card.vpc_id)
                lines = lines_of(log, each.card, network, period.start, period.end, found)
                written.append(Lines(each.card, period.start, period.end, lines))
        yield from parcels_of(log, written, self._host)

    def _found(self, told: _Told, facts: Facts, drops: Sequence[Dropped]) -> Found:
        own = [drop for drop in drops if told.start <= drop.at < told.end + LATE]
        network = facts.networks.get(told.card.vpc_id)
        found = records_of(told.card, network, told.count, own, told.end, lossy=self._loss > told.start)
        return found if told.counted else replace(found, skipped=frozenset())

    def _note_losses(self) -> None:
        """Note when it was noticed that packets were dropped of which the log does not tell."""
        lost = self._drops.lost()
        if lost > self._lost:
            self._loss = int(self._clock())
        self._lost = lost


def _uncounted(facts: Facts, due: Sequence[Due], others: Others, failed: set[str]) -> Iterator[_Told]:
    counted = {(each.card, each.period.interval) for each in due}
    for card in facts.cards.values():
        for interval, (start, end) in others.items():
            if (card.id, interval) not in counted:
                yield _Told(card, interval, start, end, card.id in failed)

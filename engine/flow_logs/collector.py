"""Ends the periods of flow logs in time: has the next ones counted, and lines made of those that are over."""

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Protocol

import structlog

from engine.flow_logs.counting import Counting, Due, Wanted
from engine.flow_logs.rows import Facts
from engine.flow_logs.writer import Writer

_SWEEP = 1.0
"""Seconds in which a card that comes or goes is noticed."""
_PUNCTUAL = 2.0
"""Seconds within which a period that is ended counts as ended in time."""
INTERVALS = (60, 600)

log = structlog.get_logger("groundfog.flow_logs")


class Rows(Protocol):
    """What the database tells."""

    def wanted(self) -> Wanted: ...
    def facts(self) -> Facts: ...


class Collector:
    """``ready`` is called when there is something to deliver."""

    def __init__(
        self, rows: Rows, counting: Counting, writer: Writer, ready: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._rows, self._counting, self._writer, self._ready, self._clock = rows, counting, writer, ready, clock
        self._since = dict.fromkeys(INTERVALS, int(clock()))
        """When the intervals began that are not over yet."""
        self._facts = Facts()
        self._due: list[Due] = []
        self._ends: dict[int, int] = {}
        self._gone: set[str] = set()
        """What is over and not written: periods of cards, intervals for all, and cards that were left."""
        self._resumed = False

    def run(self, stop: Event) -> None:
        """Collect until ``stop`` is set."""
        troubled = False
        while not stop.is_set():
            try:
                self.sweep()
                troubled = False
            except Exception as error:
                # What is counted goes on being counted; there is another try in a moment.
                if not troubled:
                    log.error("cannot collect flow logs now", error=repr(error))
                troubled = True
            stop.wait(min(_SWEEP, INTERVALS[0] - self._clock() % INTERVALS[0]))

    def sweep(self) -> None:
        """End the periods that are over; count at the cards that the database wants counted, and at no others."""
        if not self._resumed:
            self._resume()
        wanted = self._rows.wanted()
        self._end_intervals()
        self._leave(self._counting.cards - wanted.keys())
        self._write()
        self._counting.failed &= wanted.keys()
        if self._counting.follow(wanted, int(self._clock())):
            self._facts = self._rows.facts()

    def troubled(self) -> set[str]:
        """Return the logs that lack what they should have, because packets cannot be counted."""
        cards = [card for id, card in self._facts.cards.items() if id in self._counting.failed]
        logs = [each for each in self._facts.logs if each.traffic != "REJECT"]
        return {each.id for each in logs if any(each.concerns(card) for card in cards)}

    def _resume(self) -> None:
        """Take over from a predecessor that may have been killed at any point."""
        self._writer.finish()
        self._facts = self._rows.facts()
        self._due += self._counting.resume()
        self._resumed = True
        self._ready()

    def _end_intervals(self) -> None:
        now = self._clock()
        for interval in INTERVALS:
            boundary = int(now) // interval * interval
            if self._counting.oldest(interval, self._since[interval]) < boundary:
                # A process that was away when it should have ended a period does not say that it had.
                end = boundary if now - boundary < _PUNCTUAL else int(now)
                self._due += self._counting.switch(interval, end)
                self._ends[interval] = end

    def _leave(self, cards: set[str]) -> None:
        self._due += self._counting.leave(sorted(cards), int(self._clock()))
        self._gone |= cards

    def _write(self) -> None:
        """Write what is over; what cannot be written now is still there at the next sweep."""
        if not (self._due or self._ends):
            self._counting.forget(self._gone)
            self._gone.clear()
            return
        facts = _with(self._facts, self._rows.facts(), {each.card for each in self._due})
        if facts.logs or self._due:
            others = {interval: (self._since[interval], end) for interval, end in self._ends.items()}
            self._writer.write(facts, self._due, others, self._counting.failed)
            self._ready()
        self._since.update(self._ends)
        self._due, self._ends, self._facts = [], {}, facts
        self._counting.forget(self._gone)
        self._gone.clear()


def _with(before: Facts, now: Facts, cards: set[str]) -> Facts:
    """Return the facts, with those of cards that are gone as they were known before."""
    lost = {id: card for id, card in before.cards.items() if id in cards and id not in now.cards}
    networks = {card.vpc_id: before.networks[card.vpc_id] for card in lost.values() if card.vpc_id in before.networks}
    return replace(now, cards={**lost, **now.cards}, networks={**networks, **now.networks})

"""Which cards are counted, where and in which periods."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import structlog

from engine.drivers.base import DriverError, port_uuid
from engine.drivers.flows import Counters, Period

Wanted = Mapping[str, tuple[str, frozenset[int]]]
"""The MAC address of each card that is to be counted, and the intervals of its logs."""

log = structlog.get_logger("groundfog.flow_logs")


class Due(NamedTuple):
    """A card's period that is over, and when that was, in seconds since 1970."""

    card: str
    period: Period
    end: int


@dataclass
class _Hook:
    """Where a card is counted. ``number`` is the device's in the kernel: another means another device."""

    device: str = ""
    number: int = 0
    mac: str = ""
    periods: dict[int, Period] = field(default_factory=dict)


class Counting:
    """``taps`` returns the device of each logical port on this host, by the port's UUID; it may raise.

    What is counted is the kernel's own, and goes on without this process: that remembers only where it counts.
    """

    def __init__(self, counters: Counters, taps: Callable[[], Mapping[str, str]]) -> None:
        self._counters, self._taps = counters, taps
        self._hooks: dict[str, _Hook] = {}
        self.failed: set[str] = set()
        """The cards on this host whose packets cannot be counted."""

    @property
    def cards(self) -> set[str]:
        return set(self._hooks)

    def resume(self) -> list[Due]:
        """Go on with what is counted already. Return the periods that had ended when a predecessor was killed."""
        ended = []
        for card, periods in self._counters.list_periods().items():
            hook = self._hooks[card] = _Hook()
            for period in sorted(periods, key=lambda each: each.start):
                if (earlier := hook.periods.get(period.interval)) is not None:
                    ended.append(Due(card, earlier, period.start))
                hook.periods[period.interval] = period
        return ended

    def follow(self, wanted: Wanted, now: int) -> bool:
        """Count at all these cards that are plugged in; say whether there was anything to change."""
        strange = [card for card in wanted if not self._is_well(card, *wanted[card])]
        taps = self._taps() if strange else {}
        plugged = [card for card in strange if port_uuid(card) in taps]
        for card in plugged:
            mac, intervals = wanted[card]
            self._count(card, taps[port_uuid(card)], mac, {each: Period(each, now) for each in intervals})
        return bool(plugged)

    def _is_well(self, card: str, mac: str, intervals: frozenset[int]) -> bool:
        hook = self._hooks.get(card)
        if hook is None or hook.mac != mac or hook.periods.keys() != intervals:
            return False
        return hook.number != 0 and hook.number == _number_of(hook.device)

    def _count(self, card: str, device: str, mac: str, new: Mapping[int, Period]) -> None:
        """Count in the periods that are under way, and in new ones for the other intervals."""
        held = self._hooks.get(card, _Hook()).periods
        going = {interval: held.get(interval, period) for interval, period in new.items()}
        try:
            self._counters.count(card, device, mac, going.values())
            self._counters.remove(card, [period for interval, period in held.items() if interval not in going])
        except DriverError as error:
            if card not in self.failed:
                log.error("cannot count the packets of an interface", interface=card, error=str(error))
            self.failed.add(card)
            return
        self.failed.discard(card)
        self._hooks[card] = _Hook(device, _number_of(device), mac, going)

    def oldest(self, interval: int, otherwise: int) -> int:
        """Return when the oldest period of this interval began."""
        starts = [hook.periods[interval].start for hook in self._hooks.values() if interval in hook.periods]
        return min([otherwise, *starts])

    def switch(self, interval: int, end: int) -> list[Due]:
        """Begin the next period of every card that has one of this interval; return those that end."""
        due = []
        for card, hook in self._hooks.items():
            ending = hook.periods.get(interval)
            if ending is None or ending.start >= end:
                continue
            following = {**hook.periods, interval: Period(interval, end)}
            try:
                self._counters.count(card, hook.device, hook.mac, following.values())
            except DriverError as error:
                log.warning("a period goes on after its end", interface=card, error=str(error))
                continue
            hook.periods = following
            due.append(Due(card, ending, end))
        return due

    def leave(self, cards: Iterable[str], now: int) -> list[Due]:
        """Count nothing any more at these cards; return their last periods."""
        due = []
        for card in cards:
            self._counters.stop(card)
            due += [Due(card, period, now) for period in self._hooks.pop(card).periods.values()]
        return due

    def forget(self, cards: Iterable[str]) -> None:
        """Take away everything of cards that were left and did not come back."""
        for card in cards:
            if card not in self._hooks:
                self._counters.forget(card)


def _number_of(device: str) -> int:
    """Return the number that the kernel gave a device; 0 for one that is gone."""
    try:
        return int(Path("/sys/class/net", device, "ifindex").read_text())
    except (OSError, ValueError):
        return 0

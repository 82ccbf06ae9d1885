"""What one guest may take of what all share: so much at a time, and so much in a second."""

import time
from collections import Counter
from collections.abc import Hashable

_CONNECTIONS = 32
"""Connections that one guest may hold: no guest can take the file descriptors that the others need."""


class Crowd:
    """Counts what each guest holds. To be used from one thread."""

    def __init__(self, most: int = _CONNECTIONS) -> None:
        self._most = most
        self._held: Counter[Hashable] = Counter()

    def enter(self, guest: Hashable) -> bool:
        """Count one more, and say whether that is still in order. Whoever entered must leave, be it in order or not."""
        self._held[guest] += 1
        return self._held[guest] <= self._most

    def leave(self, guest: Hashable) -> None:
        self._held[guest] -= 1
        if not self._held[guest]:
            del self._held[guest]


class Pace:
    """Counts what each guest sends within a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0
        self._sent: Counter[Hashable] = Counter()

    def allows(self, guest: Hashable) -> bool:
        """Count one more, and say whether that is still in order."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._sent.clear()
        self._sent[guest] += 1
        return self._sent[guest] <= self._most

"""Rendered parts of replies, kept by key in a bounded amount of memory."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

OVERHEAD = 256
"""What an entry's key and bookkeeping count for, in characters, so that many tiny fragments are bounded as well."""


class Fragments:
    """A cache of texts that drops the least recently used ones when they exceed `capacity` characters in all."""

    def __init__(self, capacity: int = 24 * 1024 * 1024) -> None:
        self.capacity = capacity
        self.size = 0
        self._texts: OrderedDict[Hashable, str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> str | None:
        text = self._texts.get(key)
        if text is not None:
            try:
                self._texts.move_to_end(key)  # no lock: each of these calls is atomic
            except KeyError:
                return text  # dropped by another thread in between, which makes it no less valid
        return text

    def put(self, key: Hashable, text: str) -> None:
        """Keep `text`, unless it alone is larger than the capacity."""
        weight = len(text) + OVERHEAD
        if weight > self.capacity:
            return
        with self._lock:
            previous = self._texts.pop(key, None)
            if previous is not None:
                self.size -= len(previous) + OVERHEAD
            self._texts[key] = text
            self.size += weight
            while self.size > self.capacity:
                _, dropped = self._texts.popitem(last=False)
                self.size -= len(dropped) + OVERHEAD

    def clear(self) -> None:
        with self._lock:
            self._texts.clear()
            self.size = 0

    def __len__(self) -> int:
        return len(self._texts)

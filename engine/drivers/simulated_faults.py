"""What goes wrong in the simulated cloud, on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from engine.drivers.base import DriverError


class Faults:
    """What goes wrong, and when. One lock for the whole cloud: a change is a few microseconds."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changes = 0
        """How many ensure, remove, stop, reboot and import calls were done."""
        self.crash_after: int | None = None
        self._failing: dict[str, list[Exception]] = {}

    def fail_next(self, verb: str, error: Exception, times: int) -> None:
        with self.lock:
            self._failing.setdefault(verb, []).extend([error] * times)

    @contextmanager
    def change(self, verb: str) -> Iterator[None]:
        """Hold the lock for one change; raise a fault that was asked for before it, or a crash after it."""
        with self.lock:
            if self._failing.get(verb):
                raise self._failing[verb].pop(0)
            yield
            self.changes += 1
            if self.changes == self.crash_after:
                raise DriverError(f"simulated crash after change {self.changes} ({verb})")

"""How far the process of an import or export is, as it writes it down now and then."""

import time
from pathlib import Path

from engine.imports.conversion import check_room
from engine.imports.work import write_state

_EVERY = 0.5
"""Seconds between two words on how far it is."""


class Reporter:
    """Writes how far the work is: each file has an equal share of the whole."""

    def __init__(self, folder: Path, files: int, reserved: int) -> None:
        self._folder, self._files, self._reserved = folder, max(files, 1), reserved
        self.number = 0
        self._next = 0.0
        self._highest = 0

    def say(self, message: str, share: tuple[int, int], done: int, whole: int) -> None:
        """Say that ``done`` of ``whole`` is done of a phase from ``share[0]`` to ``share[1]`` percent of one file.

        Raise Refused when what is written leaves too little room.
        """
        check_room(self._folder, self._reserved)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        here = share[0] + (share[1] - share[0]) * (min(done / whole, 1) if whole else 0)
        self._highest = max(self._highest, int((self.number * 100 + here) / self._files))
        write_state(self._folder, {"message": message, "progress": min(self._highest, 99)})

"""Parcels that wait to be delivered, in directories: what a kill leaves there says how far things had come.

    draft/N      being written: worth nothing after a kill
    committed/N  whole, but what it was made from is still in the kernel's counters
    ready/N      that is gone: this is the only copy, to be delivered

The move from one to the next is a rename, so no packet is written down twice, and none that was counted is lost.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.drivers.flows import Period
from engine.flow_logs.parcels import Parcel

_MANIFEST = "manifest.json"
_STAGES = ("draft", "committed", "ready")


@dataclass(frozen=True)
class Kept:
    """A parcel whose content is in a file."""

    file: Path
    log: str
    bucket: str
    path: str


@dataclass(frozen=True)
class Batch:
    """A directory of parcels; ``counted`` are the periods of the cards that they were made from."""

    directory: Path
    counted: tuple[tuple[str, Period], ...]

    @property
    def made(self) -> float:
        """When it was made, in seconds since 1970."""
        return int(self.directory.name) / 1e9

    def parcels(self) -> Iterator[Kept]:
        """Yield those parcels that are still here."""
        for number, (log, bucket, path) in enumerate(_manifest(self.directory)["parcels"]):
            file = self.directory / str(number)
            if file.exists():
                yield Kept(file, log, bucket, path)


class Pending:
    """``root`` is a directory of this product's own, on the file system of the places that files are moved to."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the directories, and take away what a killed process had not finished."""
        shutil.rmtree(self._root / "draft", ignore_errors=True)
        for stage in _STAGES:
            (self._root / stage).mkdir(parents=True, exist_ok=True, mode=0o700)

    def commit(self, parcels: Sequence[Parcel], counted: Iterable[tuple[str, Period]]) -> Batch:
        """Keep parcels: from here on, what was counted in these periods is not to be written again."""
        draft = self._root / "draft" / f"{time.time_ns():020d}"
        draft.mkdir()
        for number, parcel in enumerate(parcels):
            (draft / str(number)).write_bytes(parcel.content)
        held = tuple(counted)
        entries = [(parcel.log, parcel.bucket, parcel.path) for parcel in parcels]
        manifest = {"counted": [(card, *period) for card, period in held], "parcels": entries}
        (draft / _MANIFEST).write_text(json.dumps(manifest))
        return Batch(draft.rename(self._root / "committed" / draft.name), held)

    def committed(self) -> list[Batch]:
        """Return the batches whose periods must still be taken out of the counters."""
        return self._batches("committed")

    def release(self, batch: Batch) -> None:
        """Let a batch be delivered, when the counters do not have its periods any more."""
        batch.directory.rename(self._root / "ready" / batch.directory.name)

    def ready(self) -> list[Batch]:
        """Return the batches to be delivered, the oldest first."""
        return self._batches("ready")

    def close(self, batch: Batch) -> None:
        """Forget a batch whose parcels are all gone."""
        shutil.rmtree(batch.directory)

    def _batches(self, stage: str) -> list[Batch]:
        found = []
        for directory in sorted((self._root / stage).glob("*")):
            counted = _manifest(directory)["counted"]
            found.append(Batch(directory, tuple((card, Period(*period)) for card, *period in counted)))
        return found


def _manifest(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / _MANIFEST).read_text())
    return found

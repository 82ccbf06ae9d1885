"""What of a qcow2 layer, with the layers below it, holds data, and in what two of them may differ."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.drivers.base import DriverError, Refused
from engine.drivers.qcow2_encryption import qemu_img, whole
from engine.drivers.qcow2_header import read_header

Extent = tuple[int, int]
"""Offset and length in bytes."""


def with_data(file: Path, offset: int, length: int, key: str | None) -> Iterator[Extent]:
    """Yield what holds data within ``length`` bytes from ``offset`` on."""
    for part in _map(file, offset, length, key):
        if part["data"]:
            yield part["start"], part["length"]


def that_differ(file: Path, since: Path, offset: int, length: int, key: str | None) -> Iterator[Extent]:
    """Yield what was written, of either, since they were one; raise Refused when they never were."""
    mine, theirs = _layers(file), _layers(since)
    upon = next((depth for depth, layer in enumerate(mine) if layer in theirs), None)
    if upon is None:
        raise Refused("the snapshots have nothing in common")
    yield from _merged(
        part
        for path, depth in ((file, upon), (since, theirs.index(mine[upon])))
        for part in (_written(path, depth, offset, length, key) if depth else ())
    )


def _written(file: Path, depth: int, offset: int, length: int, key: str | None) -> Iterator[Extent]:
    """Yield what the uppermost ``depth`` layers say themselves, be it that there are zeros."""
    for part in _map(file, offset, length, key):
        if part["depth"] < depth and part["present"]:
            yield part["start"], part["length"]


def _merged(parts: Iterable[Extent]) -> Iterator[Extent]:
    """Yield in order what is covered by any of the parts, each once."""
    begin = end = 0
    for offset, length in sorted(parts):
        if offset > end:
            if end > begin:
                yield begin, end - begin
            begin = offset
        end = max(end, offset + length)
    if end > begin:
        yield begin, end - begin


def _map(file: Path, offset: int, length: int, key: str | None) -> list[dict[str, Any]]:
    within = min(length, read_header(file).virtual_bytes - offset)
    if within <= 0:
        return []
    window = (f"--start-offset={offset}", f"--max-length={within}")
    told = qemu_img("map", "--output=json", *window, *whole(file, key), key=key)
    parts: list[dict[str, Any]] = json.loads(told)
    return parts


def _layers(file: Path) -> list[tuple[int, int]]:
    """Return what tells a layer and each one below it from all others, whatever their names are."""
    found = []
    layer: Path | None = file
    while layer is not None:
        try:
            status = layer.stat()
        except OSError as error:
            raise DriverError(f"cannot read {layer}: {error}") from error
        found.append((status.st_dev, status.st_ino))
        layer = read_header(layer).below
    return found

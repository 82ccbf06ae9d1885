"""Merges layers of a disk that nobody else needs any more, so that reads do not go through ever more files.

What is merged is a run of layers below the one that is written, each of which only the next one names. They are never
written again, so this works beside a running machine: the merged layer takes the name of the run's first one, while a
QEMU that has the run open goes on with that until it ends. What is below a run stays, as does the last layer of all.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.drivers.qcow2_encryption import added_to, qemu_img
from engine.drivers.qcow2_header import read_header
from engine.drivers.qcow2_layers import Layers, partials_of

WORTH_COPYING = 2
"""A layer is copied once more only with others that have at least its bytes divided by this: so what was merged before
is copied again when there is about as much that is new, and not for every little layer."""


class _Layer(NamedTuple):
    """A layer below a disk's own: its name in sources/, whether only this disk needs it, and the bytes it occupies."""

    name: Path
    is_own: bool
    occupied: int


def merge_layers(layers: Layers, disk: Path, files: list[Path], key: str | None) -> None:
    """Merge what can be merged of a disk that went on in ``files``, the last of which is written."""
    for left in partials_of(disk):
        layers.remove(left)
    for names in list(_runs(_below(layers, files))):
        with layers.replacing(names[0], disk) as partial:
            _merge(layers, names, partial, key)
            for path in files[:-1]:  # names by which a QEMU may have opened what it has open
                if path.exists() and any(path.samefile(name) for name in names):
                    layers.remove(path)


def _below(layers: Layers, files: list[Path]) -> Iterator[_Layer]:
    """Yield the layers below the one that is written but for the last one, the top first."""
    earlier = {path.stat().st_ino for path in files[:-1]}
    name = read_header(files[-1]).below
    while name is not None and (below := read_header(name).below) is not None and layers.owns(name):
        about = name.stat()
        names = about.st_nlink - (about.st_ino in earlier)
        yield _Layer(name, names == 1, about.st_blocks * 512)
        name = below


def _runs(chain: Iterable[_Layer]) -> Iterator[list[Path]]:
    """Yield the names of layers to merge into one, the top first."""
    together: list[_Layer] = []
    for layer in chain:
        if together and (not layer.is_own or _dwarfs(layer, together)):
            yield from _worthwhile(together)
            together = []
        if layer.is_own:
            together.append(layer)
    yield from _worthwhile(together)


def _worthwhile(together: list[_Layer]) -> Iterator[list[Path]]:
    while len(together) > 1 and _dwarfs(together[0], together[1:]):
        together = together[1:]
    if len(together) > 1:
        yield [layer.name for layer in together]


def _dwarfs(layer: _Layer, others: list[_Layer]) -> bool:
    return layer.occupied > WORTH_COPYING * sum(each.occupied for each in others)


def _merge(layers: Layers, names: list[Path], partial: Path, key: str | None) -> None:
    """Write the layers, the lowest one first, into one that is upon what is below them all."""
    bottom = read_header(names[-1]).below
    assert bottom is not None
    layers.cover(partial, bottom, str(read_header(names[0]).virtual_bytes), key)
    for name in reversed(names):  # QEMU refuses to read one that is written still
        qemu_img("convert", *added_to(partial, name, key), key=key, limit=None)

"""Drafts and extents of raw devices, for which sparse files stand in."""

import hashlib
import os
from pathlib import Path

import pytest

from engine.drivers import raw_blocks
from engine.drivers.base import BLOCK, DriverError, Refused
from engine.drivers.raw_blocks import SPACE, Draft, check_block, read_at, that_differ, with_data

ONE, TWO = (bytes([n]) * BLOCK for n in (1, 2))


def device(path: Path, size: int, **blocks: bytes) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
        for name, data in blocks.items():
            stream.seek(int(name[1:]) * BLOCK)
            stream.write(data)
    return path


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draft:
    """One of 2 TiB at most: files are not as large as devices."""
    largest = 2**41
    sums = largest // BLOCK * 32
    monkeypatch.setattr(raw_blocks, "_LARGEST", largest)
    monkeypatch.setattr(raw_blocks, "_BLOCKS", sums)
    monkeypatch.setattr(raw_blocks, "_POSITION", sums + largest)
    monkeypatch.setattr(raw_blocks, "_MARKS", sums + largest + 4096)
    return Draft(device(tmp_path / "draft", sums + largest + BLOCK))


def test_what_holds_data_and_what_differs_is_found_block_by_block(tmp_path: Path) -> None:
    one = device(tmp_path / "one", 16 * BLOCK, b0=ONE, b9=TWO)
    other = device(tmp_path / "other", 20 * BLOCK, b9=TWO, b17=ONE)
    everything = 2**36
    assert [offset // BLOCK for offset, _ in with_data(one, 0, everything)] == [0, 9]
    assert [offset // BLOCK for offset, _ in with_data(one, BLOCK + 1, 8 * BLOCK)] == [9]
    assert [offset // BLOCK for offset, _ in that_differ(one, other, 0, everything)] == [0, 17]
    assert read_at(one, 16 * BLOCK - 1, 3) == bytes(3) and read_at(one, 9 * BLOCK, 2) == b"\2\2"
    with pytest.raises(DriverError, match="missing"):
        read_at(tmp_path / "missing", 0, 1)


def test_a_draft_knows_its_blocks_by_the_sums_of_their_last_writes(draft: Draft) -> None:
    assert list(draft.digests()) == []
    far = 2**41 - BLOCK
    for offset, data in ((far, ONE), (0, TWO), (0, ONE), (5000 * BLOCK, bytes(BLOCK))):
        draft.write(offset, data)
    sums = [(0, ONE), (5000 * BLOCK, bytes(BLOCK)), (far, ONE)]
    assert list(draft.digests()) == [(offset, hashlib.sha256(data).digest()) for offset, data in sums]
    assert [offset for offset, _ in draft.digests(BLOCK)] == [5000 * BLOCK, far]


def test_a_draft_fills_a_device_in_turns_and_sees_what_was_lost(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = device(tmp_path / "target", 16 * BLOCK, b3=TWO)
    for number in (0, 3, 7):
        draft.write(number * BLOCK, ONE)
    monkeypatch.setattr(raw_blocks, "_STEP", -1.0)
    turns = 1
    while not draft.fill(target):
        turns += 1
    assert turns == 4
    assert [offset // BLOCK for offset, _ in with_data(target, 0, 2**36)] == [0, 3, 7]
    assert read_at(target, 3 * BLOCK, BLOCK) == ONE
    draft.write(9 * BLOCK, ONE)
    with (tmp_path / "draft").open("r+b") as stream:
        os.pwrite(stream.fileno(), b"lost", raw_blocks._BLOCKS + 9 * BLOCK)
    with pytest.raises(Refused, match="was lost"):
        draft.fill(target)


def test_only_whole_blocks_within_the_largest_disk_are_written() -> None:
    for offset, data in ((1, ONE), (0, b"x"), (2**46, ONE), (-BLOCK, ONE)):
        with pytest.raises(Refused):
            check_block(offset, data)
    check_block(2**46 - BLOCK, ONE)
    assert SPACE > 2**46

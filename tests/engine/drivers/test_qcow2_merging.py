"""What is left of a disk's layers when snapshots of it are gone, and what it costs."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.drivers import qcow2_merging
from engine.drivers.base import Disk, DriverError
from engine.drivers.qcow2 import Qcow2
from engine.drivers.qcow2_header import read_header
from tests.engine.drivers.kills import killed_at_every_step
from tests.engine.drivers.stores import Store, make_written_disk, qemu_io
from tests.engine.drivers.test_encrypted_disks import KEY
from tests.engine.drivers.test_encrypted_disks import qemu_io as encrypted_io

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("qemu-io"), reason="qemu-utils is not installed"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def layers_below(store: Store, path: str) -> int:
    """Return how many files a disk's file is upon."""
    done = subprocess.run(["qemu-img", "info", "-U", "--backing-chain", path], capture_output=True, check=True)
    return done.stdout.count(b"image: ") - 1


def make_worn_disk(store: Store) -> None:
    """Make a disk with a snapshot of its first and its sixth MiB, and eight that are gone again."""
    make_written_disk(store)
    for number in range(2, 12):
        store.storage.ensure_snapshot(f"snap-{number}", "vol-1")
        store.write("vol-1", number, f"{number - 1}M")
    store.write("vol-1", 99, "3M")
    for number in (3, 4, 5, 6, 8, 9, 10, 11):
        store.storage.remove_snapshot(f"snap-{number}")


def worn_disk_is_right(store: Store) -> bool:
    return (
        store.disk_holds("vol-1", 1, 2, 3, 99, *range(5, 12), 0)
        and store.snapshot_holds("snap-2", 1, 0)
        and store.snapshot_holds("snap-7", *range(1, 7), 0)
    )


def test_layers_that_nobody_needs_are_merged(store: Store) -> None:
    make_worn_disk(store)
    head = store.storage.locate_disk("vol-1").name
    assert layers_below(store, head) == 10
    store.storage.compact("vol-1", 1)
    assert store.storage.locate_disk("vol-1").name == head
    assert layers_below(store, head) == 4  # a merged one, that of snap-7, another merged one, and that of snap-2
    assert worn_disk_is_right(store)
    store.check()
    store.storage.compact("vol-1", 1)
    assert layers_below(store, head) == 4
    for id in ("snap-2", "snap-7"):
        store.storage.remove_snapshot(id)
    store.storage.compact("vol-1", 1)
    assert layers_below(store, head) == 2
    assert store.disk_holds("vol-1", 1, 2, 3, 99, *range(5, 12), 0)
    store.check()
    store.storage.remove_disk("vol-1")
    assert store.empty()


def test_a_large_layer_is_not_copied_for_a_little_one(store: Store) -> None:
    make_written_disk(store)
    for number, size in enumerate((1, 64, 1, 1, 1)):
        store.storage.ensure_snapshot(f"snap-{number}", "vol-1")
        qemu_io(store.storage.locate_disk("vol-1").name, f"write -P {number + 2} {number}M {size}M")
    store.storage.ensure_snapshot("snap-last", "vol-1")
    for number in range(1, 5):
        store.storage.remove_snapshot(f"snap-{number}")
    inodes = {path.stat().st_ino for path in store.files() if path.stat().st_blocks * 512 > 2**25}
    store.storage.compact("vol-1", 1)
    assert {path.stat().st_ino for path in store.files() if path.stat().st_blocks * 512 > 2**25} == inodes
    assert store.disk_holds("vol-1", 2, 3, 4, 5, 6, 3)
    store.check()


def test_zeros_and_growth_are_merged_too(store: Store) -> None:
    make_written_disk(store)
    store.storage.ensure_snapshot("snap-1", "vol-1")
    store.write("vol-1", 2, "1M")
    store.storage.ensure_snapshot("snap-2", "vol-1")
    qemu_io(store.storage.locate_disk("vol-1").name, "write -z 0 1536k")
    store.storage.ensure_disk(Disk("vol-1", 2))
    store.write("vol-1", 3, "1536M")
    store.storage.ensure_snapshot("snap-3", "vol-1")
    store.storage.remove_snapshot("snap-2")
    store.storage.remove_snapshot("snap-3")
    store.storage.compact("vol-1", 1)
    head = store.storage.locate_disk("vol-1").name
    assert layers_below(store, head) == 2
    assert (
        qemu_io(head, "read -P 0 0 1536k")
        and qemu_io(head, "read -P 2 1536k 512k")
        and qemu_io(head, "read -P 3 1536M 1M")
    )
    assert qemu_io(head, "read -P 0 1G 512M")
    store.check()


def test_layers_of_encrypted_disks_are_merged_with_their_key(tmp_path: Path) -> None:
    storage = Qcow2(tmp_path / "store")
    storage.ensure_disk(Disk("vol-1", 1, key=KEY))
    for number in range(1, 5):
        assert "wrote" in encrypted_io(storage, "vol-1", f"write -P {number} {number}M 1M", KEY)
        storage.ensure_snapshot(f"snap-{number}", "vol-1", KEY)
    encrypted_io(storage, "vol-1", "write -z 2M 64k", KEY)
    storage.ensure_snapshot("snap-5", "vol-1", KEY)
    for number in range(2, 5):
        storage.remove_snapshot(f"snap-{number}")
    storage.compact("vol-1", 1, KEY)
    below = storage.locate_disk("vol-1").below
    assert len(below) == 3  # that of snap-5, a merged one, and that of snap-1
    assert all(read_header(Path(path)).encrypted for path in below)
    wanted = ((1, "1M 1M"), (0, "2M 64k"), (2, "2112k 960k"), (3, "3M 1M"), (4, "4M 1M"), (0, "5M 1M"))
    for pattern, where in wanted:
        answer = encrypted_io(storage, "vol-1", f"read -P {pattern} {where}", KEY)
        assert "read" in answer and "failed" not in answer
    assert [extent for extent in storage.snapshot_extents("snap-5", 0, 2**30, "snap-1", KEY)] == [(2**21, 3 * 2**20)]


def test_a_short_chain_is_left_alone_and_so_is_one_while_another_is_merged(store: Store) -> None:
    make_worn_disk(store)
    head = store.storage.locate_disk("vol-1").name
    store.storage.compact("vol-1", 11)
    assert layers_below(store, head) == 10
    with store.storage._layers.nobody_merges() as alone:
        assert alone
        store.storage.compact("vol-1", 10)
    assert layers_below(store, head) == 10
    store.storage.compact("vol-1", 10)
    assert layers_below(store, head) == 4


@pytest.mark.parametrize("gone", [1, 2, 5])
def test_a_disk_that_goes_while_its_layers_are_merged_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    make_written_disk(store)
    for number in range(1, 6):
        store.storage.ensure_snapshot(f"snap-{number}", "vol-1")
        store.write("vol-1", number, f"{number}M")
    for number in range(2, 6):
        store.storage.remove_snapshot(f"snap-{number}")
    calls, really = iter(range(1, 10)), qcow2_merging.qemu_img

    def convert(*words: str, **more: Any) -> str:
        if next(calls) == gone:
            store.storage.remove_disk("vol-1")
        return really(*words, **more)

    monkeypatch.setattr(qcow2_merging, "qemu_img", convert)
    with suppress(DriverError):
        store.storage.compact("vol-1", 1)
    store.storage.remove_disk("vol-1")
    store.check()
    assert store.snapshot_holds("snap-1", 1, 0)
    store.storage.remove_snapshot("snap-1")
    assert store.empty()


def test_merging_that_was_cut_short_changes_nothing_that_is_read_and_leaves_nothing(store: Store) -> None:
    def prepare() -> None:
        make_written_disk(store)
        for number in (1, 2, 3):
            store.storage.ensure_snapshot(f"snap-{number}", "vol-1")
            store.write("vol-1", number + 1, f"{number}M")
        store.storage.ensure_snapshot("snap-4", "vol-1")
        for number in (2, 3):
            store.storage.remove_snapshot(f"snap-{number}")

    def merge() -> None:
        store.storage.compact("vol-1", 1)

    for step in killed_at_every_step(prepare, merge):
        assert store.disk_holds("vol-1", 1, 2, 3, 4)
        if step % 2:
            merge()
            store.check()
            assert store.snapshot_holds("snap-4", 1, 2, 3, 4)
        store.storage.remove_disk("vol-1")
        store.check()
        assert store.snapshot_holds("snap-4", 1, 2, 3, 4)
        for id in ("snap-1", "snap-4"):
            store.storage.remove_snapshot(id)
        assert store.empty()

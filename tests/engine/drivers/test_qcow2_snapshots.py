"""What snapshots of qcow2 disks hold, whatever comes and goes, and whenever a process dies."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.drivers.base import Disk
from tests.engine.drivers.images import write_guest
from tests.engine.drivers.kills import killed_at_every_step
from tests.engine.drivers.stores import Store, make_written_disk, qemu_io

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("qemu-io"), reason="qemu-utils is not installed"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_guest(tmp_path / "guest.raw")


def test_each_snapshot_holds_what_the_disk_held_then(store: Store) -> None:
    make_written_disk(store)
    store.storage.ensure_snapshot("snap-1", "vol-1")
    store.write("vol-1", 2, "1M")
    store.storage.ensure_snapshot("snap-2", "vol-1")
    store.write("vol-1", 3)
    assert store.disk_holds("vol-1", 3, 2)
    assert store.snapshot_holds("snap-1", 1, 0)
    assert store.snapshot_holds("snap-2", 1, 2)
    for number, expected in ((1, (1, 0)), (2, (1, 2))):
        store.storage.ensure_disk(Disk(f"vol-from-{number}", 2, f"snap-{number}"))
        assert store.disk_holds(f"vol-from-{number}", *expected)
        store.write(f"vol-from-{number}", 9)
    assert store.snapshot_holds("snap-1", 1, 0)
    assert store.disk_holds("vol-1", 3, 2)
    store.check()


def test_whatever_goes_first_the_rest_holds_what_it_held(store: Store, image: Path) -> None:
    storage = store.storage
    storage.import_snapshot("snap-image", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-image"))
    store.write("vol-1", 1)
    storage.ensure_snapshot("snap-1", "vol-1")
    store.write("vol-1", 2, "1M")
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.ensure_disk(Disk("vol-2", 1, "snap-1"))
    storage.copy_snapshot("snap-3", "snap-2")
    for gone in ("snap-image", "snap-2", "snap-1"):
        storage.remove_snapshot(gone)
        store.check()
    assert store.disk_holds("vol-1", 1, 2)
    storage.remove_disk("vol-1")
    store.check()
    assert store.disk_holds("vol-2", 1, 0)
    assert store.snapshot_holds("snap-3", 1, 2)
    storage.remove_disk("vol-2")
    storage.ensure_disk(Disk("vol-3", 1, "snap-3"))
    storage.remove_snapshot("snap-3")
    assert store.disk_holds("vol-3", 1, 2)
    storage.remove_disk("vol-3")
    assert store.empty()


def test_a_clone_of_a_clone_of_a_clone_keeps_the_whole_chain_and_nothing_else(store: Store) -> None:
    make_written_disk(store)
    for number in range(1, 5):
        store.storage.ensure_snapshot(f"snap-{number}", f"vol-{number}")
        store.storage.ensure_disk(Disk(f"vol-{number + 1}", 1, f"snap-{number}"))
        store.write(f"vol-{number + 1}", number + 1, f"{number}M")
    for number in range(1, 5):
        store.storage.remove_disk(f"vol-{number}")
        store.storage.remove_snapshot(f"snap-{number}")
    store.check()
    assert store.disk_holds("vol-5", 1, 2, 3, 4, 5)
    store.storage.remove_disk("vol-5")
    assert store.empty()


def test_a_snapshot_occupies_what_was_written_since_the_one_before(store: Store) -> None:
    make_written_disk(store)
    store.storage.ensure_snapshot("snap-1", "vol-1")
    store.storage.ensure_snapshot("snap-2", "vol-1")
    store.write("vol-1", 2)
    store.storage.ensure_snapshot("snap-3", "vol-1")
    sizes = [store.storage.snapshot_bytes(f"snap-{number}") for number in (1, 2, 3)]
    assert sizes[0] >= 2**20 and sizes[2] >= 2**20
    assert sizes[1] < 2**19


def test_a_disk_that_grew_reads_as_zeros_beyond_its_snapshot(store: Store) -> None:
    make_written_disk(store)
    store.write("vol-1", 7, "1023M")
    store.storage.ensure_snapshot("snap-1", "vol-1")
    store.storage.ensure_disk(Disk("vol-1", 2))
    head = store.storage.locate_disk("vol-1").name
    assert qemu_io(head, "read -P 7 1023M 1M")
    assert qemu_io(head, "read -P 0 1G 1M")
    assert store.storage.snapshot_size_gib("snap-1") == 1
    store.check()


def test_what_a_machine_wrote_at_the_end_of_a_disk_that_it_grew_before_it_moved_is_seen(store: Store) -> None:
    make_written_disk(store)
    store.storage.ensure_snapshot("snap-1", "vol-1")
    frozen = str(store.directory / "disks/vol-1.qcow2")
    subprocess.run(["qemu-img", "resize", "-q", frozen, "3G"], check=True)
    qemu_io(frozen, "write -P 5 2G 1M")
    store.storage.ensure_snapshot("snap-1", "vol-1")
    head = store.storage.locate_disk("vol-1").name
    assert qemu_io(head, "read -P 5 2G 1M")
    store.write("vol-1", 6, "3071M")
    assert store.disk_holds("vol-1", 1, 0)
    store.check()


def test_nothing_is_copied_however_large_a_disk_is(store: Store) -> None:
    store.storage.ensure_disk(Disk("vol-1", 100))
    store.write("vol-1", 1)
    steps: list[Callable[[], object]] = [
        lambda: store.storage.ensure_snapshot("snap-1", "vol-1"),
        lambda: store.storage.copy_snapshot("snap-2", "snap-1"),
        lambda: store.storage.ensure_disk(Disk("vol-2", 100, "snap-2")),
    ]
    for step in steps:
        began = time.monotonic()
        step()
        assert time.monotonic() - began < 1  # tens of milliseconds on a quiet machine


# -- processes that die ------------------------------------------------------------


def test_a_snapshot_that_was_cut_short_is_completed_and_its_disk_never_lost(store: Store) -> None:
    def take() -> None:
        store.storage.ensure_snapshot("snap-1", "vol-1")

    for _ in killed_at_every_step(lambda: make_written_disk(store), take):
        assert store.disk_holds("vol-1", 1, 0)
        store.check()
        take()
        assert store.storage.list_snapshots() == {"snap-1"}
        store.write("vol-1", 2)
        assert store.snapshot_holds("snap-1", 1, 0)
        store.check()
        store.storage.remove_disk("vol-1")
        store.check()
        assert store.snapshot_holds("snap-1", 1, 0)
        store.storage.remove_snapshot("snap-1")
        assert store.empty()


def test_a_snapshot_that_was_cut_short_may_be_given_up(store: Store) -> None:
    for _ in killed_at_every_step(
        lambda: make_written_disk(store), lambda: store.storage.ensure_snapshot("snap-1", "vol-1")
    ):
        store.storage.remove_snapshot("snap-1")
        assert store.storage.list_snapshots() == set()
        store.write("vol-1", 2)
        assert store.disk_holds("vol-1", 2, 0)
        store.check()
        store.storage.ensure_snapshot("snap-2", "vol-1")
        assert store.snapshot_holds("snap-2", 2, 0)
        store.storage.remove_disk("vol-1")
        store.storage.remove_snapshot("snap-2")
        assert store.empty()


def test_a_clone_that_was_cut_short_is_completed_or_leaves_nothing(store: Store) -> None:
    def prepare() -> None:
        make_written_disk(store)
        store.storage.ensure_snapshot("snap-1", "vol-1")
        store.storage.remove_disk("vol-1")

    def clone() -> None:
        store.storage.ensure_disk(Disk("vol-2", 1, "snap-1"))

    for step in killed_at_every_step(prepare, clone):
        store.check()
        if step % 2:
            clone()
            assert store.disk_holds("vol-2", 1, 0)
            store.check()
        store.storage.remove_disk("vol-2")
        assert store.storage.list_disks() == set()
        assert len(store.files()) == 1
        assert store.snapshot_holds("snap-1", 1, 0)
        store.storage.remove_snapshot("snap-1")
        assert store.empty()


def make_chain(store: Store) -> None:
    """Make a disk upon three layers, each of them a snapshot of its own content, and a clone of the middle one."""
    make_written_disk(store)
    for number in (1, 2, 3):
        store.storage.ensure_snapshot(f"snap-{number}", "vol-1")
        store.write("vol-1", number + 1, f"{number}M")
    store.storage.ensure_disk(Disk("vol-2", 1, "snap-2"))


def test_a_disks_removal_that_was_cut_short_is_still_listed_and_harms_no_snapshot(store: Store) -> None:
    def remove() -> None:
        store.storage.remove_disk("vol-1")

    for _ in killed_at_every_step(lambda: make_chain(store), remove):
        left = [path for path in (store.directory / "disks").rglob("vol-1*")]
        assert ("vol-1" in store.storage.list_disks()) == bool(left)
        assert store.snapshot_holds("snap-3", 1, 2, 3)
        assert store.disk_holds("vol-2", 1, 2)
        remove()
        store.check()
        for id in ("snap-1", "snap-2", "snap-3"):
            store.storage.remove_snapshot(id)
        assert store.disk_holds("vol-2", 1, 2)
        store.storage.remove_disk("vol-2")
        assert store.empty()


def test_a_snapshots_removal_that_was_cut_short_is_still_listed_and_harms_nothing(store: Store) -> None:
    def prepare() -> None:
        make_chain(store)
        store.storage.remove_disk("vol-1")
        store.storage.remove_snapshot("snap-2")

    def remove() -> None:
        store.storage.remove_snapshot("snap-3")

    for _ in killed_at_every_step(prepare, remove):
        left = list((store.directory / "snapshots").glob("snap-3*"))
        assert ("snap-3" in store.storage.list_snapshots()) == bool(left)
        assert store.disk_holds("vol-2", 1, 2)
        remove()
        store.check()
        store.storage.remove_disk("vol-2")
        assert store.snapshot_holds("snap-1", 1, 0)
        store.storage.remove_snapshot("snap-1")
        assert store.empty()

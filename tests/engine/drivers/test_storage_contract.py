"""What every disk backend must do, whatever is behind it.

``CONTRACT_STORAGE=python:MODULE:NAME?OPTION=VALUE`` adds a driver of somebody's own.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from engine.drivers.base import Disk, DriverError, Refused, Storage
from engine.drivers.qcow2 import Qcow2
from engine.drivers.simulated import Simulated
from engine.named_drivers import load
from tests.engine.drivers import thin_pools
from tests.engine.drivers.ceph_pools import a_pool
from tests.engine.drivers.images import write_guest

NO_QEMU_IMG = "" if shutil.which("qemu-img") else "qemu-img is not installed"
needs_qemu_img = pytest.mark.skipif(bool(NO_QEMU_IMG), reason=NO_QEMU_IMG)

GIB = 2**30


REAL = [pytest.mark.acceptance, needs_qemu_img]


OWN = os.environ.get("CONTRACT_STORAGE", "")
"""A driver of somebody's own, named as in the settings, that is to keep the contract too."""
NAMES = ["qcow2", "rbd", "lvm", "tgt", *([OWN] if OWN else [])]


@pytest.fixture(params=["simulated", *(pytest.param(name, marks=REAL) for name in NAMES)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "simulated":
        yield Simulated().storages["zone-1"]
    elif request.param == "qcow2":
        yield Qcow2(tmp_path / "store")
    elif request.param == "rbd":
        with a_pool(request.getfixturevalue("ceph_cluster")) as pool:
            yield pool.storage
    elif request.param == "lvm":
        with thin_pools.a_thin_pool(request.getfixturevalue("loop_files")) as lvm:
            yield lvm
    elif request.param == "tgt":
        with emptied(request.getfixturevalue("target_daemon").storage(tmp_path)) as tgt:
            yield tgt
    else:
        with emptied(load(request.param, f"t{uuid4().hex[:7]}")) as own:
            yield own


@contextmanager
def emptied(storage: Storage) -> Iterator[Storage]:
    """Leave nothing in a store that others use too."""
    yield storage
    for id in storage.list_disks():
        storage.remove_disk(id)
    for id in storage.list_snapshots():
        storage.remove_snapshot(id)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_guest(tmp_path / "guest.raw")


def big_image(tmp_path: Path, size: int = 2 * GIB) -> Path:
    file = tmp_path / "big.raw"
    with file.open("wb") as stream:
        stream.truncate(size)
    return file


def test_a_new_disk_is_listed_and_located(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 3))
    storage.ensure_disk(Disk("vol-1", 3))
    assert storage.list_disks() == {"vol-1"}
    assert storage.locate_disk("vol-1").name


def test_a_disk_that_is_not_there_has_no_place(storage: Storage) -> None:
    with pytest.raises(DriverError, match="vol-1"):
        storage.locate_disk("vol-1")


def test_removing_a_disk_twice_is_fine(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    storage.remove_disk("vol-1")
    storage.remove_disk("vol-1")
    assert storage.list_disks() == set()


def test_a_snapshot_is_located_as_long_as_it_is_kept(storage: Storage, image: Path) -> None:
    storage.import_snapshot("snap-1", image)
    assert storage.locate_snapshot("snap-1").name
    storage.remove_snapshot("snap-1")
    with pytest.raises(DriverError, match="snap-1"):
        storage.locate_snapshot("snap-1")


def test_an_image_becomes_a_snapshot_whose_size_is_rounded_up(storage: Storage, image: Path) -> None:
    assert storage.import_snapshot("snap-1", image) == 1
    assert storage.import_snapshot("snap-1", image) == 1
    assert storage.list_snapshots() == {"snap-1"}
    assert storage.list_disks() == set()


def test_a_file_of_ours_is_adopted_as_a_snapshot_which_then_does_not_need_its_name(
    storage: Storage, tmp_path: Path
) -> None:
    file = tmp_path / "converted.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "2G"], check=True)
    storage.adopt_snapshot("snap-1", file)
    with pytest.raises(Refused):
        storage.adopt_snapshot("snap-2", file, "a key of a file that has none")
    file.unlink()
    storage.adopt_snapshot("snap-1", file)
    assert storage.snapshot_size_gib("snap-1") == 2
    storage.ensure_disk(Disk("vol-1", 2, "snap-1"))
    storage.remove_snapshot("snap-1")
    assert storage.list_snapshots() == set()


def test_an_imported_snapshot_does_not_need_its_file(storage: Storage, image: Path) -> None:
    storage.import_snapshot("snap-1", image)
    image.unlink()
    assert storage.import_snapshot("snap-1", image) == 1
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))


def test_a_size_just_over_a_gib_counts_as_two(storage: Storage, tmp_path: Path) -> None:
    assert storage.import_snapshot("snap-1", big_image(tmp_path, GIB + 512)) == 2


def test_a_disk_may_be_larger_than_its_source_but_not_smaller(storage: Storage, tmp_path: Path) -> None:
    storage.import_snapshot("snap-1", big_image(tmp_path))
    storage.ensure_disk(Disk("vol-1", 2, "snap-1"))
    storage.ensure_disk(Disk("vol-2", 5, "snap-1"))
    with pytest.raises(Refused):
        storage.ensure_disk(Disk("vol-3", 1, "snap-1"))
    assert storage.list_disks() == {"vol-1", "vol-2"}


def test_a_disk_grows_and_never_shrinks(storage: Storage, image: Path) -> None:
    storage.import_snapshot("snap-1", image)
    disk = Disk("vol-1", 2, "snap-1")
    storage.ensure_disk(disk)
    for _ in range(2):
        storage.ensure_disk(replace(disk, size_gib=4))
    with pytest.raises(Refused):
        storage.ensure_disk(disk)


def test_a_disk_without_size_is_refused(storage: Storage) -> None:
    with pytest.raises(Refused):
        storage.ensure_disk(Disk("vol-1", 0))


def test_a_source_that_is_missing_may_come_later(storage: Storage, image: Path) -> None:
    with pytest.raises(DriverError) as caught:
        storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    assert not isinstance(caught.value, Refused)
    assert storage.list_disks() == set()
    storage.import_snapshot("snap-1", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))


def test_clones_outlive_their_snapshot(storage: Storage, image: Path) -> None:
    storage.import_snapshot("snap-1", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.remove_snapshot("snap-1")
    storage.remove_snapshot("snap-1")
    assert storage.list_snapshots() == set()
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.ensure_disk(Disk("vol-1", 2, "snap-1"))
    with pytest.raises(DriverError):
        storage.ensure_disk(Disk("vol-2", 1, "snap-1"))
    storage.remove_disk("vol-1")
    assert storage.list_disks() == set()


def test_a_removed_snapshots_id_can_be_imported_again(storage: Storage, image: Path, tmp_path: Path) -> None:
    storage.import_snapshot("snap-1", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.remove_snapshot("snap-1")
    assert storage.import_snapshot("snap-1", big_image(tmp_path)) == 2
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))


def test_files_that_are_no_image_are_refused(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file in (tmp_path / "empty", tmp_path / "missing", tmp_path):
        with pytest.raises(Refused):
            storage.import_snapshot("snap-1", file)
    assert storage.list_snapshots() == set()


@needs_qemu_img
def test_an_image_that_names_another_file_is_refused(storage: Storage, image: Path, tmp_path: Path) -> None:
    overlay, outside = tmp_path / "overlay.qcow2", tmp_path / "outside.qcow2"
    create = ("qemu-img", "create", "-q", "-f", "qcow2")
    subprocess.run([*create, "-b", str(image), "-F", "raw", str(overlay)], check=True)
    subprocess.run([*create, "-o", f"data_file={tmp_path}/data", str(outside), "1M"], check=True)
    for file in (overlay, outside):
        with pytest.raises(Refused):
            storage.import_snapshot("snap-1", file)
    assert storage.list_snapshots() == set()


# -- snapshots of disks ----------------------------------------------------------


def test_a_disks_snapshot_has_its_size_and_is_a_source(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 3))
    for _ in range(2):
        storage.ensure_snapshot("snap-1", "vol-1")
    assert storage.list_snapshots() == {"snap-1"}
    assert storage.list_disks() == {"vol-1"}
    assert storage.snapshot_size_gib("snap-1") == 3
    assert storage.snapshot_bytes("snap-1") >= 0
    with pytest.raises(Refused):
        storage.ensure_disk(Disk("vol-2", 2, "snap-1"))
    storage.ensure_disk(Disk("vol-2", 3, "snap-1"))
    assert storage.list_disks() == {"vol-1", "vol-2"}


def test_a_disk_has_as_many_snapshots_as_one_likes_and_can_be_located_after_each(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    for number in range(5):
        storage.ensure_snapshot(f"snap-{number}", "vol-1")
        assert storage.locate_disk("vol-1").name
    assert storage.list_snapshots() == {f"snap-{number}" for number in range(5)}


def test_an_imported_snapshot_has_its_size(storage: Storage, tmp_path: Path) -> None:
    storage.import_snapshot("snap-1", big_image(tmp_path))
    assert storage.snapshot_size_gib("snap-1") == 2
    assert storage.snapshot_bytes("snap-1") >= 0


def test_a_snapshot_keeps_its_size_when_its_disk_grows(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_disk(Disk("vol-1", 4))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_snapshot("snap-2", "vol-1")
    assert storage.snapshot_size_gib("snap-1") == 1
    assert storage.snapshot_size_gib("snap-2") == 4


def test_what_is_not_there_has_no_snapshot_no_copy_and_no_size(storage: Storage) -> None:
    for wrong in (
        lambda: storage.ensure_snapshot("snap-1", "vol-1"),
        lambda: storage.copy_snapshot("snap-1", "snap-0"),
        lambda: storage.snapshot_size_gib("snap-1"),
        lambda: storage.snapshot_bytes("snap-1"),
    ):
        with pytest.raises(DriverError) as caught:
            wrong()
        assert not isinstance(caught.value, Refused)
    assert storage.list_snapshots() == storage.list_disks() == set()


def test_a_snapshot_outlives_its_disk_and_a_disk_its_snapshot(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 2))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.remove_snapshot("snap-1")
    assert storage.locate_disk("vol-1").name
    storage.remove_disk("vol-1")
    storage.ensure_snapshot("snap-2", "vol-1")
    assert storage.list_disks() == set()
    storage.ensure_disk(Disk("vol-2", 2, "snap-2"))
    storage.remove_snapshot("snap-2")
    storage.ensure_disk(Disk("vol-2", 3, "snap-2"))
    storage.remove_disk("vol-2")
    assert storage.list_snapshots() == storage.list_disks() == set()


def test_a_copy_of_a_snapshot_outlives_it(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 2))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.copy_snapshot("snap-2", "snap-1")
    storage.remove_snapshot("snap-1")
    storage.copy_snapshot("snap-2", "snap-1")
    assert storage.list_snapshots() == {"snap-2"}
    assert storage.snapshot_size_gib("snap-2") == 2
    storage.ensure_disk(Disk("vol-2", 2, "snap-2"))


def test_a_disk_made_from_a_snapshot_can_be_snapshotted_itself(storage: Storage, image: Path) -> None:
    storage.import_snapshot("snap-1", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.ensure_disk(Disk("vol-2", 2, "snap-2"))
    storage.ensure_snapshot("snap-3", "vol-2")
    for snapshot in ("snap-1", "snap-2"):
        storage.remove_snapshot(snapshot)
    storage.remove_disk("vol-1")
    assert storage.snapshot_size_gib("snap-3") == 2
    assert storage.locate_disk("vol-2").name


def test_a_removed_snapshots_id_can_be_taken_again(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.remove_snapshot("snap-1")
    storage.ensure_disk(Disk("vol-1", 2))
    storage.ensure_snapshot("snap-1", "vol-1")
    assert storage.snapshot_size_gib("snap-1") == 2


def test_a_disk_of_which_snapshots_are_gone_is_made_quick_again(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    for number in range(5):
        storage.ensure_snapshot(f"snap-{number}", "vol-1")
    for number in range(4):
        storage.remove_snapshot(f"snap-{number}")
    for _ in range(2):
        storage.compact("vol-1", 1)
    assert storage.list_disks() == {"vol-1"}
    assert storage.list_snapshots() == {"snap-4"}
    storage.ensure_snapshot("snap-5", "vol-1")
    storage.ensure_disk(Disk("vol-2", 1, "snap-5"))
    with pytest.raises(DriverError):
        storage.compact("vol-3", 1)


def test_several_threads_may_take_snapshots_of_one_disk(storage: Storage) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    names = [f"snap-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(storage.ensure_snapshot, names, ["vol-1"] * 6))
    assert storage.list_snapshots() == set(names)
    assert storage.list_disks() == {"vol-1"}
    storage.ensure_disk(Disk("vol-1", 2))


def test_free_space_is_a_number_of_gib(storage: Storage) -> None:
    assert 0 < storage.free_gib() < 2**40

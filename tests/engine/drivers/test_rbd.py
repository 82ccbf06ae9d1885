"""What the Ceph backend promises beyond the contract: what disks hold, what is left, who is in whose way."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.ceph.session import Ceph
from engine.drivers import rbd
from engine.drivers.base import Disk, DriverError, Refused
from engine.drivers.programs import TookTooLong
from engine.drivers.qcow2 import Qcow2
from engine.drivers.rbd import Rbd
from engine.store_transfers import carry
from settings import Settings
from tests.acceptance.ceph import POOL, USER, Cluster
from tests.engine.drivers.ceph_pools import Pool, a_pool
from tests.engine.drivers.hosts import wait_until
from tests.engine.drivers.images import SIGN_OF_LIFE, write_guest

pytestmark = pytest.mark.acceptance

MIB, GIB = 2**20, 2**30


@pytest.fixture
def pool(ceph_cluster: Cluster) -> Iterator[Pool]:
    with a_pool(ceph_cluster) as pool:
        yield pool


@pytest.fixture
def storage(pool: Pool) -> Rbd:
    return pool.storage


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_guest(tmp_path / "guest.raw")


# -- what they hold --------------------------------------------------------------


def test_each_snapshot_holds_what_the_disk_held_then(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 1)
    storage.ensure_snapshot("snap-1", "vol-1")
    pool.write("vol-1", 2, "1M")
    storage.ensure_snapshot("snap-2", "vol-1")
    pool.write("vol-1", 3)
    for number, expected in ((1, (1, 0)), (2, (1, 2))):
        storage.ensure_disk(Disk(f"vol-from-{number}", 2, f"snap-{number}"))
        assert pool.holds(f"vol-from-{number}", *expected)
        pool.write(f"vol-from-{number}", 9)
        assert pool.snapshot_holds(f"snap-{number}", *expected)
    assert pool.holds("vol-1", 3, 2)


@pytest.mark.long
def test_whatever_goes_first_the_rest_holds_what_it_held(pool: Pool, storage: Rbd, image: Path) -> None:
    storage.import_snapshot("snap-image", image)
    storage.ensure_disk(Disk("vol-1", 1, "snap-image"))
    pool.write("vol-1", 1)
    storage.ensure_snapshot("snap-1", "vol-1")
    pool.write("vol-1", 2, "1M")
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.ensure_disk(Disk("vol-2", 1, "snap-1"))
    storage.copy_snapshot("snap-3", "snap-2")
    for gone in ("snap-image", "snap-2", "snap-1"):
        storage.remove_snapshot(gone)
    assert pool.holds("vol-1", 1, 2)
    storage.remove_disk("vol-1")
    assert pool.holds("vol-2", 1, 0)
    assert pool.snapshot_holds("snap-3", 1, 2)
    storage.remove_disk("vol-2")
    storage.ensure_disk(Disk("vol-3", 1, "snap-3"))
    storage.remove_snapshot("snap-3")
    assert pool.holds("vol-3", 1, 2)
    storage.remove_disk("vol-3")
    pool.becomes_empty()


@pytest.mark.long
def test_an_image_goes_by_itself_when_its_last_clone_went(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_disk(Disk("vol-2", 1, "snap-1"))
    storage.remove_disk("vol-1")
    storage.remove_snapshot("snap-1")
    assert len(pool.images()) == 2
    storage.remove_disk("vol-2")
    pool.becomes_empty(hasten=False)


def test_a_clone_of_a_clone_of_a_clone_keeps_what_all_of_them_held(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 1)
    for number in range(1, 5):
        storage.ensure_snapshot(f"snap-{number}", f"vol-{number}")
        storage.ensure_disk(Disk(f"vol-{number + 1}", 1, f"snap-{number}"))
        pool.write(f"vol-{number + 1}", number + 1, f"{number}M")
    for number in range(1, 5):
        storage.remove_disk(f"vol-{number}")
        storage.remove_snapshot(f"snap-{number}")
    assert storage.list_disks() == {"vol-5"}
    assert pool.holds("vol-5", 1, 2, 3, 4, 5)


def test_a_snapshot_occupies_what_was_written_since_the_one_before(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 1)
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_snapshot("snap-2", "vol-1")
    pool.write("vol-1", 2, "512M")
    pool.write("vol-1", 2, "768M")
    storage.ensure_snapshot("snap-3", "vol-1")
    storage.copy_snapshot("snap-4", "snap-3")
    storage.remove_disk("vol-1")
    assert [storage.snapshot_bytes(f"snap-{number}") >> 20 for number in (1, 2, 3, 4)] == [4, 0, 8, 8]


def test_a_disk_that_grew_reads_as_zeros_beyond_its_snapshot(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 7, "1023M")
    storage.ensure_snapshot("snap-1", "vol-1")
    storage.ensure_disk(Disk("vol-1", 2))
    assert pool.reads("vol-1", "read -P 7 1023M 1M") and pool.reads("vol-1", "read -P 0 1G 1M")
    assert storage.snapshot_size_gib("snap-1") == 1


def test_nothing_is_copied_however_large_a_disk_is(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 100))
    pool.write("vol-1", 1)
    steps: dict[str, Callable[[], object]] = {
        "snapshot": lambda: storage.ensure_snapshot("snap-1", "vol-1"),
        "copy": lambda: storage.copy_snapshot("snap-2", "snap-1"),
        "clone": lambda: storage.ensure_disk(Disk("vol-2", 100, "snap-2")),
        "larger clone": lambda: storage.ensure_disk(Disk("vol-3", 200, "snap-2")),
        "locate": lambda: storage.locate_disk("vol-3"),
        "remove": lambda: storage.remove_disk("vol-3"),
    }
    for name, step in steps.items():
        began = time.monotonic()
        step()
        took = time.monotonic() - began
        print(f"{name} of 100 GiB: {took * 1000:.0f} ms")
        assert took < 1, name  # tens of milliseconds on a quiet machine


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk"])
def test_images_of_several_formats_can_be_imported(kind: str, pool: Pool, storage: Rbd, image: Path) -> None:
    target = image.with_name(f"image.{kind}")
    subprocess.run(["qemu-img", "convert", "-O", kind, str(image), str(target)], check=True)
    assert storage.import_snapshot("snap-1", target) == 1
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    out = image.with_name("out.raw")
    pool.run("qemu-img", "convert", "-f", "raw", "-O", "raw", pool.name("vol-1"), str(out))
    with out.open("rb") as stream:
        assert SIGN_OF_LIFE in stream.read(512)


def test_a_hostile_image_is_refused_and_leaves_nothing(pool: Pool, storage: Rbd, tmp_path: Path) -> None:
    sly, huge = tmp_path / "sly.vmdk", tmp_path / "huge.qcow2"
    sly.write_bytes((b"KDMV" + bytes(508)).ljust(4096, b"\0"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(huge), "65T"], check=True)
    for file in (sly, huge):
        with pytest.raises(Refused):
            storage.import_snapshot("snap-1", file)
    assert pool.images() == []


def test_a_failed_import_leaves_nothing(pool: Pool, storage: Rbd, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*command: str, limit: float | None = None) -> str:
        raise DriverError("no space left")

    monkeypatch.setattr(rbd, "run", fail)
    with pytest.raises(DriverError, match="no space"):
        storage.import_snapshot("snap-1", image)
    assert storage.list_snapshots() == set()
    pool.becomes_empty()


def test_a_file_that_takes_longer_than_a_step_may_is_not_adopted(
    pool: Pool, storage: Rbd, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_long(*command: str, limit: float | None = None) -> str:
        raise TookTooLong(f"longer than {limit} seconds")

    monkeypatch.setattr(rbd, "run", take_long)
    with pytest.raises(Refused, match="in a minute"):
        storage.adopt_snapshot("snap-1", image)
    assert storage.list_snapshots() == set()


def test_what_changed_is_told_though_the_snapshot_between_was_removed(pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 1)
    storage.ensure_snapshot("snap-1", "vol-1")
    pool.write("vol-1", 2, "8M")
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.ensure_disk(Disk("vol-2", 1, "snap-2"))
    pool.write("vol-2", 3, "16M")
    storage.ensure_snapshot("snap-3", "vol-2")
    changed = [(8 * MIB, 4 * MIB), (16 * MIB, 4 * MIB)]
    for one, other in (("snap-3", "snap-1"), ("snap-1", "snap-3")):
        assert list(storage.snapshot_extents(one, 0, GIB, other)) == changed
    storage.remove_snapshot("snap-2")
    for one, other in (("snap-3", "snap-1"), ("snap-1", "snap-3")):
        assert set(storage.snapshot_extents(one, 0, GIB, other)) >= set(changed)


def test_files_and_ceph_exchange_snapshots_whole(pool: Pool, storage: Rbd, image: Path, tmp_path: Path) -> None:
    files, settings = Qcow2(tmp_path / "store"), Settings(data=tmp_path, disk_reserved_gib=0)
    files.import_snapshot("snap-1", image)
    assert carry(files, "snap-1", storage, "snap-2", 1, settings)
    assert carry(storage, "snap-2", files, "snap-3", 1, settings)
    held = files.read_snapshot("snap-1", 0, 4 * MIB)
    assert SIGN_OF_LIFE in held[:512]
    assert held == storage.read_snapshot("snap-2", 0, 4 * MIB) == files.read_snapshot("snap-3", 0, 4 * MIB)
    storage.ensure_disk(Disk("vol-1", 1, "snap-2"))


@pytest.mark.parametrize("id", ["../vol-1", "a/b", "", ".hidden", "-f", "a@b", "a.b"])
def test_an_id_that_is_no_part_of_a_name_is_refused(id: str, storage: Rbd) -> None:
    for step in (
        lambda: storage.ensure_disk(Disk(id, 1)),
        lambda: storage.remove_disk(id),
        lambda: storage.ensure_snapshot(id, "vol-1"),
        lambda: storage.copy_snapshot(id, "snap-1"),
        lambda: storage.remove_snapshot(id),
    ):
        with pytest.raises(Refused):
            step()


# -- who is in whose way ----------------------------------------------------------


def test_a_disk_that_is_written_to_is_neither_removed_nor_grown_and_can_be_snapshotted(
    pool: Pool, storage: Rbd
) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    with pool.in_use("vol-1"):
        for step in (lambda: storage.remove_disk("vol-1"), lambda: storage.ensure_disk(Disk("vol-1", 2))):
            with pytest.raises(DriverError, match="uses it") as caught:
                step()
            assert not isinstance(caught.value, Refused)
        assert storage.locate_disk("vol-1").name
        storage.ensure_snapshot("snap-1", "vol-1")
        storage.ensure_disk(Disk("vol-2", 1, "snap-1"))
        storage.remove_snapshot("snap-1")
    storage.ensure_disk(Disk("vol-1", 2))
    storage.remove_disk("vol-1")


def test_deployments_that_share_a_pool_do_not_see_each_other(ceph_cluster: Cluster, pool: Pool) -> None:
    pool.storage.ensure_disk(Disk("vol-1", 1))
    pool.storage.ensure_snapshot("snap-1", "vol-1")
    with a_pool(ceph_cluster) as other:
        assert other.storage.list_disks() == other.storage.list_snapshots() == set()
        other.storage.remove_disk("vol-1")
        other.storage.ensure_disk(Disk("vol-1", 2))
    assert pool.storage.list_disks() == {"vol-1"}
    pool.storage.ensure_disk(Disk("vol-1", 1))


def test_an_image_that_somebody_else_removed_can_be_forgotten(ceph_cluster: Cluster, pool: Pool, storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    ceph_cluster.run("rbd", "--no-progress", "rm", storage.locate_disk("vol-1").name)
    with pytest.raises(DriverError):
        storage.ensure_disk(Disk("vol-1", 1))
    storage.remove_disk("vol-1")
    assert storage.list_disks() == set()


def test_a_key_that_is_wrong_and_a_pool_that_is_not_there_are_told_of(ceph_cluster: Cluster) -> None:
    for user, pool, what in (("nobody", POOL, "error connecting"), (USER, "no-pool", "no-pool")):
        ceph = Ceph(ceph_cluster.conf, user, pool)
        for _ in range(2):
            with pytest.raises(DriverError, match=f"(?i)cannot list disks: .*{what}"):
                Rbd(ceph, "me").list_disks()
        ceph.close()


def test_a_cluster_that_is_away_keeps_nobody_longer_than_was_said(
    ceph_cluster: Cluster, storage: Rbd, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    monkeypatch.setattr(rbd, "PATIENCE", 2)
    with ceph_cluster.paused():
        began = time.monotonic()
        with pytest.raises(DriverError, match="did not answer"):
            storage.ensure_snapshot("snap-1", "vol-1")
        assert 1.9 < time.monotonic() - began < 4
    monkeypatch.undo()
    storage.ensure_snapshot("snap-1", "vol-1")


def test_a_process_that_died_is_started_again(storage: Rbd) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    for _ in range(2):
        storage._ceph.close()
        wait_until(lambda: storage._ceph._process is None or storage._ceph._process.has_ended, "it ended")
        assert storage.list_disks() == {"vol-1"}

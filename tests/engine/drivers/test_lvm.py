"""What a thin pool shares, keeps apart and can still take: in a real one, and as its tools tell of it."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.drivers.base import Disk, DriverError, Refused
from engine.drivers.lvm import Lvm, read_volumes
from tests.engine.drivers.images import write_guest
from tests.engine.drivers.thin_pools import a_thin_pool

GIB = 2**30


@pytest.fixture
def lvm(loop_files: Path) -> Iterator[Lvm]:
    with a_thin_pool(loop_files) as storage:
        yield storage


def qemu_io(storage: Lvm, id: str, command: str) -> str:
    tool = ["qemu-io", "-f", "raw", "-t", "none", "-c", command, storage.locate_disk(id).name]
    return subprocess.run(tool, capture_output=True, text=True, check=True).stdout


def holds(storage: Lvm, id: str, pattern: int, at: str = "0") -> bool:
    return "verification failed" not in qemu_io(storage, id, f"read -P {pattern} {at} 1M")


def snapshot_holds(storage: Lvm, id: str, pattern: int) -> bool:
    disk = Disk(f"vol-of-{id}", 4, id)
    storage.ensure_disk(disk)
    held = holds(storage, disk.id, pattern)
    storage.remove_disk(disk.id)
    return held


@pytest.mark.acceptance
def test_lvm_keeps_each_moment_of_a_disk_apart_from_what_is_written_later(lvm: Lvm) -> None:
    lvm.ensure_disk(Disk("vol-1", 1))
    assert holds(lvm, "vol-1", 0)
    qemu_io(lvm, "vol-1", "write -P 1 0 1M")
    lvm.ensure_snapshot("snap-1", "vol-1")
    qemu_io(lvm, "vol-1", "write -P 2 0 1M")
    lvm.copy_snapshot("snap-2", "snap-1")
    lvm.ensure_snapshot("snap-3", "vol-1")
    lvm.remove_snapshot("snap-1")
    lvm.remove_disk("vol-1")
    assert snapshot_holds(lvm, "snap-2", 1) and snapshot_holds(lvm, "snap-3", 2)
    assert 2**20 <= lvm.snapshot_bytes("snap-2") < 2**21


@pytest.mark.acceptance
def test_lvm_gives_a_disk_zeros_where_another_one_was(lvm: Lvm) -> None:
    lvm.ensure_disk(Disk("vol-1", 1))
    qemu_io(lvm, "vol-1", "write -P 7 0 64M")
    lvm.remove_disk("vol-1")
    lvm.ensure_disk(Disk("vol-2", 1))
    qemu_io(lvm, "vol-2", "write -P 1 512 512")
    assert "verification failed" not in qemu_io(lvm, "vol-2", "read -P 0 4k 1M")


@pytest.mark.acceptance
def test_lvm_grows_a_disk_that_is_in_use_and_does_not_remove_it(lvm: Lvm) -> None:
    lvm.ensure_disk(Disk("vol-1", 1))
    with open(lvm.locate_disk("vol-1").name, "rb"):
        lvm.ensure_disk(Disk("vol-1", 2))
        with pytest.raises(DriverError, match="in use"):
            lvm.remove_disk("vol-1")
        assert lvm.list_disks() == {"vol-1"}
    assert holds(lvm, "vol-1", 0, at="2047M")
    lvm.remove_disk("vol-1")


@pytest.mark.acceptance
def test_lvm_activates_a_disk_that_a_restart_left_inactive(lvm: Lvm, tmp_path: Path) -> None:
    lvm.import_snapshot("snap-1", write_guest(tmp_path / "guest.raw"))
    lvm.ensure_disk(Disk("vol-1", 1, "snap-1"))
    device = Path(lvm.locate_disk("vol-1").name)
    subprocess.run(["vgchange", "-qan", device.parent.name], check=True, capture_output=True)
    assert not device.exists()
    assert lvm.free_gib() == 5
    assert lvm.locate_disk("vol-1").name == str(device) and device.exists()


@pytest.mark.acceptance
def test_lvm_shares_a_pool_among_deployments_that_see_only_their_own(lvm: Lvm) -> None:
    other = Lvm(f"{lvm._group}/{lvm._pool}", "other")
    for storage in (lvm, other):
        storage.ensure_disk(Disk("vol-1", 1))
        storage.ensure_snapshot("snap-1", "vol-1")
    other.remove_snapshot("snap-1")
    other.ensure_disk(Disk("vol-2", 1))
    assert (lvm.list_disks(), lvm.list_snapshots()) == ({"vol-1"}, {"snap-1"})
    assert (other.list_disks(), other.list_snapshots()) == ({"vol-1", "vol-2"}, set())


@pytest.mark.acceptance
def test_lvm_counts_an_import_that_died_as_its_own_until_it_is_made_again_or_removed(lvm: Lvm, tmp_path: Path) -> None:
    image = write_guest(tmp_path / "guest.raw")
    lvm._create(lvm._volumes(), "me.snapshot.snap-1.0123abcd", f"{GIB}b")
    assert lvm.list_snapshots() == {"snap-1"}
    with pytest.raises(DriverError, match="there is no snapshot snap-1"):
        lvm.snapshot_size_gib("snap-1")
    assert lvm.import_snapshot("snap-1", image) == 1
    lvm.remove_snapshot("snap-1")
    assert lvm.list_snapshots() == set() and list(lvm._volumes()) == ["pool"]


@pytest.mark.acceptance
def test_lvm_has_less_room_once_something_is_written(lvm: Lvm) -> None:
    assert lvm.free_gib() == 6
    lvm.ensure_disk(Disk("vol-1", 3))
    assert lvm.free_gib() == 6, "nothing is written yet"
    qemu_io(lvm, "vol-1", "write -P 1 0 64M")
    assert lvm.free_gib() == 5


# -- as its tools tell -------------------------------------------------------

POOL = {
    "lv_name": "pool", "lv_size": str(100 * GIB), "lv_tags": "", "lv_active": "active", "lv_device_open": "1",
    "pool_lv": "", "zero": "1", "data_percent": "25.00", "metadata_percent": "10.00",
    "lv_metadata_size": str(2**30), "chunk_size": "65536",
}  # fmt: skip


class Told(Lvm):
    """A storage whose tools tell of these volumes, and write down what they are told to do."""

    def __init__(self, *volumes: dict[str, str]) -> None:
        super().__init__("vg/pool", "me")
        self.volumes = volumes
        self.done: list[str] = []

    def _lvm(self, command: str, *arguments: str) -> str:
        if command == "lvs":
            return json.dumps({"report": [{"lv": self.volumes}]})
        self.done.append(re.sub(r"(line:)[0-9a-f]{32}", r"\1...", " ".join((command, *arguments))))
        return ""


def volume(name: str, **fields: Any) -> dict[str, str]:
    other = {
        "lv_size": str(GIB),
        "lv_tags": "groundfog:me",
        "pool_lv": "pool",
        "data_percent": "",
        "lv_metadata_size": "",
    }
    return {**POOL, **other, "lv_name": name, "lv_device_open": "0", "chunk_size": "", **fields}


def test_volumes_are_read_as_lvs_tells_of_them() -> None:
    pool, disk = read_volumes(json.dumps({"report": [{"lv": [POOL, volume("me.disk.vol-1", lv_active="")]}]}))
    assert (pool.full, pool.metadata_full, pool.chunk, pool.zeroes) == (25.0, 10.0, 65536, True)
    assert (disk.size, disk.full, disk.active, disk.open, disk.pool) == (GIB, None, False, False, "pool")
    assert disk.tags == {"groundfog:me"}


def test_a_pool_is_full_when_its_metadata_is() -> None:
    assert Told(POOL).free_gib() == 75
    assert Told({**POOL, "metadata_percent": "100.00"}).free_gib() == 0
    assert Told({**POOL, "lv_metadata_size": str(2**21), "metadata_percent": "50.00"}).free_gib() == 1


def test_a_new_disk_is_a_thin_volume_and_a_clone_a_snapshot_that_is_active_and_grows() -> None:
    told = Told(POOL, volume("me.snapshot.snap-1", lv_tags="groundfog.line:abc,groundfog:me"))
    told.ensure_disk(Disk("vol-1", 3))
    told.ensure_disk(Disk("vol-2", 2, "snap-1"))
    told.ensure_snapshot("snap-1", "vol-9")
    assert told.done == [
        "lvcreate --type thin -V 3g --thinpool vg/pool -kn --addtag groundfog:me "
        "--addtag groundfog.line:... -n me.disk.vol-1",
        "lvcreate -s -kn -ay --addtag groundfog:me --addtag groundfog.line:abc -n me.disk.vol-2 vg/me.snapshot.snap-1",
        f"lvextend -L {2 * GIB}b vg/me.disk.vol-2",
    ]


def test_a_pool_that_does_not_zero_takes_no_disk_and_an_encrypted_one_is_refused() -> None:
    with pytest.raises(DriverError, match="zeroes"):
        Told({**POOL, "zero": "0"}).ensure_disk(Disk("vol-1", 1))
    with pytest.raises(Refused, match="encrypt"):
        Told(POOL).ensure_disk(Disk("vol-1", 1, key="secret"))


def test_what_others_have_in_the_pool_or_beside_it_is_not_seen() -> None:
    told = Told(
        POOL, volume("me.disk.vol-1"), volume("me.disk.vol-2", lv_tags=""), volume("other.disk.vol-3"),
        volume("me.disk.vol-4", pool_lv="another"), volume("me.snapshot.snap-1.0123abcd"),
    )  # fmt: skip
    assert told.list_disks() == {"vol-1"} and told.list_snapshots() == {"snap-1"}
    told.remove_snapshot("snap-1")
    assert told.done == ["lvremove -y vg/me.snapshot.snap-1.0123abcd"]

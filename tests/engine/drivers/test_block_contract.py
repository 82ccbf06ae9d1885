"""What every disk backend that reads and writes snapshots block by block must do."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.drivers.base import BLOCK, BlockStorage, Disk, DriverError, Refused
from engine.drivers.qcow2 import Qcow2
from engine.drivers.simulated import Simulated
from tests.engine.drivers.ceph_pools import a_pool
from tests.engine.drivers.test_storage_contract import REAL
from tests.engine.drivers.thin_pools import a_thin_pool

ALL = 2**36
KEY = "0123456789abcdef" * 4
ONE, TWO, THREE = (bytes([n]) * BLOCK for n in (1, 2, 3))


ENCRYPTING = pytest.mark.parametrize("storage", ["simulated", pytest.param("qcow2", marks=REAL)], indirect=True)
OPEN = pytest.mark.parametrize("storage", [pytest.param(name, marks=REAL) for name in ("rbd", "lvm")], indirect=True)


@pytest.fixture(params=["simulated", *(pytest.param(name, marks=REAL) for name in ("qcow2", "rbd", "lvm"))])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStorage]:
    if request.param == "rbd":
        with a_pool(request.getfixturevalue("ceph_cluster")) as pool:
            yield pool.storage
    elif request.param == "lvm":
        with a_thin_pool(request.getfixturevalue("loop_files")) as lvm:
            yield lvm
    else:
        yield Qcow2(tmp_path / "store") if request.param == "qcow2" else Simulated().storages["zone-1"]


def make(
    storage: BlockStorage,
    id: str,
    blocks: dict[int, bytes],
    parent: str | None = None,
    size: int = 1,
    key: str | None = None,
) -> None:
    for number, data in blocks.items():
        storage.write_draft(id, number * BLOCK, data, key)
    while not storage.complete_draft(id, size, parent, key):
        pass


def blocks(
    storage: BlockStorage, id: str, since: str | None = None, first: int = 0, key: str | None = None
) -> list[int]:
    found = []
    for offset, length in storage.snapshot_extents(id, first * BLOCK, ALL, since, key):
        found += range(offset // BLOCK, -(-(offset + length) // BLOCK))
    assert found == sorted(found)
    return list(dict.fromkeys(found))


def read(storage: BlockStorage, id: str, number: int, key: str | None = None) -> bytes:
    return storage.read_snapshot(id, number * BLOCK, BLOCK, key)


def test_what_was_written_is_read_back_from_the_complete_snapshot(storage: BlockStorage) -> None:
    make(storage, "snap-1", {5: ONE, 0: TWO, 2047: THREE})
    assert storage.list_snapshots() == {"snap-1"} and storage.snapshot_size_gib("snap-1") == 1
    assert blocks(storage, "snap-1") == [0, 5, 2047]
    assert blocks(storage, "snap-1", first=1) == [5, 2047]
    assert list(storage.snapshot_extents("snap-1", 6 * BLOCK, 100 * BLOCK)) == []
    assert [read(storage, "snap-1", n) for n in (0, 1, 5, 2047)] == [TWO, bytes(BLOCK), ONE, THREE]
    assert storage.read_snapshot("snap-1", 5 * BLOCK - 2, 4) == b"\0\0\1\1"
    assert storage.read_snapshot("snap-1", 2048 * BLOCK - 2, 4) == b"\3\3\0\0"


def test_a_draft_is_a_snapshot_that_cannot_be_read_yet(storage: BlockStorage) -> None:
    storage.write_draft("snap-1", 0, ONE)
    assert storage.list_snapshots() == {"snap-1"}
    for wrong in (
        lambda: storage.read_snapshot("snap-1", 0, 1),
        lambda: list(storage.snapshot_extents("snap-1", 0, ALL)),
        lambda: storage.snapshot_size_gib("snap-1"),
        lambda: storage.ensure_disk(Disk("vol-1", 1, "snap-1")),
    ):
        with pytest.raises(DriverError):
            wrong()
    storage.remove_snapshot("snap-1")
    assert storage.list_snapshots() == set() and list(storage.draft_digests("snap-1")) == []


def test_a_drafts_sums_are_those_of_the_last_writes(storage: BlockStorage) -> None:
    assert list(storage.draft_digests("snap-1")) == []
    for number, data in ((9, ONE), (3, TWO), (9, THREE), (2000, bytes(BLOCK))):
        storage.write_draft("snap-1", number * BLOCK, data)
    wanted = ((3, TWO), (9, THREE), (2000, bytes(BLOCK)))
    assert list(storage.draft_digests("snap-1")) == [(n * BLOCK, hashlib.sha256(d).digest()) for n, d in wanted]
    make(storage, "snap-1", {})
    assert list(storage.draft_digests("snap-1")) == []
    assert read(storage, "snap-1", 9) == THREE


def test_only_whole_blocks_are_written(storage: BlockStorage) -> None:
    for offset, data in ((0, b"x"), (1, ONE), (0, ONE + ONE)):
        with pytest.raises(Refused):
            storage.write_draft("snap-1", offset, data)
    assert storage.list_snapshots() == set()


def test_a_snapshot_is_written_upon_its_parent(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE, 1: ONE, 2: ONE})
    make(storage, "snap-2", {1: TWO, 2: bytes(BLOCK), 3000: THREE}, parent="snap-1", size=2)
    assert storage.snapshot_size_gib("snap-2") == 2
    assert [read(storage, "snap-2", n) for n in (0, 1, 2, 3000)] == [ONE, TWO, bytes(BLOCK), THREE]
    assert blocks(storage, "snap-2", since="snap-1") == [1, 2, 3000]
    assert blocks(storage, "snap-2", since="snap-1", first=2) == [2, 3000]
    assert blocks(storage, "snap-2", since="snap-2") == []
    storage.remove_snapshot("snap-1")
    assert read(storage, "snap-2", 0) == ONE


def test_snapshots_differ_from_the_last_that_both_were_made_of(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE})
    make(storage, "snap-2", {1: ONE}, parent="snap-1")
    make(storage, "snap-3", {2: ONE}, parent="snap-2")
    make(storage, "snap-4", {3: ONE}, parent="snap-2")
    storage.copy_snapshot("snap-5", "snap-4")
    assert blocks(storage, "snap-3", since="snap-1") == [1, 2]
    assert blocks(storage, "snap-3", since="snap-4") == blocks(storage, "snap-3", since="snap-5") == [2, 3]
    assert blocks(storage, "snap-5", since="snap-4") == []
    assert blocks(storage, "snap-1", since="snap-3")[0] == 1


def test_a_disks_snapshots_are_related_and_others_are_not(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE})
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.ensure_snapshot("snap-2", "vol-1")
    storage.ensure_snapshot("snap-3", "vol-1")
    assert blocks(storage, "snap-3") == [0] and read(storage, "snap-3", 0) == ONE
    assert blocks(storage, "snap-3", since="snap-2") == blocks(storage, "snap-3", since="snap-1") == []
    make(storage, "snap-4", {0: ONE})
    with pytest.raises(Refused):
        blocks(storage, "snap-4", since="snap-1")


def test_a_snapshot_without_blocks_is_empty_or_as_its_parent(storage: BlockStorage) -> None:
    make(storage, "snap-1", {})
    assert blocks(storage, "snap-1") == [] and read(storage, "snap-1", 0) == bytes(BLOCK)
    make(storage, "snap-2", {0: ONE})
    make(storage, "snap-3", {}, parent="snap-2", size=3)
    assert blocks(storage, "snap-3") == [0] and storage.snapshot_size_gib("snap-3") == 3


def test_completing_again_changes_nothing(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE})
    make(storage, "snap-1", {}, parent="snap-0")
    assert read(storage, "snap-1", 0) == ONE
    with pytest.raises(DriverError) as caught:
        make(storage, "snap-2", {0: ONE}, parent="snap-0")
    assert not isinstance(caught.value, Refused)


@ENCRYPTING
def test_encrypted_snapshots_are_written_compared_and_read_with_their_key(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE, 5: TWO}, key=KEY)
    storage.write_draft("snap-2", 5 * BLOCK, THREE, KEY)
    assert list(storage.draft_digests("snap-2", KEY)) == [(5 * BLOCK, hashlib.sha256(THREE).digest())]
    make(storage, "snap-2", {}, parent="snap-1", size=2, key=KEY)
    storage.ensure_disk(Disk("vol-1", 2, "snap-2", KEY))
    storage.ensure_snapshot("snap-3", "vol-1", KEY)
    assert [read(storage, "snap-3", n, KEY) for n in (0, 1, 5)] == [ONE, bytes(BLOCK), THREE]
    assert blocks(storage, "snap-3", key=KEY) == [0, 5]
    assert blocks(storage, "snap-3", since="snap-1", key=KEY) == [5]
    for wrong in (lambda: read(storage, "snap-3", 0, KEY[::-1]), lambda: read(storage, "snap-3", 0)):
        with pytest.raises(DriverError):
            wrong()
    with pytest.raises(DriverError):
        blocks(storage, "snap-3")


@OPEN
def test_a_store_that_does_not_encrypt_takes_no_key(storage: BlockStorage) -> None:
    with pytest.raises(Refused, match="encrypt"):
        storage.write_draft("snap-1", 0, ONE, KEY)
    with pytest.raises(Refused, match="encrypt"):
        storage.complete_draft("snap-1", 1, None, KEY)
    assert storage.list_snapshots() == set()


@ENCRYPTING
def test_only_both_of_a_snapshot_and_its_parent_are_encrypted(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE}, key=KEY)
    make(storage, "snap-2", {0: ONE})
    for parent, key in (("snap-1", None), ("snap-2", KEY)):
        with pytest.raises(Refused):
            make(storage, "snap-3", {}, parent=parent, key=key)
    with pytest.raises(Refused):
        blocks(storage, "snap-1", since="snap-2", key=KEY)


def test_a_disk_is_made_of_what_was_written(storage: BlockStorage) -> None:
    make(storage, "snap-1", {0: ONE})
    storage.ensure_disk(Disk("vol-1", 2, "snap-1"))
    storage.remove_snapshot("snap-1")
    storage.ensure_snapshot("snap-2", "vol-1")
    assert read(storage, "snap-2", 0) == ONE
    with pytest.raises(DriverError, match="snap-1"):
        read(storage, "snap-1", 0)

"""Snapshots in qcow2 files, read and written block by block."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from engine.drivers import qcow2_drafts, qemu_nbd
from engine.drivers.base import BLOCK, Disk, DriverError, Refused
from engine.drivers.nbd import Nbd
from engine.drivers.qcow2 import Qcow2
from tests.engine.drivers.images import write_guest
from tests.engine.drivers.test_block_contract import KEY, ONE, THREE, TWO, blocks, make, read
from tests.engine.drivers.test_storage_contract import needs_qemu_img

pytestmark = [pytest.mark.acceptance, needs_qemu_img]


@pytest.fixture
def storage(tmp_path: Path) -> Qcow2:
    return Qcow2(tmp_path)


def write(storage: Qcow2, disk: str, *commands: str) -> None:
    """Write into a disk as a guest would."""
    written = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", *written, storage.locate_disk(disk).name], check=True, capture_output=True)


def test_what_a_guest_wrote_between_two_snapshots_has_changed(storage: Qcow2) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    write(storage, "vol-1", "write -P 1 0 1M", "write -P 1 100M 64k")
    storage.ensure_snapshot("snap-1", "vol-1")
    write(storage, "vol-1", "write -P 2 512k 4k", "write -z 100M 64k", "write -P 3 1023M 1M")
    storage.ensure_snapshot("snap-2", "vol-1")
    assert blocks(storage, "snap-1") == [0, 1, 200] and blocks(storage, "snap-2") == [0, 1, 2046, 2047]
    assert blocks(storage, "snap-2", since="snap-1") == [1, 200, 2046, 2047]
    assert read(storage, "snap-2", 1) == b"\2" * 4096 + b"\1" * (BLOCK - 4096)
    assert read(storage, "snap-1", 1) == ONE and read(storage, "snap-2", 200) == bytes(BLOCK)
    assert read(storage, "snap-2", 2047) == THREE


def test_an_image_is_read_to_its_end_and_beyond(storage: Qcow2, tmp_path: Path) -> None:
    image = write_guest(tmp_path / "guest.raw")
    storage.import_snapshot("snap-1", image)
    data = image.read_bytes()
    for number in blocks(storage, "snap-1"):
        assert read(storage, "snap-1", number) == data[number * BLOCK :][:BLOCK].ljust(BLOCK, b"\0")
    assert read(storage, "snap-1", 2000) == bytes(BLOCK)


def test_a_complete_draft_is_a_sound_layer_and_leaves_nothing(storage: Qcow2, tmp_path: Path) -> None:
    make(storage, "snap-1", {0: ONE, 7: TWO})
    make(storage, "snap-2", {1: THREE}, parent="snap-1")
    assert sorted(p.name for p in (tmp_path / "snapshots").iterdir()) == ["snap-1.qcow2", "snap-2.qcow2"]
    for file in (tmp_path / "snapshots").iterdir():
        assert file.stat().st_mode & 0o777 == 0o440
        subprocess.run(["qemu-img", "check", "-q", str(file)], check=True)
    storage.remove_snapshot("snap-2")
    storage.remove_snapshot("snap-1")
    assert [p.name for room in ("snapshots", "sources") for p in (tmp_path / room).glob("[!.]*")] == []


def test_nothing_of_an_encrypted_draft_lies_open_on_the_host(storage: Qcow2, tmp_path: Path) -> None:
    marked, digest = b"Groundfog".ljust(BLOCK, b"!"), hashlib.sha256(b"Groundfog".ljust(BLOCK, b"!")).digest()

    def shown() -> list[str]:
        files = {path.name: path.read_bytes() for path in (tmp_path / "snapshots").iterdir()}
        return [name for name, data in files.items() if any(open in data for open in (marked[:9], b"!!!!", digest))]

    for id in ("snap-1", "snap-2"):
        for number in (0, 1):
            storage.write_draft(id, number * BLOCK, marked, KEY)
    drafts = [(tmp_path / f"snapshots/{id}.draft").read_bytes() for id in ("snap-1", "snap-2")]
    pieces = [draft[at : at + BLOCK] for draft in drafts for at in (0, BLOCK)]
    assert len(set(pieces)) == 4 and shown() == []  # equal blocks are not told by what lies there
    make(storage, "snap-1", {}, key=KEY)
    assert read(storage, "snap-1", 1, KEY) == marked and shown() == []
    with pytest.raises(Refused, match="was lost"):
        storage.complete_draft("snap-2", 1, None, KEY[::-1])


def test_no_process_shows_the_key_while_it_reads(storage: Qcow2) -> None:
    make(storage, "snap-1", {0: ONE}, key=KEY)
    assert read(storage, "snap-1", 0, KEY) == ONE
    ((served, _),) = storage._readers._open.values()
    process = Path(f"/proc/{served._process.pid}")
    assert all(KEY.encode() not in (process / name).read_bytes() for name in ("cmdline", "environ"))


def test_a_long_draft_is_completed_by_and_by(storage: Qcow2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qcow2_drafts, "_STEP", 0.0)
    for number in (0, 1, 2):
        storage.write_draft("snap-1", number * BLOCK, ONE)
    outcomes = [storage.complete_draft("snap-1", 1, None) for _ in range(4)]
    assert outcomes == [False, False, False, True]
    assert blocks(storage, "snap-1") == [0, 1, 2] and read(storage, "snap-1", 2) == ONE


def test_a_draft_that_lost_something_is_refused(storage: Qcow2, tmp_path: Path) -> None:
    for number in (0, 1):
        storage.write_draft("snap-1", number * BLOCK, ONE)
    with (tmp_path / "snapshots" / "snap-1.draft").open("r+b") as draft:
        draft.truncate(BLOCK + 100)
    with pytest.raises(Refused, match=f"{BLOCK} was lost"):
        storage.complete_draft("snap-1", 1, None)
    storage.remove_snapshot("snap-1")
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_a_removed_half_made_layer_lets_go_of_its_parent(
    storage: Qcow2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qcow2_drafts, "_STEP", 0.0)
    make(storage, "snap-1", {0: ONE})
    storage.write_draft("snap-2", 0, TWO)
    storage.write_draft("snap-2", BLOCK, TWO)
    assert not storage.complete_draft("snap-2", 1, "snap-1")
    storage.remove_snapshot("snap-1")
    storage.remove_snapshot("snap-2")
    assert [p.name for room in ("snapshots", "sources") for p in (tmp_path / room).glob("[!.]*")] == []


def test_readers_are_few_end_when_idle_and_see_a_file_that_is_new(
    storage: Qcow2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu_nbd.Readers, "MOST", 2)
    for number in range(3):
        make(storage, f"snap-{number}", {0: bytes([number + 1]) * BLOCK})
    for _ in range(2):
        assert [read(storage, f"snap-{n}", 0)[0] for n in range(3)] == [1, 2, 3]
    readers = storage._readers
    processes = [served._process for served, _ in readers._open.values()]
    assert len(processes) == 2 and all(process.poll() is None for process in processes)
    storage.remove_snapshot("snap-2")
    make(storage, "snap-2", {0: THREE, 1: ONE})
    assert read(storage, "snap-2", 1) == ONE
    monkeypatch.setattr(qemu_nbd.Readers, "IDLE", -1.0)
    readers._close_idle()
    assert readers._open == {} and all(process.poll() is not None for process in processes)


def test_a_reader_that_was_killed_is_replaced(storage: Qcow2) -> None:
    make(storage, "snap-1", {0: ONE})
    assert read(storage, "snap-1", 0) == ONE
    ((served, _),) = storage._readers._open.values()
    served._process.kill()
    served._process.wait()
    with pytest.raises(DriverError):
        read(storage, "snap-1", 0)
    assert read(storage, "snap-1", 0) == ONE


def test_a_file_that_is_no_layer_cannot_be_opened(storage: Qcow2, tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "snap-1.qcow2").write_bytes(b"junk" * 100)
    for look in (lambda: read(storage, "snap-1", 0), lambda: blocks(storage, "snap-1")):
        with pytest.raises(DriverError):
            look()


def test_one_writes_a_layer_at_a_time(storage: Qcow2, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    file = Path(storage.locate_disk("vol-1").name)
    with qemu_nbd.Served(file, writable=True) as disk:
        disk.write(0, ONE)
        with pytest.raises(DriverError, match="lock"):
            qemu_nbd.Served(file, writable=True)
        with pytest.raises(DriverError, match="error"):
            disk.read(2**40, 1)
    with qemu_nbd.Served(file) as disk:
        assert isinstance(disk._disk, Nbd) and disk.read(0, 3) == b"\1\1\1"
        with pytest.raises(DriverError, match="error"):
            disk.write(0, ONE)

"""What the qcow2 backend promises beyond the contract: whole files, safe imports, modes."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from engine.drivers import qcow2, qcow2_encryption, qcow2_layers
from engine.drivers.base import Disk, DriverError, Refused
from engine.drivers.disk_images import ImageFile
from engine.drivers.qcow2 import Qcow2
from tests.engine.drivers.images import SIGN_OF_LIFE, write_guest

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed"),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def storage(directory: Path, tmp_path: Path) -> Qcow2:
    storage = Qcow2(directory)
    storage.import_snapshot("snap-1", write_guest(tmp_path / "guest.raw"))
    return storage


def files(directory: Path) -> set[str]:
    """Return all files but locks, those in sources/ without what makes their names unique."""
    return {
        re.sub(r"^(sources/[^.]+)\.[0-9a-f]{32}", r"\1", str(path.relative_to(directory)))
        for path in directory.rglob("[!.]*")
        if path.is_file()
    }


def describe(path: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        subprocess.run(["qemu-img", "info", "--output=json", path], check=True, capture_output=True).stdout
    )
    return found


def convert(image: Path, kind: str, *options: str) -> Path:
    target = image.with_suffix(f".{kind}")
    subprocess.run(["qemu-img", "convert", "-O", kind, *options, str(image), str(target)], check=True)
    return target


def test_a_clone_reads_what_its_source_holds_after_the_snapshot_is_gone(storage: Qcow2, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 2, "snap-1"))
    storage.remove_snapshot("snap-1")
    raw = tmp_path / "out.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", storage.locate_disk("vol-1").name, str(raw)], check=True)
    with raw.open("rb") as stream:
        assert SIGN_OF_LIFE in stream.read(512)
    assert raw.stat().st_size == 2 * 2**30


def test_a_clone_is_thin_and_names_its_source_absolutely_and_with_its_format(storage: Qcow2, directory: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    about = describe(storage.locate_disk("vol-1").name)
    (source,) = (directory / "sources").glob("vol-1.*.qcow2")
    assert about["backing-filename"] == str(source)
    assert source.samefile(directory / "snapshots/snap-1.qcow2")
    assert about["backing-filename-format"] == "qcow2"
    assert about["virtual-size"] == 2**30


def test_the_data_of_a_removed_snapshot_goes_with_its_last_clone(storage: Qcow2, directory: Path) -> None:
    for id in ("vol-1", "vol-2"):
        storage.ensure_disk(Disk(id, 1, "snap-1"))
    storage.remove_snapshot("snap-1")
    storage.remove_disk("vol-1")
    assert files(directory) == {"disks/vol-2.qcow2", "sources/vol-2.qcow2"}
    storage.remove_disk("vol-2")
    assert files(directory) == set()


def test_a_crash_while_cloning_leaves_no_disk_and_the_next_try_works(
    storage: Qcow2, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*command: str, **_: object) -> str:
        Path(command[-2]).write_bytes(b"half a disk")
        raise KeyboardInterrupt

    monkeypatch.setattr(qcow2_encryption, "run", die)
    monkeypatch.setattr(qcow2_layers, "_remove", lambda path: None)  # a killed process tidies nothing
    with pytest.raises(KeyboardInterrupt):
        storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    monkeypatch.undo()
    with pytest.raises(DriverError):
        storage.locate_disk("vol-1")
    assert len(files(directory)) > 1
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    assert files(directory) == {"disks/vol-1.qcow2", "sources/vol-1.qcow2", "snapshots/snap-1.qcow2"}


@pytest.mark.parametrize("left", ["disks/vol-9.abc.partial", "disks/vol-9/1.abc.partial", "disks/vol-9/1.qcow2"])
def test_what_a_crash_left_of_a_disk_is_listed_and_goes_with_it(storage: Qcow2, directory: Path, left: str) -> None:
    before = files(directory)
    (directory / left).parent.mkdir(exist_ok=True)
    (directory / left).write_bytes(b"half")
    assert storage.list_disks() == {"vol-9"}
    storage.remove_disk("vol-9")
    assert files(directory) == before
    assert storage.list_disks() == set()


def test_what_a_crash_left_of_an_import_is_listed_and_goes_with_the_snapshot(storage: Qcow2, directory: Path) -> None:
    (directory / "snapshots/snap-9.abc.partial").write_bytes(b"half")
    assert storage.list_snapshots() == {"snap-1", "snap-9"}
    storage.remove_snapshot("snap-9")
    assert files(directory) == {"snapshots/snap-1.qcow2"}


def test_a_refused_clone_leaves_nothing(storage: Qcow2, directory: Path, tmp_path: Path) -> None:
    image = tmp_path / "big.raw"
    image.touch()
    os.truncate(image, 2 * 2**30)
    storage.import_snapshot("snap-2", image)
    before = files(directory)
    with pytest.raises(Refused):
        storage.ensure_disk(Disk("vol-1", 1, "snap-2"))
    assert files(directory) == before


def test_a_qcow2_image_that_was_cut_short_is_refused(storage: Qcow2, tmp_path: Path) -> None:
    cut = convert(write_guest(tmp_path / "cut.raw"), "qcow2")
    os.truncate(cut, cut.stat().st_size - 65536)
    with pytest.raises(Refused, match="cannot import"):
        storage.import_snapshot("snap-2", cut)


def test_a_failed_import_leaves_nothing(
    storage: Qcow2, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, before = write_guest(tmp_path / "guest.img"), files(directory)

    def fail(*command: str, limit: float | None = None) -> str:
        raise DriverError("no space left")

    monkeypatch.setattr(qcow2, "check_image", lambda file: ImageFile("raw", 2**20))
    monkeypatch.setattr(qcow2, "run", fail)
    with pytest.raises(DriverError, match="no space"):
        storage.import_snapshot("snap-2", image)
    assert files(directory) == before


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi"])
def test_every_usual_format_can_be_imported(kind: str, storage: Qcow2, tmp_path: Path) -> None:
    image = write_guest(tmp_path / "guest.img")
    assert storage.import_snapshot("snap-2", convert(image, kind)) == 1
    storage.ensure_disk(Disk("vol-2", 1, "snap-2"))


def test_a_stream_optimized_vmdk_can_be_imported(storage: Qcow2, tmp_path: Path) -> None:
    image = convert(write_guest(tmp_path / "guest.img"), "vmdk", "-o", "subformat=streamOptimized")
    assert storage.import_snapshot("snap-2", image) == 1


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_a_vmdk_that_names_its_extents_is_refused(subformat: str, storage: Qcow2, tmp_path: Path) -> None:
    image = convert(write_guest(tmp_path / "guest.img"), "vmdk", "-o", f"subformat={subformat}")
    with pytest.raises(Refused, match="names other files"):
        storage.import_snapshot("snap-2", image)


def test_a_vmdk_descriptor_hidden_in_a_sparse_file_is_refused(storage: Qcow2, tmp_path: Path) -> None:
    image = tmp_path / "sly.vmdk"
    image.write_bytes((b"KDMV" + bytes(508)).ljust(4096, b"\0"))
    with pytest.raises(Refused, match="names other files"):
        storage.import_snapshot("snap-2", image)


@pytest.mark.parametrize("kind", ["qed", "parallels"])
def test_a_format_that_nobody_uses_is_refused(kind: str, storage: Qcow2, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="its format is"):
        storage.import_snapshot("snap-2", convert(write_guest(tmp_path / "guest.img"), kind))


def test_an_image_of_more_than_the_largest_size_is_refused(storage: Qcow2, tmp_path: Path) -> None:
    huge = tmp_path / "huge.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(huge), "65T"], check=True)
    with pytest.raises(Refused, match="virtual size"):
        storage.import_snapshot("snap-2", huge)


@pytest.mark.parametrize("id", ["../vol-1", "a/b", "", ".hidden", "-f"])
def test_an_id_that_is_no_file_name_is_refused(id: str, storage: Qcow2) -> None:
    with pytest.raises(Refused):
        storage.ensure_disk(Disk(id, 1))


def test_qemus_user_may_pass_the_directories_others_read_no_file_and_nobody_writes_a_snapshot(
    storage: Qcow2, directory: Path
) -> None:
    storage.ensure_disk(Disk("vol-1", 1, "snap-1"))
    storage.ensure_disk(Disk("vol-2", 1))
    storage.ensure_snapshot("snap-2", "vol-2")
    for path in (directory, *directory.rglob("*")):
        if path.is_dir():
            expected = 0o711
        elif path.name.startswith(".") or str(path) in [storage.locate_disk(id).name for id in ("vol-1", "vol-2")]:
            expected = 0o640
        else:
            expected = 0o440
        assert stat.S_IMODE(path.stat().st_mode) == expected, path

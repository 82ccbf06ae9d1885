"""What encrypted disks hold and hide: in their files, below them, in snapshots, and under real guests."""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from engine.drivers.base import AttachedDisk, Disk, DriverError, Machine, Refused
from engine.drivers.libvirt_xml import secret_uuid
from engine.drivers.qcow2 import Qcow2
from engine.drivers.qcow2_header import read_header
from tests.engine.drivers.hosts import Host, a_host, wait_until
from tests.engine.drivers.images import write_writer, written_blocks
from tests.engine.drivers.test_disk_moves import located

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("qemu-io"), reason="qemu-utils is not installed"),
]

KEY = secrets.token_hex(32)
MARKER = b"Groundfog"
"""What no file may show; qemu-io writes it again and again."""
LARGEST = 2**27


@pytest.fixture
def storage(tmp_path: Path) -> Qcow2:
    return Qcow2(tmp_path / "store")


def opened(storage: Qcow2, id: str, key: str) -> str:
    """Return what QEMU calls a disk with all the files below it, opened by the key that it is given as ``key``."""
    where = storage.locate_disk(id)
    node: dict[str, object] | None = None
    for path in (*reversed(where.below), where.name):
        file = {"driver": "file", "filename": path}
        node = {"driver": "qcow2", "file": file, "encrypt": {"key-secret": "key"}, "backing": node}
    return f"json:{json.dumps(node)}"


def qemu_io(storage: Qcow2, id: str, command: str, key: str = KEY) -> str:
    tool = ["qemu-io", "--object", "secret,id=key,file=/dev/stdin", "-c", command, opened(storage, id, key)]
    done = subprocess.run(tool, input=key, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def write_marker(storage: Qcow2, id: str, tmp_path: Path, at: str = "0") -> None:
    pattern = tmp_path / "pattern"
    pattern.write_bytes(MARKER)
    assert "wrote" in qemu_io(storage, id, f"write -s {pattern} {at} 1M")


def reads(storage: Qcow2, id: str, at: str = "0", key: str = KEY) -> bool:
    """Say whether the disk holds the marker there, read with the key."""
    return MARKER.decode() in "".join(
        line.rpartition("  ")[2] for line in qemu_io(storage, id, f"read -v {at} 512", key).splitlines()
    )


def shown(storage: Qcow2) -> list[str]:
    """Return the files of the store that show the marker, or the key."""
    files = [path for path in storage._directory.rglob("*") if path.is_file()]
    return [str(path) for path in files if MARKER in (data := path.read_bytes()) or KEY.encode() in data]


def test_a_disk_is_read_with_its_key_alone_and_no_file_shows_what_it_holds(storage: Qcow2, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 1, key=KEY))
    write_marker(storage, "vol-1", tmp_path)
    assert reads(storage, "vol-1")
    assert shown(storage) == []
    assert "Invalid password" in qemu_io(storage, "vol-1", "read 0 512", key="another")
    without = ["qemu-io", "-f", "qcow2", "-c", "read 0 512", storage.locate_disk("vol-1").name]
    done = subprocess.run(without, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "encrypt.key-secret" in done.stderr


def test_a_snapshot_and_what_is_made_of_it_have_the_key_of_the_disk(storage: Qcow2, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 1, key=KEY))
    write_marker(storage, "vol-1", tmp_path)
    storage.ensure_snapshot("snap-1", "vol-1", KEY)
    write_marker(storage, "vol-1", tmp_path, "1M")
    storage.copy_snapshot("snap-2", "snap-1", KEY)
    storage.ensure_disk(Disk("vol-2", 2, "snap-2", KEY))
    write_marker(storage, "vol-2", tmp_path, "1500M")
    storage.remove_snapshot("snap-1")
    storage.remove_snapshot("snap-2")
    assert [reads(storage, "vol-1", at) for at in ("0", "1M")] == [True, True]
    assert [reads(storage, "vol-2", at) for at in ("0", "1M", "1500M")] == [True, False, True]
    assert shown(storage) == []
    assert all(read_header(Path(path)).encrypted for path in storage.locate_disk("vol-2").below)


def test_an_encrypted_disk_grows(storage: Qcow2, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-1", 1, key=KEY))
    storage.ensure_snapshot("snap-1", "vol-1", KEY)
    storage.ensure_disk(Disk("vol-1", 2, key=KEY))
    write_marker(storage, "vol-1", tmp_path, "1500M")
    assert reads(storage, "vol-1", "1500M")
    with pytest.raises(DriverError):
        storage.ensure_disk(Disk("vol-1", 3, key="another"))


def test_what_lies_open_is_written_anew_where_it_is_to_be_encrypted(storage: Qcow2, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(MARKER * 1000 + bytes(2**20))
    storage.import_snapshot("snap-open", image)
    storage.ensure_disk(Disk("vol-1", 3, "snap-open", KEY))
    storage.copy_snapshot("snap-copy", "snap-open", KEY)
    storage.ensure_disk(Disk("vol-2", 1, "snap-copy", KEY))
    storage.remove_snapshot("snap-open")
    assert reads(storage, "vol-1")
    assert reads(storage, "vol-2")
    assert read_header(Path(storage.locate_disk("vol-1").name)).virtual_bytes == 3 * 2**30
    assert storage.locate_disk("vol-1").below == ()
    assert shown(storage) == []
    with pytest.raises(Refused, match="GiB"):
        storage.ensure_disk(Disk("vol-3", 0, "snap-copy", KEY))


# -- guests --------------------------------------------------------------------


class Guest:
    """A machine whose guest writes numbered blocks to its encrypted boot disk."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.directory = host, directory
        id = f"i-crypt{uuid4().hex[:8]}"
        host.made.append(id)
        self.boot = self.disk(f"vol-{id}", "vda", "snap-writes")
        self.machine = Machine(id, str(uuid4()), 1, 32, (self.boot,), ())

    def disk(self, id: str, device: str, source: str | None = None) -> AttachedDisk:
        self.host.storage.ensure_disk(Disk(id, 1, source, KEY))
        where = self.host.storage.locate_disk(id)
        return AttachedDisk(id, device, where, id.replace("-", ""), boot=device == "vda", key=KEY)

    def written(self) -> int:
        log = self.directory / f"consoles/{self.machine.id}.log"
        return log.read_bytes().count(b".") if log.exists() else 0

    def wait_for_more(self, blocks: int = 50) -> None:
        goal = self.written() + blocks
        wait_until(lambda: self.written() >= goal, "the guest wrote more")

    def snapshot(self, id: str) -> None:
        for number, disk in enumerate(self.machine.disks):
            self.host.storage.ensure_snapshot(f"{id}-{number}", disk.disk_id, KEY)
        self.machine = located(self.host, self.machine)
        self.host.compute.move_disks(self.machine)

    def blocks(self, disk_id: str) -> int:
        assert isinstance(self.host.storage, Qcow2)
        raw, name = self.directory / "read.raw", opened(self.host.storage, disk_id, KEY)
        command = ["qemu-img", "convert", "-O", "raw", "--object", "secret,id=key,file=/dev/stdin", name, str(raw)]
        subprocess.run(command, input=KEY, text=True, check=True)
        with raw.open("rb") as stream:
            return written_blocks(stream.read(LARGEST))


@pytest.fixture
def guest(prepared_host: None, tmp_path: Path) -> Iterator[Guest]:
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    with a_host("libvirt") as host:
        host.storage.import_snapshot("snap-writes", write_writer(tmp_path / "writes.raw"))
        assert isinstance(host.storage, Qcow2)
        guest = Guest(host, host.storage._directory.parent)
        host.compute.ensure_machine(guest.machine)
        guest.wait_for_more()
        yield guest


def secret_is_known(disk: AttachedDisk) -> bool:
    import libvirt

    connection = libvirt.open("qemu:///system")
    try:
        return secret_uuid(disk) in connection.listSecrets()
    finally:
        connection.close()


def test_a_guest_boots_from_an_encrypted_disk_and_writes_on_after_live_snapshots(guest: Guest) -> None:
    for number in range(2):
        before = guest.written()
        guest.snapshot(f"snap-{number}")
        guest.wait_for_more()
        guest.host.storage.ensure_disk(Disk(f"vol-{number}", 1, f"snap-{number}-0", KEY))
        assert guest.blocks(f"vol-{number}") >= before
    guest.host.compute.stop_machine(guest.machine.id, force=True)
    assert guest.blocks(guest.boot.disk_id) >= guest.written()
    guest.host.compute.ensure_machine(guest.machine)  # from all its files; the guest begins with its first block again
    guest.wait_for_more()
    assert secret_is_known(guest.boot)
    guest.host.compute.remove_machine(guest.machine.id)
    assert not secret_is_known(guest.boot)


def test_a_guest_goes_on_while_the_layers_of_its_disk_are_merged(guest: Guest) -> None:
    storage = guest.host.storage
    for number in range(4):
        guest.snapshot(f"snap-{number}")
        guest.wait_for_more(10)
    for number in (0, 1, 2):
        storage.remove_snapshot(f"snap-{number}-0")
    before = len(storage.locate_disk(guest.boot.disk_id).below)
    storage.compact(guest.boot.disk_id, 1, KEY)
    assert len(storage.locate_disk(guest.boot.disk_id).below) < before
    guest.wait_for_more()
    guest.snapshot("snap-later")
    guest.wait_for_more()
    guest.host.compute.stop_machine(guest.machine.id, force=True)
    assert guest.blocks(guest.boot.disk_id) >= guest.written()
    guest.machine = located(guest.host, guest.machine)
    guest.host.compute.ensure_machine(guest.machine)
    guest.wait_for_more()
    storage.compact(guest.boot.disk_id, 1, KEY)
    guest.wait_for_more()


def test_an_encrypted_disk_is_plugged_written_moved_grown_and_unplugged(guest: Guest) -> None:
    more = guest.disk("vol-more", "vdb")
    plugged = replace(guest.machine, disks=(guest.boot, more))
    assert guest.host.compute.ensure_devices(plugged)
    guest.machine = plugged
    _write(guest, "write -P 7 0 1M")
    guest.snapshot("snap")
    _write(guest, "write -P 8 1M 1M")
    guest.host.compute.resize_disk(guest.machine.id, guest.machine.disks[1], 2)
    _write(guest, "write -P 9 1500M 1M")
    guest.wait_for_more()
    guest.host.compute.stop_machine(guest.machine.id, force=True)
    assert isinstance(guest.host.storage, Qcow2)
    for pattern, at in ((7, "0"), (8, "1M"), (9, "1500M")):
        answer = qemu_io(guest.host.storage, more.disk_id, f"read -P {pattern} {at} 1M")
        assert "read 1048576" in answer
        assert "failed" not in answer
    guest.host.compute.ensure_machine(located(guest.host, guest.machine))
    guest.wait_for_more()


def _write(guest: Guest, command: str) -> None:
    """Write to the second disk as QEMU does for its guest."""
    import libvirt
    import libvirt_qemu

    connection = libvirt.open("qemu:///system")
    domain = connection.lookupByName(guest.machine.id)
    told = f'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "{command}"'
    libvirt_qemu.qemuMonitorCommand(domain, told, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    time.sleep(0.2)
    connection.close()

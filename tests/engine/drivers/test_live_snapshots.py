"""What snapshots hold of a disk that a real guest writes all the time, and what is left when something dies then."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from engine.drivers.base import AttachedDisk, Disk, DriverError, Machine
from tests.engine.drivers.hosts import Host, a_host, wait_until
from tests.engine.drivers.images import FIRST_BLOCK, number_in_bytes, write_writer, written_blocks
from tests.engine.drivers.test_disk_moves import located

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed")

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]


LARGEST = 2**27
"""More bytes than the guest writes in any of these tests."""


class Writer:
    """A machine whose guest writes numbered blocks to its disk."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.directory = host, directory
        self.store = Path(host.storage.locate_disk(self._disk("vol-first").disk_id).name).parents[1]
        id = f"i-writes{uuid4().hex[:8]}"
        host.made.append(id)
        self.machine = Machine(id, str(uuid4()), 1, 32, (self._disk(f"vol-{id}"),), ())

    def _disk(self, id: str) -> AttachedDisk:
        self.host.storage.ensure_disk(Disk(id, 1, "snap-writes"))
        return AttachedDisk(id, "vda", self.host.storage.locate_disk(id), "vol0", boot=True)

    def start(self) -> None:
        self.host.compute.ensure_machine(located(self.host, self.machine))
        self.wait_for_more()

    def acknowledged(self) -> int:
        """Return how many blocks the guest has been told are on the disk, since it started for the first time."""
        log = self.store.parent / f"consoles/{self.machine.id}.log"
        return log.read_bytes().count(b".")

    def wait_for_more(self, blocks: int = 50) -> None:
        goal = self.acknowledged() + blocks
        wait_until(lambda: self.acknowledged() >= goal, "the guest wrote more")

    def freeze(self, snapshot: str) -> None:
        self.host.storage.ensure_snapshot(snapshot, self.machine.disks[0].disk_id)

    def move(self) -> None:
        self.host.compute.move_disks(located(self.host, self.machine))

    def kill(self) -> None:
        os.kill(int(Path(f"/run/libvirt/qemu/{self.machine.id}.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: self.host.compute.machine_state(self.machine.id) == "stopped", "libvirt saw it")

    def blocks_of_snapshot(self, id: str) -> int:
        return written_blocks(self.read_snapshot(id))

    def read_snapshot(self, id: str) -> bytes:
        """Clone it, as a user would, and read."""
        self.host.storage.ensure_disk(Disk(f"vol-{id}", 1, id))
        return self._read(f"vol-{id}")

    def blocks(self) -> int:
        return written_blocks(self._read(self.machine.disks[0].disk_id))

    def _read(self, disk_id: str) -> bytes:
        raw, path = self.directory / "read.raw", self.host.storage.locate_disk(disk_id).name
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, str(raw)], check=True)
        with raw.open("rb") as stream:
            return stream.read(LARGEST)

    def plug(self, device: str, serial: str) -> AttachedDisk:
        """Plug an empty disk in."""
        disk = Disk(f"vol-{device}", 1)
        self.host.storage.ensure_disk(disk)
        plugged = AttachedDisk(disk.id, device, self.host.storage.locate_disk(disk.id), serial)
        self.machine = replace(self.machine, disks=(*self.machine.disks, plugged))
        assert self.host.compute.ensure_devices(located(self.host, self.machine))
        return plugged

    def check(self) -> None:
        """Check all files; what a killed QEMU leaves may be clusters that are lost, which only wastes space (3)."""
        for path in self.store.rglob("*.qcow2"):
            done = subprocess.run(["qemu-img", "check", "-q", "-U", str(path)], check=False, capture_output=True)
            assert done.returncode in (0, 3), f"{path}: {done.stdout!r} {done.stderr!r}"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with a_host("libvirt") as host:
        host.storage.import_snapshot("snap-writes", write_writer(tmp_path / "writes.raw"))
        writer = Writer(host, tmp_path)
        writer.start()
        yield writer


def test_each_snapshot_holds_the_first_blocks_up_to_its_moment_and_no_acknowledged_one_is_lost(writer: Writer) -> None:
    moments = []
    for number in range(4):
        writer.freeze(f"snap-{number}")
        writer.wait_for_more()
        before = writer.acknowledged()
        writer.move()
        writer.wait_for_more()
        moments.append((before, writer.blocks_of_snapshot(f"snap-{number}")))
    assert all(held >= acknowledged for acknowledged, held in moments)
    assert moments == sorted(moments)
    writer.check()
    writer.kill()
    assert writer.blocks() >= writer.acknowledged()
    writer.check()
    writer.start()
    writer.check()


def test_layers_are_merged_beside_a_guest_but_for_the_one_that_it_writes_still(writer: Writer) -> None:
    storage, disk = writer.host.storage, writer.machine.disks[0].disk_id
    for number in range(3):
        writer.freeze(f"snap-{number}")
        writer.move()
        writer.wait_for_more()
    writer.freeze("snap-3")  # until it is moved, the guest writes below its disk's own layer
    for number in range(4):
        storage.remove_snapshot(f"snap-{number}")
    with pytest.raises(DriverError, match="lock"):
        storage.compact(disk, 1)
    writer.wait_for_more()
    writer.move()
    writer.wait_for_more()
    before = len(list(writer.store.rglob("*.qcow2")))
    storage.compact(disk, 1)
    assert len(list(writer.store.rglob("*.qcow2"))) < before
    writer.wait_for_more()
    writer.freeze("snap-4")
    writer.move()
    writer.wait_for_more()
    assert writer.blocks_of_snapshot("snap-4")
    writer.check()
    writer.kill()
    assert writer.blocks() >= writer.acknowledged()
    writer.start()
    writer.check()


def test_a_guest_that_dies_between_freeze_and_move_goes_on_where_it_was(writer: Writer) -> None:
    writer.freeze("snap-1")
    writer.wait_for_more()
    writer.kill()
    acknowledged = writer.acknowledged()
    assert writer.blocks() >= acknowledged
    writer.move()
    assert writer.blocks_of_snapshot("snap-1") >= acknowledged
    writer.start()
    writer.move()
    writer.freeze("snap-2")
    writer.move()
    writer.wait_for_more()
    writer.check()


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 15, 20, 30])
def test_a_guest_that_dies_while_it_is_moved_loses_nothing(writer: Writer, milliseconds: int) -> None:
    writer.freeze("snap-1")
    frozen = writer.acknowledged()
    killer = threading.Timer(milliseconds / 1000, writer.kill)
    killer.start()
    with suppress(DriverError):  # the guest may die before, in the middle of it, or after
        writer.move()
    killer.join()
    writer.move()
    assert writer.blocks_of_snapshot("snap-1") >= frozen
    assert writer.blocks() >= writer.acknowledged()
    writer.check()
    writer.start()
    writer.check()


@pytest.mark.parametrize("milliseconds", [1, 5, 10, 15, 20, 30])
def test_a_move_whose_process_dies_is_completed_by_the_next(writer: Writer, milliseconds: int) -> None:
    writer.freeze("snap-1")
    frozen = writer.acknowledged()
    child = os.fork()
    if child == 0:
        from engine.drivers.libvirt import Libvirt

        own = Libvirt("qemu:///system", "tcg", writer.store.parent / "consoles", "netdev")
        own.machine_state(writer.machine.id)
        threading.Timer(milliseconds / 1000, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        own.move_disks(located(writer.host, writer.machine))
        time.sleep(1)
    os.waitpid(child, 0)
    writer.move()
    writer.wait_for_more()
    assert writer.blocks_of_snapshot("snap-1") >= frozen
    writer.freeze("snap-2")
    writer.move()
    writer.host.compute.stop_machine(writer.machine.id, force=True)
    assert writer.blocks() >= writer.acknowledged()
    writer.check()


def test_disks_move_at_one_moment(writer: Writer) -> None:
    """Blocks are written to two disks in turn: no snapshot of the second may hold one that the first one's lacks."""
    disks = [writer.plug("vdb", "vol1"), writer.plug("vdc", "vol2")]
    stop = threading.Event()
    thread = threading.Thread(target=_write_in_turn, args=(writer.machine.id, stop))
    thread.start()
    for number in range(5):
        for disk in disks:
            writer.host.storage.ensure_snapshot(f"snap-{disk.device}-{number}", disk.disk_id)
        time.sleep(0.1)
        writer.move()
    stop.set()
    thread.join()
    before = 0
    for number in range(5):
        held = (writer.read_snapshot(f"snap-{disk.device}-{number}") for disk in disks)
        first, second = (written_blocks(each, number_in_bytes) for each in held)
        assert first - second in (0, 1)
        assert first > before
        before = first
    writer.check()


def _write_in_turn(machine_id: str, stop: threading.Event) -> None:
    """Write numbered blocks to both disks as QEMU does for its guest."""
    import libvirt_qemu

    connection = libvirt.open("qemu:///system")
    domain = connection.lookupByName(machine_id)
    number = 0
    while not stop.is_set():
        number += 1
        write = f"write -P {number_in_bytes(number)[0]} {(FIRST_BLOCK + number - 1) * 512} 512"
        for disk in ("virtio-disk1", "virtio-disk2"):
            command = f'qemu-io -d /machine/peripheral/{disk}/virtio-backend "{write}"'
            libvirt_qemu.qemuMonitorCommand(domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    connection.close()

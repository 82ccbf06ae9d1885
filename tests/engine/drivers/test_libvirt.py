"""What the libvirt driver promises beyond the contract: others' domains, consoles and a daemon that goes away."""

import queue
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from engine.drivers.base import AttachedDisk, Disk, DriverError, Machine, Nic, port_uuid

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed")

from engine.drivers.libvirt import CONSOLE_BYTES, Libvirt  # noqa: E402
from engine.drivers.qcow2 import Qcow2  # noqa: E402

URI = "qemu:///system"
SOCKET = "/run/libvirt/libvirt-sock"
pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]
FOREIGN = "<domain type='qemu'><name>{}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def consoles() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="groundfog-", dir="/var/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def compute(consoles: Path) -> Libvirt:
    return Libvirt(URI, "tcg", consoles, "netdev")


@pytest.fixture
def machine(compute: Libvirt) -> Iterator[Machine]:
    machine = Machine(f"i-own{uuid4().hex[:8]}", str(uuid4()), 1, 32, (), ())
    yield machine
    compute.remove_machine(machine.id)


class Relay:
    """Stands between the driver and the daemon, so that the daemon can seem to go away and come back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sockets: list[socket.socket] = []

    def open(self) -> None:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        self._sockets = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, daemon = listener.accept()[0], socket.socket(socket.AF_UNIX)
                daemon.connect(SOCKET)
                self._sockets += [client, daemon]
                for source, target in ((client, daemon), (daemon, client)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)


@pytest.fixture
def relay(consoles: Path) -> Iterator[Relay]:
    relay = Relay(consoles / "relay.sock")
    relay.open()
    yield relay
    relay.close()


@pytest.fixture
def foreign(compute: Libvirt) -> Iterator[str]:
    name = f"foreign-{uuid4().hex[:8]}"
    connection = libvirt.open(URI)
    domain = connection.defineXML(FOREIGN.format(name))
    yield name
    domain.undefine()
    connection.close()


def test_domains_of_others_are_left_alone(compute: Libvirt, foreign: str) -> None:
    assert foreign not in compute.list_machines()
    assert compute.machine_state(foreign) is None
    compute.remove_machine(foreign)
    with pytest.raises(DriverError, match="already exists"):
        compute.ensure_machine(Machine(foreign, str(uuid4()), 1, 32, (), ()))
    connection = libvirt.open(URI)
    assert connection.lookupByName(foreign).name() == foreign
    connection.close()


def test_a_closed_connection_is_opened_again(compute: Libvirt, machine: Machine) -> None:
    compute.ensure_machine(machine)
    compute._shared.close()
    compute._shared = None
    assert compute.machine_state(machine.id) == "running"


def test_a_daemon_that_was_away_is_used_again_and_watchers_hear_of_every_machine(
    relay: Relay, consoles: Path, compute: Libvirt, machine: Machine
) -> None:
    through = Libvirt(f"qemu+unix:///system?socket={relay.path}", "tcg", consoles, "netdev")
    heard: queue.Queue[str] = queue.Queue()
    through.watch(heard.put)
    through.ensure_machine(machine)
    relay.close()
    relay.path.unlink()
    with pytest.raises(DriverError):
        through.machine_state(machine.id)
    compute.stop_machine(machine.id, force=True)
    while not heard.empty():
        heard.get()
    relay.open()
    assert through.machine_state(machine.id) == "stopped"
    while heard.get(timeout=20) != machine.id:
        pass
    compute.ensure_machine(machine)
    while heard.get(timeout=20) != machine.id:
        pass


def test_a_daemon_that_is_not_there_is_an_error_that_may_pass(consoles: Path) -> None:
    absent = Libvirt("qemu+unix:///system?socket=/nonexistent/sock", "tcg", consoles, "netdev")
    with pytest.raises(DriverError, match="cannot list machines"):
        absent.list_machines()


def test_a_paused_guest_goes_on_when_it_is_ensured(compute: Libvirt, machine: Machine) -> None:
    compute.ensure_machine(machine)
    connection = libvirt.open(URI)
    domain = connection.lookupByName(machine.id)
    domain.suspend()
    compute.ensure_machine(machine)
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    connection.close()


def test_a_disk_that_moved_is_where_an_operator_would_start_it_too(
    compute: Libvirt, machine: Machine, consoles: Path
) -> None:
    storage = Qcow2(consoles / "storage")
    storage.ensure_disk(Disk("vol-1", 1))

    def current() -> Machine:
        disk = AttachedDisk("vol-1", "vda", storage.locate_disk("vol-1"), "vol1", boot=True)
        return replace(machine, disks=(disk,))

    compute.ensure_machine(current())
    storage.ensure_snapshot("snap-1", "vol-1")
    compute.move_disks(current())
    connection = libvirt.open(URI)
    stored = connection.lookupByName(machine.id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    connection.close()
    assert storage.locate_disk("vol-1").name in stored


def test_the_console_is_its_last_bytes_across_a_rotation(compute: Libvirt, consoles: Path) -> None:
    (consoles / "i-1.log.0").write_bytes(b"a" * CONSOLE_BYTES)
    (consoles / "i-1.log").write_bytes(b"b" * 10)
    output = compute.console_output("i-1")
    assert output is not None
    assert output[1] == b"a" * (CONSOLE_BYTES - 10) + b"b" * 10
    (consoles / "i-1.log").write_bytes(b"c" * (CONSOLE_BYTES + 1))
    assert compute.console_output("i-1", output[0]) != output
    (consoles / "i-10.log").write_bytes(b"another machine's")
    compute.remove_machine("i-1")
    assert [path.name for path in consoles.iterdir()] == ["i-10.log"]


def test_a_card_is_plugged_into_the_bridge_under_its_ports_uuid(compute: Libvirt, machine: Machine) -> None:
    nic = Nic(f"eni-{machine.id}", "02:00:00:00:00:01")
    compute.ensure_machine(Machine(machine.id, machine.uuid, 1, 32, (), (nic,)))
    find = ["ovs-vsctl", "--bare", "--columns=name", "find", "Interface"]
    found = subprocess.run([*find, f"external_ids:iface-id={port_uuid(nic.port_id)}"], capture_output=True, check=True)
    assert found.stdout.strip()
    compute.stop_machine(machine.id, force=True)
    found = subprocess.run([*find, f"external_ids:iface-id={port_uuid(nic.port_id)}"], capture_output=True, check=True)
    assert not found.stdout.strip()

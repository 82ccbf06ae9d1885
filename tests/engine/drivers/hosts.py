"""Hosts for the contract suite: one that is simulated, and this machine's libvirt with guests of 512 bytes."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from engine.drivers.base import AttachedDisk, Compute, Disk, Machine, Nic, Storage
from engine.drivers.networking import Group, Network, Port, Subnet
from engine.drivers.qcow2 import Qcow2
from engine.drivers.simulated import Simulated
from tests.engine.drivers.images import write_guest

NETWORK = Network("vpc-contract", ("10.0.0.0/16",), None, (Subnet("subnet-contract", "10.0.0.0/16"),))
GROUP = Group("sg-contract", NETWORK.id)
PATIENCE_SECONDS = 30


@dataclass
class Host:
    """A host, the storage it can read, how a guest of it turns itself off, and how a card is given its port."""

    compute: Compute
    storage: Storage
    power_off: Callable[[str], None]
    bounds: Callable[[str, AttachedDisk], tuple[int | None, int | None]]
    """How many operations and bytes a second a running machine may ask of a disk, as the host itself says."""
    make_port: Callable[[Nic], None] = lambda card: None
    cling: Callable[[str], None] = lambda id: None
    made: list[str] = field(default_factory=list)

    def machine(self, id: str, disks: int = 1, cards: int = 0, clings: bool = True) -> Machine:
        """Define the smallest guest there is, with new disks of which the first boots.

        Only one that does not cling to its disks and cards lets go of them when it is asked to.
        """
        self.made.append(id)
        if clings:
            self.cling(id)
        boot = self.disk(id, 0, "snap-clings" if clings else "snap-lets-go")
        more = (self.disk(id, number) for number in range(1, disks))
        plugged = tuple(self.card(id, number) for number in range(cards))
        return Machine(id, str(uuid4()), 1, 32, (boot, *more), plugged)

    def disk(self, machine_id: str, number: int, source: str | None = None) -> AttachedDisk:
        disk = Disk(f"vol-{machine_id}-{number}", 1, source)
        self.storage.ensure_disk(disk)
        device = f"vd{'abcd'[number]}"
        return AttachedDisk(disk.id, device, self.storage.locate_disk(disk.id), f"vol{number}", boot=number == 0)

    def card(self, machine_id: str, number: int) -> Nic:
        unique = machine_id[-6:]
        card = Nic(f"eni-{machine_id}-{number}", f"06:{unique[:2]}:{unique[2:4]}:{unique[4:]}:00:{number:02x}")
        self.make_port(card)
        return card


class Everything(set[str]):
    """The smallest guest there is hears nothing."""

    def __contains__(self, id: object) -> bool:
        return True


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


def becomes(host: Host, machine: Machine) -> None:
    wait_until(lambda: host.compute.ensure_devices(machine), "the devices were as they should be")


@contextmanager
def a_host(kind: str) -> Iterator[Host]:
    """Make a host, ``simulated`` or ``libvirt``; its machines are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="groundfog-", dir="/var/tmp"))  # pytest's own shuts QEMU's user out
    directory.chmod(0o711)
    host = _simulated_host() if kind == "simulated" else _libvirt_host(directory)
    for name, lets_go in (("snap-clings", False), ("snap-lets-go", True)):
        host.storage.import_snapshot(name, write_guest(directory / f"{name}.raw", lets_go))
    yield host
    for id in host.made:
        host.compute.remove_machine(id)
    shutil.rmtree(directory)


def _simulated_host() -> Host:
    cloud = Simulated()
    cloud.deaf = Everything()
    cloud.network.ensure_network(NETWORK)
    cloud.network.ensure_group(GROUP)

    def make_port(card: Nic) -> None:
        address = f"10.0.1.{len(cloud.network.list_ports()) + 4}"
        cloud.network.ensure_port(
            Port(card.port_id, NETWORK.id, NETWORK.subnets[0].id, card.mac, (address,), (GROUP.id,))
        )

    def bounds(id: str, disk: AttachedDisk) -> tuple[int | None, int | None]:
        (found,) = (each for each in compute._guests[id].machine.disks if each.serial == disk.serial)
        return found.iops, found.bytes_per_second

    compute, storage = cloud.computes["host-1"], cloud.storages["zone-1"]
    return Host(compute, storage, cloud.power_off, bounds, make_port, cloud.clinging.add)


def _libvirt_host(directory: Path) -> Host:
    import libvirt

    from engine.drivers.libvirt import Libvirt

    def power_off(id: str) -> None:
        connection = libvirt.open("qemu:///system")
        connection.lookupByName(id).destroy()
        connection.close()

    def bounds(id: str, disk: AttachedDisk) -> tuple[int | None, int | None]:
        connection = libvirt.open("qemu:///system")
        found = connection.lookupByName(id).blockIoTune(disk.device)
        connection.close()
        return found["total_iops_sec"] or None, found["total_bytes_sec"] or None

    compute = Libvirt("qemu:///system", "tcg", directory / "consoles", "netdev")
    return Host(compute, Qcow2(directory / "storage"), power_off, bounds)

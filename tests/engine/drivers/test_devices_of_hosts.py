"""A disk that is a device of the host, as thin pools have them: plugged in, grown by its store first, unplugged."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from engine.drivers.base import AttachedDisk, DriverError, Location, Machine
from tests.engine.drivers.hosts import Host, a_host, becomes

pytestmark = pytest.mark.acceptance
GIB = 2**30


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture
def device() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="gf-loop-") as file:
        os.truncate(file.name, GIB)
        try:
            found = run("losetup", "--find", "--show", file.name)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"there are no loop devices: {error}")
        yield Path(found)
        run("losetup", "--detach", found)


@pytest.fixture
def host(prepared_host: None) -> Iterator[Host]:
    with a_host("libvirt") as host:
        yield host


def grow(device: Path, size: int) -> None:
    """Do as a store does."""
    os.truncate(run("losetup", "--noheadings", "--output", "BACK-FILE", str(device)), size)
    run("losetup", "--set-capacity", str(device))


def size_seen(machine: Machine, disk: AttachedDisk) -> int:
    connection = libvirt.open("qemu:///system")
    size = connection.lookupByName(machine.id).blockInfo(disk.device)[0]
    connection.close()
    return int(size)


def test_a_device_is_plugged_grows_once_its_store_has_grown_it_and_is_unplugged(host: Host, device: Path) -> None:
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", clings=False)
    host.compute.ensure_machine(machine)
    disk = AttachedDisk("vol-device", "vdb", Location("block", str(device), "raw"), "voldevice")
    more = replace(machine, disks=(*machine.disks, disk))
    becomes(host, more)
    assert size_seen(machine, disk) == GIB
    with pytest.raises(DriverError):
        host.compute.resize_disk(machine.id, disk, 2)
    grow(device, 2 * GIB)
    for _ in range(2):
        host.compute.resize_disk(machine.id, disk, 2)
    assert size_seen(machine, disk) == 2 * GIB
    host.compute.move_disks(more)
    becomes(host, machine)

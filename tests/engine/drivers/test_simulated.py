"""What the simulator promises beyond the contracts: faults, delays, strictness and speed."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from engine.drivers.base import AttachedDisk, Disk, DriverError, Location, Machine, Nic, Refused
from engine.drivers.networking import Group, Network, Port, Subnet
from engine.drivers.simulated import Simulated
from tests.engine.drivers.images import write_guest

NETWORK = Network("vpc-1", ("10.0.0.0/8",), 100, (Subnet("subnet-1", "10.0.0.0/8"),))
GROUP = Group("sg-1", "vpc-1")


def launch(cloud: Simulated, number: int) -> Machine:
    """Do for one machine what a boot does: disk, port, machine."""
    mac = f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    cloud.storages["zone-1"].ensure_disk(Disk(f"vol-{number}", 8))
    cloud.network.ensure_port(Port(f"eni-{number}", "vpc-1", "subnet-1", mac, (address,), ("sg-1",)))
    disk = AttachedDisk(f"vol-{number}", "vda", Location("none", f"vol-{number}"), "vol", boot=True)
    machine = Machine(f"i-{number}", str(UUID(int=number)), 1, 512, (disk,), (Nic(f"eni-{number}", mac),))
    cloud.computes["host-1"].ensure_machine(machine)
    return machine


@pytest.fixture
def cloud() -> Simulated:
    cloud = Simulated()
    cloud.network.ensure_network(NETWORK)
    cloud.network.ensure_group(GROUP)
    return cloud


def test_drivers_are_made_for_every_host_and_zone() -> None:
    drivers = Simulated(hosts=("a", "b"), zones=("x", "y")).drivers()
    assert set(drivers.computes) == {"a", "b"}
    assert set(drivers.storages) == {"x", "y"}


def test_the_nth_change_is_done_before_it_crashes(cloud: Simulated) -> None:
    cloud.faults.crash_after = cloud.faults.changes + 2
    storage = cloud.storages["zone-1"]
    storage.ensure_disk(Disk("vol-1", 1))
    with pytest.raises(DriverError, match="simulated crash"):
        storage.ensure_disk(Disk("vol-2", 1))
    assert storage.list_disks() == {"vol-1", "vol-2"}
    storage.ensure_disk(Disk("vol-2", 1))


def test_a_fault_changes_nothing_and_is_over_after_its_times(cloud: Simulated) -> None:
    cloud.fail_next("ensure_disk", Refused("never"), times=2)
    storage = cloud.storages["zone-1"]
    for _ in range(2):
        with pytest.raises(Refused, match="never"):
            storage.ensure_disk(Disk("vol-1", 1))
    assert storage.list_disks() == set()
    storage.ensure_disk(Disk("vol-1", 1))


def test_a_machine_needs_its_port_with_its_own_mac(cloud: Simulated) -> None:
    machine = launch(cloud, 5)
    compute = cloud.computes["host-1"]
    compute.remove_machine("i-5")
    cloud.network.remove_port("eni-5")
    with pytest.raises(DriverError, match="no port eni-5"):
        compute.ensure_machine(machine)
    cloud.network.ensure_port(Port("eni-5", "vpc-1", "subnet-1", "02:00:00:00:00:99", ("10.0.0.5",), ("sg-1",)))
    with pytest.raises(DriverError, match="MAC"):
        compute.ensure_machine(machine)


def test_a_port_is_up_while_its_machine_runs(cloud: Simulated) -> None:
    launch(cloud, 5)
    assert cloud.network.port_is_up("eni-5")
    cloud.power_off("i-5")
    assert not cloud.network.port_is_up("eni-5")
    assert not cloud.network.port_is_up("eni-6")


def test_what_is_in_use_is_not_removed(cloud: Simulated) -> None:
    launch(cloud, 5)
    with pytest.raises(DriverError, match="running machine"):
        cloud.storages["zone-1"].remove_disk("vol-5")
    with pytest.raises(DriverError, match="1 ports"):
        cloud.network.remove_group("sg-1")
    with pytest.raises(DriverError, match="1 ports"):
        cloud.network.remove_network("vpc-1")
    cloud.computes["host-1"].remove_machine("i-5")
    cloud.storages["zone-1"].remove_disk("vol-5")
    cloud.network.remove_port("eni-5")
    cloud.network.remove_group("sg-1")
    cloud.network.remove_network("vpc-1")


def test_an_address_is_given_once_in_a_network(cloud: Simulated) -> None:
    launch(cloud, 5)
    with pytest.raises(DriverError, match="in use by eni-5"):
        cloud.network.ensure_port(Port("eni-6", "vpc-1", "subnet-1", "02:00:00:00:01:06", ("10.0.0.5",), ("sg-1",)))
    with pytest.raises(DriverError, match="in use by vpc-1"):
        cloud.network.ensure_port(Port("eni-6", "vpc-1", "subnet-1", "02:00:00:00:01:06", ("10.0.0.1",), ("sg-1",)))


def test_booting_and_stopping_take_the_seconds_that_were_set(cloud: Simulated) -> None:
    cloud.boot_seconds = cloud.stop_seconds = 0.1
    compute = cloud.computes["host-1"]
    heard: list[tuple[str, object]] = []
    two = threading.Semaphore(0)

    def hear(id: str) -> None:
        heard.append((id, compute.machine_state(id)))
        two.release()

    compute.watch(hear)
    launch(cloud, 5)
    assert compute.machine_state("i-5") == "stopped"
    assert two.acquire(timeout=5)
    compute.stop_machine("i-5")
    assert compute.machine_state("i-5") == "running"
    assert two.acquire(timeout=5)
    assert heard == [("i-5", "running"), ("i-5", "stopped")]


def test_a_full_zone_takes_no_more_disks() -> None:
    storage = Simulated(storage_gib=10).storages["zone-1"]
    storage.ensure_disk(Disk("vol-1", 8))
    with pytest.raises(DriverError, match="2 GiB free"):
        storage.ensure_disk(Disk("vol-2", 3))
    storage.remove_disk("vol-1")
    assert storage.free_gib() == 10


def test_powering_off_what_does_not_run_is_an_error(cloud: Simulated) -> None:
    with pytest.raises(DriverError):
        cloud.power_off("i-1")


def test_the_console_names_the_machine(cloud: Simulated) -> None:
    launch(cloud, 5)
    output = cloud.computes["host-1"].console_output("i-5")
    assert output is not None
    assert b"i-5 login:" in output[1]


def test_the_thousandth_machine_takes_no_more_work_than_the_second(cloud: Simulated, tmp_path: Path) -> None:
    cloud.storages["zone-1"].import_snapshot("snap-1", write_guest(tmp_path / "guest.raw"))
    second = instructions(lambda: launch(cloud, 2))
    for number in range(3, 1000):
        launch(cloud, number)
    thousandth = instructions(lambda: launch(cloud, 1000))
    assert thousandth < 1.1 * second
    assert len(cloud.computes["host-1"].list_machines()) == 999


def instructions(work: Callable[[], object]) -> int:
    """Count the bytecode instructions that a piece of work takes: how long it takes says more of the machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count

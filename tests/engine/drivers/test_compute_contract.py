"""What every host must do, whatever runs its machines."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from engine.drivers.base import AttachedDisk, Compute, Disk, DriverError, Location, Machine, Nic, Refused
from tests.engine.drivers.hosts import PATIENCE_SECONDS, Host, becomes, wait_until


def text(compute: Compute, id: str) -> bytes:
    output = compute.console_output(id)
    assert output is not None
    return output[1]


def test_a_machine_that_was_ensured_runs(host: Host, machine: Machine) -> None:
    assert host.compute.machine_state(machine.id) is None
    for _ in range(2):
        host.compute.ensure_machine(machine)
        assert host.compute.machine_state(machine.id) == "running"
    assert host.compute.list_machines()[machine.id] == "running"


def test_a_machine_may_have_several_disks(host: Host) -> None:
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", disks=3)
    host.compute.ensure_machine(machine)
    assert host.compute.machine_state(machine.id) == "running"


def test_a_machine_whose_power_is_cut_stays_defined_and_starts_again(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    for _ in range(2):
        host.compute.stop_machine(machine.id, force=True)
        assert host.compute.machine_state(machine.id) == "stopped"
    assert host.compute.list_machines()[machine.id] == "stopped"
    host.compute.ensure_machine(machine)
    assert host.compute.machine_state(machine.id) == "running"


def test_a_stopped_machine_takes_a_new_definition(host: Host, machine: Machine) -> None:
    larger = replace(host.machine(machine.id, disks=2), uuid=machine.uuid, vcpus=2, memory_mib=48)
    host.compute.ensure_machine(machine)
    host.compute.ensure_machine(larger)
    host.compute.stop_machine(machine.id, force=True)
    host.compute.ensure_machine(larger)
    assert host.compute.machine_state(machine.id) == "running"


def test_asking_a_guest_to_power_down_or_restart_returns_at_once(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    began = time.monotonic()
    host.compute.reboot_machine(machine.id)
    host.compute.stop_machine(machine.id)
    assert time.monotonic() - began < 5
    assert host.compute.machine_state(machine.id) in ("running", "stopped")


def test_nothing_happens_to_a_machine_that_is_not_there(host: Host) -> None:
    host.compute.stop_machine("i-contract-none")
    host.compute.stop_machine("i-contract-none", force=True)
    host.compute.reboot_machine("i-contract-none")
    host.compute.remove_machine("i-contract-none")
    assert host.compute.machine_state("i-contract-none") is None
    assert host.compute.console_output("i-contract-none") == (0, b"")
    assert host.compute.console_output("i-contract-none", seen=0) is None


def test_a_guest_that_ignores_that_it_should_restart_is_reset_by_force(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    assert not host.compute.is_rebooting(machine.id)
    for _ in range(2):
        host.compute.reboot_machine(machine.id)
        assert host.compute.is_rebooting(machine.id)
    mark, before = host.compute.console_output(machine.id) or (0, b"")
    host.compute.reboot_machine(machine.id, force=True)
    wait_until(lambda: (host.compute.console_output(machine.id, mark) or (0, before))[1] != before, "it began anew")
    assert host.compute.machine_state(machine.id) == "running"
    host.compute.stop_machine(machine.id, force=True)
    assert not host.compute.is_rebooting(machine.id)
    assert not host.compute.is_rebooting("i-contract-none")


def test_a_stopped_machine_cannot_be_restarted_by_a_reboot(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    host.compute.stop_machine(machine.id, force=True)
    host.compute.reboot_machine(machine.id)
    assert host.compute.machine_state(machine.id) == "stopped"


def test_a_removed_machine_is_forgotten_but_its_disks_are_not(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    for _ in range(2):
        host.compute.remove_machine(machine.id)
        assert host.compute.machine_state(machine.id) is None
    assert machine.id not in host.compute.list_machines()
    assert {disk.disk_id for disk in machine.disks} <= host.storage.list_disks()


def test_a_machine_is_made_again_after_it_was_removed(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    host.compute.remove_machine(machine.id)
    host.compute.ensure_machine(machine)
    assert host.compute.machine_state(machine.id) == "running"


def test_a_missing_disk_may_come_later(host: Host, machine: Machine) -> None:
    disk = machine.disks[0]
    host.storage.remove_disk(disk.disk_id)
    with pytest.raises(DriverError) as caught:
        host.compute.ensure_machine(machine)
    assert not isinstance(caught.value, Refused)
    assert host.compute.machine_state(machine.id) in (None, "stopped")
    host.storage.ensure_disk(Disk(disk.disk_id, 1, "snap-clings"))
    host.compute.ensure_machine(machine)
    assert host.compute.machine_state(machine.id) == "running"


def test_a_disk_of_a_running_machine_cannot_be_another_machines(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    thief = replace(host.machine(f"{machine.id}b"), disks=machine.disks)
    with pytest.raises(DriverError):
        host.compute.ensure_machine(thief)
    host.compute.stop_machine(machine.id, force=True)
    host.compute.ensure_machine(thief)
    assert host.compute.machine_state(thief.id) == "running"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"vcpus": 0}, id="no CPU"),
        pytest.param({"memory_mib": 0}, id="no memory"),
        pytest.param({"uuid": "no-uuid"}, id="no UUID"),
        pytest.param({"nics": (Nic("eni-1", "02:00:00:00:00"),)}, id="half a MAC address"),
        pytest.param({"nics": (Nic("eni-1", "01:00:00:00:00:01"),)}, id="a group MAC address"),
        pytest.param({"smbios": {"uuid": "ec2b1e29-0000-4000-8000-000000000000"}}, id="two different UUIDs"),
        pytest.param({"id": "../i-1"}, id="an id that is a path"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(wrong: dict[str, object], host: Host, machine: Machine) -> None:
    with pytest.raises(Refused):
        host.compute.ensure_machine(replace(machine, **wrong))  # type: ignore[arg-type]
    assert host.compute.machine_state(machine.id) is None


def test_two_disks_cannot_be_the_same_device(host: Host, machine: Machine) -> None:
    first = machine.disks[0]
    second = AttachedDisk(first.disk_id, first.device, first.location, "other")
    with pytest.raises(Refused):
        host.compute.ensure_machine(replace(machine, disks=(first, second)))


def test_the_console_can_be_read_and_is_kept_until_the_machine_is_removed(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    wait_until(lambda: text(host.compute, machine.id) != b"", "the guest wrote to its console")
    host.compute.stop_machine(machine.id, force=True)
    before = text(host.compute, machine.id)
    assert before
    host.compute.ensure_machine(machine)
    assert len(text(host.compute, machine.id)) >= len(before)
    host.compute.remove_machine(machine.id)
    assert text(host.compute, machine.id) == b""


def test_an_unchanged_console_is_not_read_again(host: Host, machine: Machine) -> None:
    host.compute.ensure_machine(machine)
    wait_until(lambda: text(host.compute, machine.id) != b"", "the guest wrote to its console")
    host.compute.stop_machine(machine.id, force=True)
    output = host.compute.console_output(machine.id)
    assert output is not None
    assert host.compute.console_output(machine.id, seen=output[0]) is None
    assert host.compute.console_output(machine.id, seen=output[0] + 1) == output
    host.compute.ensure_machine(machine)
    wait_until(lambda: host.compute.console_output(machine.id, output[0]) is not None, "the mark changed")


def test_watchers_hear_of_a_machine_that_turns_itself_off(host: Host, machine: Machine) -> None:
    stopped, threads = threading.Event(), set()

    def hear(id: str) -> None:
        threads.add(threading.current_thread())
        if id == machine.id and host.compute.machine_state(id) == "stopped":
            stopped.set()

    def fail(id: str) -> None:
        raise RuntimeError("a watcher's own mistake")

    host.compute.watch(fail)
    host.compute.watch(hear)
    host.compute.ensure_machine(machine)
    host.power_off(machine.id)
    assert stopped.wait(PATIENCE_SECONDS)
    assert threading.current_thread() not in threads


def test_several_threads_may_start_one_machine(host: Host, machine: Machine) -> None:
    failures: list[Exception] = []

    def ensure() -> None:
        try:
            host.compute.ensure_machine(machine)
        except DriverError as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert host.compute.machine_state(machine.id) == "running"


def test_a_disk_of_another_backend_is_not_started(host: Host, machine: Machine) -> None:
    foreign = replace(machine.disks[0], disk_id="vol-foreign", location=Location("volume", "vol-foreign"))
    with pytest.raises(DriverError):
        host.compute.ensure_machine(replace(machine, disks=(foreign,)))


def test_a_host_has_capacity(host: Host) -> None:
    capacity = host.compute.capacity()
    assert capacity.vcpus >= 1
    assert capacity.memory_mib >= 128


# -- devices of a running machine ------------------------------------------------


def test_disks_and_cards_come_and_go_while_a_machine_runs(host: Host, plugged: Machine) -> None:
    assert host.compute.ensure_devices(plugged)
    more = replace(
        plugged,
        disks=(*plugged.disks, host.disk(plugged.id, 2)),
        nics=(*plugged.nics, host.card(plugged.id, 2), host.card(plugged.id, 3)),
    )
    for _ in range(2):
        assert host.compute.ensure_devices(more)
    swapped = replace(more, disks=(more.disks[0], more.disks[2]), nics=(more.nics[0], more.nics[3]))
    becomes(host, swapped)
    becomes(host, replace(plugged, disks=plugged.disks[:1], nics=plugged.nics[:1]))
    becomes(host, more)
    assert host.compute.machine_state(plugged.id) == "running"


def test_a_disk_may_take_the_name_of_one_that_goes(host: Host, plugged: Machine) -> None:
    other = replace(host.disk(plugged.id, 2), device=plugged.disks[1].device)
    becomes(host, replace(plugged, disks=(plugged.disks[0], other)))


def test_a_device_that_was_about_to_go_comes_back_when_it_is_wanted_again(host: Host, plugged: Machine) -> None:
    host.compute.ensure_devices(replace(plugged, disks=plugged.disks[:1], nics=plugged.nics[:1]))
    becomes(host, plugged)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert host.compute.ensure_devices(plugged)


def test_a_guest_may_cling_to_a_device_until_its_next_start(host: Host) -> None:
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", disks=2, cards=2)
    less = replace(machine, disks=machine.disks[:1], nics=machine.nics[:1])
    host.compute.ensure_machine(machine)
    for _ in range(3):
        assert not host.compute.ensure_devices(less)
    host.compute.stop_machine(machine.id, force=True)
    assert host.compute.ensure_devices(less)
    assert host.compute.machine_state(machine.id) == "stopped"
    host.compute.ensure_machine(less)
    assert host.compute.ensure_devices(less)


def test_a_guest_that_clings_is_asked_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", cards=2)
    monkeypatch.setattr("engine.drivers.libvirt_devices.ASK_AGAIN", 0.0, raising=False)
    host.compute.ensure_machine(machine)
    for _ in range(3):
        assert not host.compute.ensure_devices(replace(machine, nics=machine.nics[:1]))


def test_the_boot_disk_and_the_first_card_stay(host: Host, plugged: Machine) -> None:
    for less in (replace(plugged, disks=plugged.disks[1:]), replace(plugged, nics=plugged.nics[1:])):
        with pytest.raises(Refused):
            host.compute.ensure_devices(less)
    assert host.compute.ensure_devices(plugged)


def test_devices_are_not_given_to_a_machine_that_is_not_there(host: Host, machine: Machine) -> None:
    with pytest.raises(DriverError) as caught:
        host.compute.ensure_devices(machine)
    assert not isinstance(caught.value, Refused)
    assert host.compute.machine_state(machine.id) is None


def test_a_disk_that_is_missing_may_be_plugged_in_later(host: Host, plugged: Machine) -> None:
    disk = host.disk(plugged.id, 2)
    host.storage.remove_disk(disk.disk_id)
    more = replace(plugged, disks=(*plugged.disks, disk))
    with pytest.raises(DriverError) as caught:
        host.compute.ensure_devices(more)
    assert not isinstance(caught.value, Refused)
    host.disk(plugged.id, 2)
    assert host.compute.ensure_devices(more)


def test_several_threads_may_plug_the_same_card_in(host: Host, plugged: Machine) -> None:
    more = replace(plugged, nics=(*plugged.nics, host.card(plugged.id, 2)))
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(host.compute.ensure_devices, [more] * 4))

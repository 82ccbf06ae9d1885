"""What every host must do with the disks of a machine that runs, whatever runs it."""

from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest

from engine.drivers.base import Disk, DriverError, Machine, Refused
from tests.engine.drivers.hosts import Host, becomes


def located(host: Host, machine: Machine) -> Machine:
    """Return the machine with its disks where the storage has them now."""
    where = host.storage.locate_disk
    return replace(machine, disks=tuple(replace(disk, location=where(disk.disk_id)) for disk in machine.disks))


def snapshot_all(host: Host, machine: Machine, name: str) -> None:
    for number, disk in enumerate(machine.disks):
        host.storage.ensure_snapshot(f"snap-{name}-{number}", disk.disk_id)


def test_a_running_machine_goes_on_where_its_disks_are_after_each_snapshot(host: Host, plugged: Machine) -> None:
    for name in ("first", "second"):
        snapshot_all(host, plugged, name)
        moved = located(host, plugged)
        for _ in range(2):
            host.compute.move_disks(moved)
        assert host.compute.ensure_devices(moved)
    assert host.compute.machine_state(plugged.id) == "running"


def test_a_disk_that_moved_can_be_unplugged_and_plugged_in_again(host: Host, plugged: Machine) -> None:
    snapshot_all(host, plugged, "once")
    moved = located(host, plugged)
    host.compute.move_disks(moved)
    becomes(host, replace(moved, disks=moved.disks[:1]))
    host.storage.ensure_snapshot("snap-unplugged", moved.disks[1].disk_id)
    becomes(host, located(host, moved))


def test_a_disk_that_was_plugged_in_moves_too(host: Host, plugged: Machine) -> None:
    more = replace(plugged, disks=(*plugged.disks, host.disk(plugged.id, 2), host.disk(plugged.id, 3)))
    becomes(host, more)
    snapshot_all(host, more, "more")
    host.compute.move_disks(located(host, more))
    becomes(host, replace(located(host, more), disks=located(host, more).disks[:2]))


def test_a_machine_starts_from_where_its_disks_are(host: Host, plugged: Machine) -> None:
    snapshot_all(host, plugged, "running")
    host.compute.move_disks(located(host, plugged))
    host.compute.stop_machine(plugged.id, force=True)
    host.compute.ensure_machine(located(host, plugged))
    host.compute.stop_machine(plugged.id, force=True)
    snapshot_all(host, plugged, "stopped")
    host.compute.move_disks(located(host, plugged))
    host.compute.ensure_machine(located(host, plugged))
    host.compute.move_disks(located(host, plugged))
    assert host.compute.machine_state(plugged.id) == "running"


def test_a_machine_does_not_start_nor_plug_in_where_a_disk_was_before(host: Host, plugged: Machine) -> None:
    stale = host.disk(plugged.id, 2)
    host.storage.ensure_snapshot("snap-stale", stale.disk_id)
    with pytest.raises(DriverError) as caught:
        host.compute.ensure_devices(replace(plugged, disks=(*plugged.disks, stale)))
    assert not isinstance(caught.value, Refused)
    host.compute.stop_machine(plugged.id, force=True)
    snapshot_all(host, plugged, "stale")
    with pytest.raises(DriverError) as caught:
        host.compute.ensure_machine(plugged)
    assert not isinstance(caught.value, Refused)
    host.compute.ensure_machine(located(host, plugged))


def test_disks_do_not_move_to_where_they_were_before(host: Host, plugged: Machine) -> None:
    snapshot_all(host, plugged, "first")
    stale = located(host, plugged)
    snapshot_all(host, plugged, "second")
    with pytest.raises(DriverError) as caught:
        host.compute.move_disks(stale)
    assert not isinstance(caught.value, Refused)
    host.compute.move_disks(located(host, plugged))


def test_only_disks_that_are_named_and_there_move(host: Host, plugged: Machine) -> None:
    snapshot_all(host, plugged, "some")
    other = host.disk(plugged.id, 2)
    moved = located(host, plugged)
    host.compute.move_disks(replace(moved, disks=(moved.disks[1], other)))
    assert host.compute.ensure_devices(moved)
    host.compute.move_disks(moved)


def test_nothing_moves_or_grows_on_a_machine_that_is_not_there(host: Host, machine: Machine) -> None:
    host.compute.move_disks(machine)
    host.compute.resize_disk(machine.id, machine.disks[0], 5)
    assert host.compute.machine_state(machine.id) is None


def test_a_disk_grows_by_way_of_the_machine_that_has_it(host: Host, plugged: Machine) -> None:
    disk = Disk(plugged.disks[1].disk_id, 3)
    with pytest.raises(DriverError) as caught:
        host.storage.ensure_disk(disk)
    assert not isinstance(caught.value, Refused)
    for _ in range(2):
        host.compute.resize_disk(plugged.id, plugged.disks[1], 3)
        host.storage.ensure_disk(disk)
    with pytest.raises(Refused):
        host.compute.resize_disk(plugged.id, plugged.disks[1], 2)
    with pytest.raises(DriverError):
        host.compute.resize_disk(plugged.id, host.disk(plugged.id, 2), 3)


def test_a_disk_grows_after_it_moved_and_in_a_stopped_machine_by_the_storage(host: Host, plugged: Machine) -> None:
    snapshot_all(host, plugged, "grows")
    host.compute.move_disks(located(host, plugged))
    host.compute.resize_disk(plugged.id, plugged.disks[1], 2)
    host.storage.ensure_snapshot("snap-grown", plugged.disks[1].disk_id)
    assert host.storage.snapshot_size_gib("snap-grown") == 2
    host.compute.stop_machine(plugged.id, force=True)
    host.compute.resize_disk(plugged.id, plugged.disks[1], 4)
    host.storage.ensure_disk(Disk(plugged.disks[1].disk_id, 4))
    host.compute.ensure_machine(located(host, plugged))


def test_a_disk_that_grew_before_it_moved_does_not_shrink(host: Host, plugged: Machine) -> None:
    disk = plugged.disks[1]
    host.storage.ensure_snapshot("snap-1", disk.disk_id)
    host.compute.resize_disk(plugged.id, disk, 3)
    with suppress(DriverError):  # where it would be given a file that is too small
        host.compute.move_disks(located(host, plugged))
    host.storage.ensure_snapshot("snap-1", disk.disk_id)
    host.compute.move_disks(located(host, plugged))
    host.compute.resize_disk(plugged.id, disk, 3)
    with pytest.raises(Refused):
        host.compute.resize_disk(plugged.id, disk, 2)


def test_a_disk_is_bounded_from_the_start_and_while_it_is_used(host: Host) -> None:
    machine = host.machine(f"i-contract{uuid4().hex[:8]}", disks=2, clings=False)
    bounded = replace(machine.disks[1], iops=100, bytes_per_second=2**20)
    host.compute.ensure_machine(replace(machine, disks=(machine.disks[0], bounded)))
    assert host.bounds(machine.id, bounded) == (100, 2**20)
    for iops, rate in ((250, 2**20), (None, 2**22), (None, None), (16_000, 2**30)):
        changed = replace(bounded, iops=iops, bytes_per_second=rate)
        becomes(host, replace(machine, disks=(machine.disks[0], changed)))
        assert host.bounds(machine.id, bounded) == (iops, rate)
    snapshot_all(host, machine, "bounded")
    host.compute.move_disks(located(host, machine))
    assert host.bounds(machine.id, bounded) == (16_000, 2**30)

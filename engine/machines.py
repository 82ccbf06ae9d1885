"""The machine that an instance should be now, and the change of its disks and cards while it runs."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from engine import desired
from engine.drivers.base import AttachedDisk, Disk, Machine, Storage
from engine.state import LEAVING
from engine.tasks import Engine
from engine.volumes import limits

_turns: WeakValueDictionary[str, "_Turn"] = WeakValueDictionary()


class _Turn:
    """Whose turn it is to change the devices of one machine."""

    def __init__(self) -> None:
        self.lock = Lock()


def machine_of(engine: Engine, instance_id: str) -> Machine:
    """Return the machine of an instance, without what is on its way out of it. Raise DriverError for a missing disk."""
    with engine.database.read() as db:
        instance, cards = desired.place(db, instance_id), desired.cards(db, instance_id)
        disks = desired.disks(db, engine.settings, instance_id)
    storage = engine.drivers[instance.region].storages[instance.zone]
    attached = tuple(_attached(storage, disk, row) for disk, row in disks if row.state not in LEAVING)
    return desired.machine(instance, attached, cards, engine.settings.guest_mtu)


def attached_disk(engine: Engine, instance_id: str, volume_id: str) -> AttachedDisk | None:
    """Return a volume as the machine of an instance has it, also while it is on its way out; None where it has not."""
    with engine.database.read() as db:
        instance, disks = desired.place(db, instance_id), desired.disks(db, engine.settings, instance_id)
    found = [(disk, row) for disk, row in disks if disk.id == volume_id]
    return _attached(engine.drivers[instance.region].storages[instance.zone], *found[0]) if found else None


def _attached(storage: Storage, disk: Disk, row: Any) -> AttachedDisk:
    iops, bytes_per_second = limits(row.volume_type, row.volume_size, row.iops, row.throughput)
    return AttachedDisk(
        disk_id=disk.id,
        device=row.guest_device,
        location=storage.locate_disk(disk.id),
        serial=disk.id.replace("-", ""),
        boot=row.guest_device == "vda",
        iops=iops,
        bytes_per_second=bytes_per_second,
        key=disk.key,
    )


def sync_devices(engine: Engine, instance_id: str) -> bool:
    """Have the machine of an instance take the disks and cards that it should have; say whether it runs and has them.

    What one task plugs in, another one must not take out by an older reading: whoever reads waits until the one before
    has applied what it read. Where that one is another process, it is he who applied last that reads once more.
    """
    with engine.database.read() as db:
        instance = desired.place(db, instance_id)
    compute = engine.drivers[instance.region].computes.get(instance.host)
    if compute is None or compute.machine_state(instance_id) != "running":
        return False
    turn = _turns.setdefault(instance_id, _Turn())
    with turn.lock:
        machine = machine_of(engine, instance_id)
        while True:
            complete = compute.ensure_devices(machine)
            latest = machine_of(engine, instance_id)
            if latest == machine:
                return complete
            machine = latest


def move_disks_of(engine: Engine, instance_id: str, volume_ids: Sequence[str]) -> None:
    """Have the machine of an instance, if it runs, write its disks where they are now, all at one moment.

    ``volume_ids`` are those that must be among them, though the guest is to let go of them: as long as it has not, it
    writes to them.
    """
    with engine.database.read() as db:
        instance = desired.place(db, instance_id)
    compute = engine.drivers[instance.region].computes.get(instance.host)
    if compute is None or compute.machine_state(instance_id) != "running":
        return
    turn = _turns.setdefault(instance_id, _Turn())
    with turn.lock:
        machine = machine_of(engine, instance_id)
        named = {disk.disk_id for disk in machine.disks}
        leaving = (attached_disk(engine, instance_id, id) for id in volume_ids if id not in named)
        compute.move_disks(replace(machine, disks=(*machine.disks, *filter(None, leaving))))

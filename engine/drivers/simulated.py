"""A cloud in memory: real changes of state, no guests; for tests, benchmarks and users who want only the API.

It is as strict as the strictest real back end: a machine starts only when its disks and ports are there, and what is
in use is not removed. Nothing outlives the process.
"""

import heapq
import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4

from engine.drivers.base import AttachedDisk, Capacity, DriverError, Drivers, Machine, MachineState, Nic, Refused
from engine.drivers.simulated_faults import Faults
from engine.drivers.simulated_network import SimulatedNetwork
from engine.drivers.simulated_storage import SimulatedStorage

MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
log = logging.getLogger(__name__)


class _Guest:
    """A machine's power. A change that takes time comes true when somebody looks after ``due``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.boots = 0
        self.ignores_reboot = False
        self._state: MachineState = "stopped"
        self._next: MachineState = "stopped"
        self._due = 0.0

    def turn(self, state: MachineState, seconds: float) -> None:
        self._next, self._due = state, time.monotonic() + seconds
        if seconds <= 0:
            self._state = state

    @property
    def state(self) -> MachineState:
        if self._state != self._next and time.monotonic() >= self._due:
            self._state = self._next
        return self._state

    @property
    def holds_devices(self) -> bool:
        return self.state == "running" or self._next == "running"

    def console(self) -> bytes:
        lines = (
            f"[    0.000000] Linux version 6.1.0-simulated (boot {self.boots})",
            "[    0.000000] Command line: root=/dev/vda1 console=ttyS0",
            f"[    0.004000] DMI: Amazon EC2 {self.machine.id}, BIOS 1.0",
            f"[    0.010000] Memory: {self.machine.memory_mib * 1024}K available",
            f"[    0.020000] smp: Brought up 1 node, {self.machine.vcpus} CPUs",
            *(f"[    0.100000] virtio_blk {disk.device}: serial {disk.serial}" for disk in self.machine.disks),
            *(f"[    0.200000] virtio_net: {nic.mac} mtu {nic.mtu}" for nic in self.machine.nics),
            f"{self.machine.id} login: ",
        )
        return "\r\n".join(lines).encode()


class _Bell:
    """Tells watchers, from a thread of its own, which machine changed; now or at a later time."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, str]] = []
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, changed: Callable[[str], None]) -> None:
        with self._wake:
            self._watchers.append(changed)
            if len(self._watchers) == 1:
                threading.Thread(target=self._run, name="simulated-watch", daemon=True).start()

    def ring(self, id: str, seconds: float) -> None:
        with self._wake:
            if self._watchers:
                heapq.heappush(self._due, (time.monotonic() + seconds, id))
                self._wake.notify()

    def _run(self) -> None:
        while True:
            id, watchers = self._next_change()
            for changed in watchers:
                try:
                    changed(id)
                except Exception:  # a watcher's mistake must not silence the others
                    log.exception("watcher failed for machine %s", id)

    def _next_change(self) -> tuple[str, list[Callable[[str], None]]]:
        with self._wake:
            while not self._due or self._due[0][0] > time.monotonic():
                self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
            return heapq.heappop(self._due)[1], list(self._watchers)


class SimulatedCompute:
    """One host; its machines boot and stop in the seconds that Simulated says."""

    def __init__(self, cloud: "Simulated", host: str) -> None:
        self._cloud = cloud
        self._host = host
        self._guests: dict[str, _Guest] = {}
        self._bell = _Bell()

    def boot_id(self) -> str:
        """Return another id for every simulator: it forgets its machines when its process ends."""
        return self._cloud.boot_id

    def ensure_machine(self, machine: Machine) -> None:
        """Raise Refused for an impossible definition, DriverError when a disk or port is missing or in use."""
        with self._cloud.faults.change("ensure_machine"):
            _check_definition(machine)
            guest = self._guests.get(machine.id) or _Guest(machine)
            if guest.holds_devices:
                return
            self._cloud.claim_devices(machine, guest)
            guest.machine = machine
            guest.boots += 1
            guest.ignores_reboot = False
            guest.turn("running", self._cloud.boot_seconds)
            self._guests[machine.id] = guest
        if self._cloud.boot_seconds:
            self._bell.ring(machine.id, self._cloud.boot_seconds)

    def ensure_devices(self, machine: Machine) -> bool:
        """Raise Refused for an impossible definition, DriverError when a disk or port is missing or in use."""
        with self._cloud.faults.change("ensure_devices"):
            guest = self._guests.get(machine.id)
            if guest is None:
                raise DriverError(f"there is no machine {machine.id}")
            if not guest.holds_devices:
                return True
            _check_definition(machine)
            changed, complete = _with_devices_of(guest.machine, machine, machine.id in self._cloud.clinging)
            self._cloud.claim_devices(changed, guest)
            guest.machine = changed
            return complete

    def move_disks(self, machine: Machine) -> None:
        """Raise DriverError for a disk that is at another place by now, or gone."""
        with self._cloud.faults.change("move_disks"):
            guest = self._guests.get(machine.id)
            if guest is None or not guest.holds_devices:
                return
            places = {disk.serial: disk.location for disk in machine.disks}
            moved = [replace(disk, location=places.get(disk.serial, disk.location)) for disk in guest.machine.disks]
            for old, new in zip(guest.machine.disks, moved, strict=True):
                if old != new:
                    self._cloud.check_place(machine, new)
            guest.machine = replace(guest.machine, disks=tuple(moved))

    def resize_disk(self, machine_id: str, disk: AttachedDisk, size_gib: int) -> None:
        with self._cloud.faults.change("resize_disk"):
            guest = self._guests.get(machine_id)
            if guest is None or not guest.holds_devices:
                return
            if all(known.serial != disk.serial for known in guest.machine.disks):
                raise DriverError(f"machine {machine_id} has no disk {disk.disk_id}")
            self._cloud.storage_of(machine_id, disk.disk_id).resize(disk.disk_id, size_gib)

    def stop_machine(self, id: str, force: bool = False) -> None:
        with self._cloud.faults.change("stop_machine"):
            guest = self._guests.get(id)
            if guest is None or not guest.holds_devices:
                return
            seconds = 0.0 if force else self._cloud.stop_seconds
            guest.turn("stopped", seconds)
        self._bell.ring(id, seconds)

    def reboot_machine(self, id: str, force: bool = False) -> None:
        with self._cloud.faults.change("reboot_machine"):
            guest = self._guests.get(id)
            if guest is None or guest.state != "running":
                return
            guest.ignores_reboot = id in self._cloud.deaf and not force
            guest.boots += not guest.ignores_reboot

    def is_rebooting(self, id: str) -> bool:
        with self._cloud.faults.lock:
            guest = self._guests.get(id)
            return guest is not None and guest.state == "running" and guest.ignores_reboot

    def remove_machine(self, id: str) -> None:
        with self._cloud.faults.change("remove_machine"):
            guest = self._guests.pop(id, None)
            if guest:
                guest.turn("stopped", 0)
                self._cloud.release_devices(guest)

    def machine_state(self, id: str) -> MachineState | None:
        with self._cloud.faults.lock:
            guest = self._guests.get(id)
            return guest.state if guest else None

    def list_machines(self) -> dict[str, MachineState]:
        with self._cloud.faults.lock:
            return {id: guest.state for id, guest in self._guests.items()}

    def console_output(self, id: str, seen: int = -1) -> tuple[int, bytes] | None:
        """The mark is the number of boots; a machine that does not exist has written nothing."""
        with self._cloud.faults.lock:
            guest = self._guests.get(id)
            boots = guest.boots if guest else 0
            if boots == seen:
                return None
            return boots, guest.console() if guest else b""

    def capacity(self) -> Capacity:
        return self._cloud.host_capacity

    def watch(self, changed: Callable[[str], None]) -> None:
        self._bell.watch(changed)

    def power_off(self, id: str) -> bool:
        """Let the guest shut itself down; say whether it was here and running."""
        with self._cloud.faults.lock:
            guest = self._guests.get(id)
            if guest is None or guest.state != "running":
                return False
            guest.turn("stopped", 0)
        self._bell.ring(id, 0)
        return True


def _check_definition(machine: Machine) -> None:
    if machine.vcpus < 1 or machine.memory_mib < 1:
        raise Refused(f"cannot run {machine.id} with {machine.vcpus} vcpus and {machine.memory_mib} MiB")
    try:
        UUID(machine.uuid)
    except ValueError as error:
        raise Refused(f"cannot run {machine.id}: {machine.uuid} is not a UUID") from error
    if "/" in machine.id or machine.smbios.get("uuid", machine.uuid) != machine.uuid:
        raise Refused(f"cannot run {machine.id}: it has an impossible id or two UUIDs")
    if len({disk.device for disk in machine.disks}) < len(machine.disks):
        raise Refused(f"cannot run {machine.id}: two disks are the same device")
    for nic in machine.nics:
        if not MAC.fullmatch(nic.mac):
            raise Refused(f"cannot run {machine.id}: {nic.mac} is not a MAC address")


def _with_devices_of(old: Machine, new: Machine, clings: bool) -> tuple[Machine, bool]:
    """Return a running machine with the devices of another, and whether it has no others: a guest may cling to them."""
    disks, nics = {disk.serial for disk in new.disks}, {nic.mac for nic in new.nics}
    if any(disk.boot and disk.serial not in disks for disk in old.disks) or any(
        n.mac not in nics for n in old.nics[:1]
    ):
        raise Refused(f"cannot unplug the boot disk or the first card of {old.id}")
    bounds = {disk.serial: (disk.iops, disk.bytes_per_second) for disk in (*old.disks, *new.disks)}
    kept_disks = tuple(
        replace(disk, iops=bounds[disk.serial][0], bytes_per_second=bounds[disk.serial][1])
        for disk in old.disks
        if clings or disk.serial in disks
    )
    kept_nics = tuple(nic for nic in old.nics if clings or nic.mac in nics)
    slots = {disk.device for disk in kept_disks}
    changed = replace(
        old,
        disks=(*kept_disks, *(disk for disk in new.disks if disk.device not in slots)),
        nics=(*kept_nics, *(nic for nic in new.nics if nic.mac not in {kept.mac for kept in kept_nics})),
    )
    return changed, {d.serial for d in changed.disks} == disks and {n.mac for n in changed.nics} == nics


class Simulated:
    """A region of hosts, zones and a network. Set delays and faults at any time, also while it is in use.

    ``boot_seconds`` pass until a started machine is ``running``, ``stop_seconds`` until a graceful stop is done.
    ``crash_after`` n: the n-th change is done, and then raises DriverError. ``capacity`` is that of each host.
    """

    def __init__(
        self,
        capacity: Capacity | None = None,
        boot_seconds: float = 0.0,
        stop_seconds: float = 0.0,
        *,
        hosts: tuple[str, ...] = ("host-1",),
        zones: tuple[str, ...] = ("zone-1",),
        storage_gib: int = 2**30,
        crash_after: int | None = None,
    ) -> None:
        self.boot_id = uuid4().hex
        self.host_capacity = capacity or Capacity(vcpus=2**17, memory_mib=2**28)
        self.boot_seconds = boot_seconds
        self.stop_seconds = stop_seconds
        self.deaf: set[str] = set()
        """Machines whose guests ignore it when they are asked to restart."""
        self.clinging: set[str] = set()
        """Machines whose guests ignore it when they are asked to let go of a disk or a card."""
        self.faults = Faults()
        self.faults.crash_after = crash_after
        self._disk_holders: dict[str, _Guest] = {}
        self._port_holders: dict[str, _Guest] = {}
        self.computes = {host: SimulatedCompute(self, host) for host in hosts}
        self.storages = {zone: SimulatedStorage(self.faults, storage_gib) for zone in zones}
        for storage in self.storages.values():
            storage.in_use = lambda id: id in self._disk_holders and self._disk_holders[id].holds_devices
        self.network = SimulatedNetwork(self.faults.change, self._is_plugged)

    def drivers(self) -> Drivers:
        return Drivers(computes=self.computes, storages=self.storages, network=self.network)

    def fail_next(self, verb: str, error: Exception, times: int = 1) -> None:
        """Make the next ``times`` calls of a method, on whatever host or zone, raise ``error`` and change nothing."""
        self.faults.fail_next(verb, error, times)

    def power_off(self, id: str) -> None:
        """Let a guest shut itself down, as ``poweroff`` in it would; watchers are told."""
        if not any(compute.power_off(id) for compute in self.computes.values()):
            raise DriverError(f"there is no running machine {id}")

    def claim_devices(self, machine: Machine, guest: _Guest) -> None:
        """Give a machine its disks and ports, which have to be there when they are plugged in; the caller locks."""
        for disk in machine.disks:
            if not self._is_held(self._disk_holders.get(disk.disk_id), guest):
                self._check_disk(machine, disk)
        for nic in machine.nics:
            if not self._is_held(self._port_holders.get(nic.port_id), guest):
                self._check_card(machine, nic)
        self.release_devices(guest)
        self._disk_holders.update((disk.disk_id, guest) for disk in machine.disks)
        self._port_holders.update((nic.port_id, guest) for nic in machine.nics)

    @staticmethod
    def _is_held(holder: _Guest | None, guest: _Guest) -> bool:
        return holder is guest and guest.holds_devices

    def storage_of(self, machine_id: str, disk_id: str) -> SimulatedStorage:
        """Return the zone that has a disk; the caller locks."""
        for storage in self.storages.values():
            if disk_id in storage.disks:
                return storage
        raise DriverError(f"cannot run {machine_id}: there is no disk {disk_id}")

    def check_place(self, machine: Machine, disk: AttachedDisk) -> None:
        """Raise DriverError for a disk that is not where the machine would look for it; the caller locks."""
        if self.storage_of(machine.id, disk.disk_id).locate_disk(disk.disk_id) != disk.location:
            raise DriverError(f"cannot run {machine.id}: disk {disk.disk_id} is not at {disk.location.name}")

    def _check_disk(self, machine: Machine, disk: AttachedDisk) -> None:
        self.check_place(machine, disk)
        self._check_free(machine, disk.disk_id, self._disk_holders.get(disk.disk_id))

    def _check_card(self, machine: Machine, nic: Nic) -> None:
        mac = self.network.mac_of(nic.port_id)
        if mac != nic.mac:
            raise DriverError(f"cannot run {machine.id}: port {nic.port_id} has MAC {mac}, the card {nic.mac}")
        self._check_free(machine, nic.port_id, self._port_holders.get(nic.port_id))

    def release_devices(self, guest: _Guest) -> None:
        """Take back what a stopped machine held; the caller holds the lock."""
        for disk in guest.machine.disks:
            if self._disk_holders.get(disk.disk_id) is guest:
                del self._disk_holders[disk.disk_id]
        for nic in guest.machine.nics:
            if self._port_holders.get(nic.port_id) is guest:
                del self._port_holders[nic.port_id]

    @staticmethod
    def _check_free(machine: Machine, device: str, holder: _Guest | None) -> None:
        if holder and holder.machine.id != machine.id and holder.holds_devices:
            raise DriverError(f"cannot run {machine.id}: {device} is in use by machine {holder.machine.id}")

    def _is_plugged(self, port_id: str) -> bool:
        with suppress(KeyError):
            return self._port_holders[port_id].state == "running"
        return False

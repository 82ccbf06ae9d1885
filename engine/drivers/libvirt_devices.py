"""Plugs disks and cards into running domains of libvirt, bounds disks, and asks their guests to let go of others.

A guest lets go in its own time, or never: libvirt passes the request on, and tells by an event what came of it.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import libvirt
from lxml import etree

from engine.drivers.base import AttachedDisk, Location, Machine, Refused
from engine.drivers.libvirt_disks import check_written
from engine.drivers.libvirt_xml import BOUNDS, HostWays, bounds, card_xml, disk_xml

ASK_AGAIN = 5.0
"""Seconds after which a guest that still has a device is asked once more."""
PENDING = 30.0
"""Seconds in which a guest that was asked may still let go of a device; after that it is taken to have ignored it."""
UNDER_WAY = "in the process of unplug"
"""How some versions of QEMU say that the guest was asked already; libvirt has no code for it."""


class _Device(NamedTuple):
    """A disk or a card of a running domain. ``slot`` is a disk's name there (vda); what is ``fixed`` stays."""

    alias: str
    slot: str
    fixed: bool
    bounds: dict[str, int]


class _Wanted(NamedTuple):
    """What a domain should have; only a disk is somewhere."""

    slot: str
    definition: str
    bounds: dict[str, int]
    location: Location | None = None


@dataclass
class _Memory:
    """What is known of one domain's devices besides libvirt's own word; ``turn`` lets one thread change them."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    asked: dict[str, float] = field(default_factory=dict)
    """When the guest was last asked to let go of a device, by its alias."""

    def keep_only(self, aliases: set[str]) -> None:
        self.asked = {alias: when for alias, when in self.asked.items() if alias in aliases}

    def ask(self, domain: Any, aliases: Iterable[str]) -> bool:
        """Ask for what was not asked for yet, or long ago; say whether there was any."""
        now, any_asked = time.monotonic(), False
        for alias in aliases:
            if now - self.asked.get(alias, -ASK_AGAIN) >= ASK_AGAIN:
                _ask(domain, alias)
                self.asked[alias], any_asked = now, True
        return any_asked

    def may_lose(self, aliases: Iterable[str]) -> bool:
        """Say whether the guest may yet let go of one of these: it was asked not long ago and has not answered."""
        now = time.monotonic()
        return any(now - self.asked.get(alias, -PENDING) < PENDING for alias in aliases)


class HotPlug:
    """The devices of one host's running domains. A disk is known by its serial, a card by its MAC address."""

    def __init__(self, ways: HostWays) -> None:
        self._ways = ways
        self._memories: dict[str, _Memory] = {}

    def listen(self, connection: Any) -> None:
        """Have libvirt tell when a guest let go of a device, or refused to."""
        for event in (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED):
            connection.domainEventRegisterAny(None, event, self._on_answer, None)

    def forget(self, id: str) -> None:
        self._memories.pop(id, None)

    def ensure(self, domain: Any, machine: Machine) -> tuple[bool, bool]:
        """Return whether the running domain has the machine's devices and no others now, and whether it was changed."""
        memory = self._memories.setdefault(machine.id, _Memory())
        with memory.turn:
            present, wanted = _devices(domain), self._wanted(machine)
            memory.keep_only({device.alias for device in present.values()})
            extra = {key: device for key, device in present.items() if key not in wanted}
            _refuse_fixed(machine.id, extra)
            asked = memory.ask(domain, [device.alias for device in extra.values()])
            missing = _ready({key: each for key, each in wanted.items() if key not in present}, extra)
            for key, device in missing.items():
                _plug(domain, key, device)
            kept = {key: device for key, device in present.items() if key in wanted}
            bounded = [_bound(domain, device, wanted[key]) for key, device in kept.items()]
            complete = not extra and not memory.may_lose(device.alias for device in kept.values())
            return complete, asked or bool(missing) or any(bounded)

    @contextmanager
    def turn(self, id: str) -> Iterator[None]:
        """Let nobody else here change the disks of a machine."""
        with self._memories.setdefault(id, _Memory()).turn:
            yield

    def _wanted(self, machine: Machine) -> dict[str, _Wanted]:
        disks = {_disk_key(disk.serial): self._wanted_disk(disk) for disk in machine.disks}
        return disks | {_card_key(nic.mac): _Wanted("", card_xml(nic, self._ways), {}) for nic in machine.nics}

    def _wanted_disk(self, disk: AttachedDisk) -> _Wanted:
        return _Wanted(disk.device, disk_xml(disk, self._ways), bounds(disk), disk.location)

    def _on_answer(self, connection: Any, domain: Any, alias: str, opaque: object) -> None:
        # This is the event loop's thread: a call to libvirt from here would wait for itself.
        memory = self._memories.get(domain.name())
        if memory is not None:
            memory.asked.pop(alias, None)


def _disk_key(serial: str) -> str:
    return f"disk {serial}"


def _card_key(mac: str) -> str:
    return f"card {mac}"


def _devices(domain: Any) -> dict[str, _Device]:
    """Return what a running domain has now. Its cards are in the order in which they came, the first one first."""
    found: dict[str, _Device] = {}
    devices: Any = etree.fromstring(domain.XMLDesc()).find("devices")
    for disk in devices.iterfind("disk"):
        slot = disk.find("target").get("dev")
        limits = {name: int(disk.findtext(f"iotune/{name}", "0")) for name in BOUNDS}
        fixed = disk.find("boot") is not None
        found[_disk_key(disk.findtext("serial", slot))] = _Device(_alias(disk), slot, fixed, limits)
    for number, card in enumerate(devices.iterfind("interface")):
        found[_card_key(card.find("mac").get("address"))] = _Device(_alias(card), "", number == 0, {})
    return found


def _alias(device: Any) -> str:
    return str(device.find("alias").get("name"))


def _refuse_fixed(id: str, extra: Mapping[str, _Device]) -> None:
    for key, device in extra.items():
        if device.fixed:
            raise Refused(f"cannot unplug {key} of {id}: the boot disk and the first card stay")


def _ready(missing: Mapping[str, _Wanted], extra: Mapping[str, _Device]) -> dict[str, _Wanted]:
    """Return what can be plugged now: a disk has to wait until its name is free again."""
    taken = {device.slot for device in extra.values() if device.slot}
    return {key: wanted for key, wanted in missing.items() if wanted.slot not in taken}


def _bound(domain: Any, device: _Device, wanted: _Wanted) -> bool:
    """Give a disk other bounds where it has to have them; say whether it had."""
    if device.bounds == wanted.bounds:
        return False
    domain.setBlockIoTune(device.slot, wanted.bounds, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return True


def _plug(domain: Any, key: str, device: _Wanted) -> None:
    if device.location is not None:
        check_written(device.location)
    try:
        domain.attachDeviceFlags(device.definition, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError:
        if not _is_there(domain, key):  # else another process was quicker
            raise


def _is_there(domain: Any, key: str) -> bool:
    with suppress(libvirt.libvirtError):
        return key in _devices(domain)
    return False


def _ask(domain: Any, alias: str) -> None:
    """Ask the guest to let go of a device, without waiting for its answer."""
    try:
        domain.detachDeviceAlias(alias, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        if UNDER_WAY not in str(error) and alias in _aliases(domain):
            raise


def _aliases(domain: Any) -> set[str]:
    return {device.alias for device in _devices(domain).values()}

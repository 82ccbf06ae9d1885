"""The definition of a machine as libvirt's domain XML (https://libvirt.org/formatdomain.html)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid5

from lxml import etree
from lxml.builder import E, ElementMaker  # type: ignore[import-not-found]

from engine.drivers.base import PORT_NAMESPACE, AttachedDisk, Location, Machine, Nic, Refused, port_uuid

Element = Any
"""lxml-stubs do not know lxml.builder."""
Accelerator = Literal["kvm", "tcg"]
Datapath = Literal["netdev", "system"]

NAMESPACE = "urn:groundfog:machine"
"""The metadata element that tells Groundfog's domains from others on the same host."""
OWNED = ElementMaker(namespace=NAMESPACE, nsmap={"groundfog": NAMESPACE})

BRIDGE = "br-int"
SPARE_ROOT_PORTS = 16
"""PCI Express slots kept free for disks and cards that are attached while the guest runs."""

HOST_OFFLOADS = ("csum", "gso", "tso4", "tso6", "ecn", "ufo", "mrg_rxbuf")
GUEST_OFFLOADS = ("csum", "tso4", "tso6", "ecn", "ufo")

DISK_TYPES = {"file": "file", "block": "block", "rbd": "network", "iscsi": "network"}
"""What libvirt calls the kinds of places that disks are in; others it cannot reach."""
BOUNDS = ("total_bytes_sec", "total_iops_sec")
SYSTEM_FIELDS = ("manufacturer", "product", "version", "serial", "uuid")
CHASSIS_FIELDS = ("manufacturer", "version", "serial", "asset")


@dataclass(frozen=True)
class HostWays:
    """How one host runs machines. ``takes_direct_io(path)`` says whether a file can be opened with O_DIRECT."""

    accelerator: Accelerator
    datapath: Datapath
    takes_direct_io: Callable[[str], bool]


def owner_of(mark: str) -> str | None:
    """Return whose a domain is, from its metadata element as libvirt gives it; None if it is not Groundfog's."""
    return etree.fromstring(mark).get("owner", "") if mark else None


def domain_xml(machine: Machine, ways: HostWays, console_log: str, owner: str = "") -> str:
    """Return a machine's domain, its console written to ``console_log``; raise Refused if there is none.

    No graphics, USB, balloon or option ROMs: each costs firmware and boot time and a cloud guest uses none.
    """
    domain = E.domain(
        E.name(machine.id),
        E.uuid(_uuid(machine)),
        E.metadata(OWNED.machine(owner=owner)),
        E.memory(str(machine.memory_mib), unit="MiB"),
        E.currentMemory(str(machine.memory_mib), unit="MiB"),
        E.vcpu(str(machine.vcpus), placement="static"),
        *_sysinfo(machine),
        _os(machine),
        E.features(E.acpi(), E.apic(), E.vmport(state="off")),
        _cpu(machine.vcpus, ways.accelerator),
        _clock(ways.accelerator),
        E.on_poweroff("destroy"),
        E.on_reboot("restart"),
        E.on_crash("destroy"),
        E.pm(E("suspend-to-mem", enabled="no"), E("suspend-to-disk", enabled="no")),
        _devices(machine, ways, console_log),
        type="kvm" if ways.accelerator == "kvm" else "qemu",
    )
    text: str = etree.tostring(domain, encoding="unicode", pretty_print=True)
    return text


def _os(machine: Machine) -> Element:
    """Return what boots a machine. For UEFI libvirt chooses the build, which is to start what nobody has signed."""
    element = E.os(
        E.type("hvm", arch="x86_64", machine="q35"), E.smbios(mode="sysinfo" if machine.smbios else "emulate")
    )
    if machine.firmware == "uefi":
        element.set("firmware", "efi")
        unwanted = (E.feature(enabled="no", name=name) for name in ("enrolled-keys", "secure-boot"))
        element.insert(1, E.firmware(*unwanted))
    return element


def disk_xml(disk: AttachedDisk, ways: HostWays) -> str:
    """Return the definition of one disk, as it is plugged into a running domain."""
    text: str = etree.tostring(_disk(disk, ways), encoding="unicode")
    return text


def card_xml(nic: Nic, ways: HostWays) -> str:
    """Return the definition of one card, as it is plugged into a running domain."""
    text: str = etree.tostring(_card(nic, ways.datapath), encoding="unicode")
    return text


def moves_xml(moves: Mapping[str, AttachedDisk], slots: Iterable[str]) -> str:
    """Return the snapshot by which a running domain moves disks, by name (vda), to where they are; its others stay."""
    disks = (_move(slot, moves[slot]) if slot in moves else E.disk(name=slot, snapshot="no") for slot in slots)
    text: str = etree.tostring(E.domainsnapshot(E.disks(*disks)), encoding="unicode")
    return text


def _move(slot: str, disk: AttachedDisk) -> Element:
    if disk.location.protocol in ("rbd", "iscsi"):
        raise Refused(f"cannot move {slot} to {disk.location.name}: {disk.location.protocol} disks stay where they are")
    return E.disk(*_place(disk), name=slot, snapshot="external", type=DISK_TYPES[disk.location.protocol])


def _place(disk: AttachedDisk) -> tuple[Element, Element]:
    where = disk.location
    if where.protocol not in DISK_TYPES:
        raise Refused(f"cannot use {where.name}: this host has no way to reach a {where.protocol} disk")
    if where.protocol == "rbd":
        source = _in_cluster(where)
    elif where.protocol == "iscsi":
        source = _at_portal(where)
    else:
        source = E.source(**{"file" if where.protocol == "file" else "dev": where.name})
    if disk.key:
        source.append(_encryption(disk))
    return E.driver(type=where.format), source


def secret_uuid(disk: AttachedDisk) -> str:
    """Return what libvirt is to call the secret that opens a disk."""
    return str(uuid5(PORT_NAMESPACE, f"key of {disk.disk_id}"))


def _encryption(disk: AttachedDisk) -> Element:
    return E.encryption(E.secret(type="passphrase", uuid=secret_uuid(disk)), format="luks")


def _backing(disk: AttachedDisk) -> list[Element]:
    """Return the files below an encrypted disk: libvirt finds them by itself, but not what opens them."""
    if not disk.key or disk.location.protocol != "file":
        return []
    store = E.backingStore()
    for path in reversed(disk.location.below):
        source = E.source(_encryption(disk), file=path)
        store = E.backingStore(E.format(type="qcow2"), source, store, type="file")
    return [store]


def _in_cluster(where: Location) -> Element:
    """Return the source of a disk in a Ceph cluster, whose key libvirt has as a secret."""
    if where.cluster is None:
        raise Refused(f"cannot use {where.name}: nobody says where its cluster is")
    return E.source(
        *(E.host(name=host, port=str(port)) for host, port in where.cluster.monitors),
        E.auth(E.secret(type="ceph", uuid=where.cluster.secret), username=where.cluster.user),
        protocol="rbd",
        name=where.name,
    )


def _at_portal(where: Location) -> Element:
    """Return the source of a disk that QEMU's own iSCSI initiator reaches: the host's kernel has no part in it."""
    portal = where.portal
    if portal is None:
        raise Refused(f"cannot use {where.name}: nobody says where its target is")
    source = E.source(E.host(name=portal.host, port=str(portal.port)), protocol="iscsi", name=where.name)
    if portal.user:
        source.append(E.auth(E.secret(type="iscsi", uuid=portal.secret), username=portal.user))
    return source


def _speed(where: Location, ways: HostWays) -> dict[str, str]:
    if where.protocol == "rbd":  # librbd's own cache; what a guest flushes is in the cluster
        return {"cache": "writeback"}
    if where.protocol == "iscsi":
        return {"cache": "none"}
    if where.protocol == "block" or ways.takes_direct_io(where.name):
        return {"cache": "none", "io": "native"}
    return {"cache": "writeback", "io": "threads"}


def _uuid(machine: Machine) -> str:
    try:
        return str(UUID(machine.uuid))
    except ValueError as error:  # libvirt would call it an internal error, as if trying again could help
        raise Refused(f"cannot start {machine.id}: {machine.uuid!r} is not a UUID") from error


def _sysinfo(machine: Machine) -> list[Element]:
    given = machine.smbios
    if not given:
        return []
    system = (E.entry(given[field], name=field) for field in SYSTEM_FIELDS if given.get(field))
    chassis = (E.entry(given[field], name=field) for field in CHASSIS_FIELDS if given.get(field))
    # EC2's Nitro shows the instance id as the asset tag of the board (dmidecode on an instance).
    board = (E.entry(given[field], name=field) for field in ("manufacturer", "asset") if given.get(field))
    bios = (E.entry(given[field], name="vendor") for field in ("manufacturer",) if given.get(field))
    return [E.sysinfo(E.bios(*bios), E.system(*system), E.baseBoard(*board), E.chassis(*chassis), type="smbios")]


def _cpu(vcpus: int, accelerator: Accelerator) -> Element:
    topology = E.topology(sockets="1", cores=str(vcpus), threads="1")
    if accelerator == "kvm":
        return E.cpu(topology, mode="host-passthrough", check="none", migratable="on")
    return E.cpu(topology, mode="maximum", check="none")


def _clock(accelerator: Accelerator) -> Element:
    timers = [E.timer(name="rtc", tickpolicy="catchup"), E.timer(name="pit", tickpolicy="delay")]
    if accelerator == "kvm":  # kvmclock is better than an emulated HPET; TCG has nothing better
        timers.append(E.timer(name="hpet", present="no"))
    return E.clock(*timers, offset="utc")


def _devices(machine: Machine, ways: HostWays, console_log: str) -> Element:
    used = len(machine.disks) + len(machine.nics) + 1  # and the random number generator
    root_ports = [E.controller(type="pci", model="pcie-root-port") for _ in range(used + SPARE_ROOT_PORTS)]
    return E.devices(
        E.controller(type="pci", model="pcie-root"),
        *root_ports,
        E.controller(type="usb", model="none"),
        *(_disk(disk, ways) for disk in machine.disks),
        *(_card(nic, ways.datapath) for nic in machine.nics),
        E.serial(
            E.log(file=console_log, append="on"),
            E.target(E.model(name="isa-serial"), type="isa-serial", port="0"),
            type="pty",
        ),
        E.console(E.target(type="serial", port="0"), type="pty"),
        E.rng(E.backend("/dev/urandom", model="random"), model="virtio"),
        E.memballoon(model="none"),
    )


def _disk(disk: AttachedDisk, ways: HostWays) -> Element:
    driver, source = _place(disk)
    driver.attrib.update({"name": "qemu", "discard": "unmap", **_speed(disk.location, ways)})
    element = E.disk(
        driver,
        source,
        *_backing(disk),
        E.target(dev=disk.device, bus="virtio"),
        E.serial(disk.serial),
        type=DISK_TYPES[disk.location.protocol],
        device="disk",
    )
    if disk.boot:
        element.append(E.boot(order="1"))
    if limits := [E(name, str(limit)) for name, limit in bounds(disk).items() if limit]:
        element.append(E.iotune(*limits))
    return element


def bounds(disk: AttachedDisk) -> dict[str, int]:
    """Return what libvirt calls a disk's bounds; 0 where it is free."""
    return dict(zip(BOUNDS, (disk.bytes_per_second or 0, disk.iops or 0), strict=True))


def _card(nic: Nic, datapath: Datapath) -> Element:
    card = E.interface(
        E.mac(address=nic.mac),
        E.source(bridge=BRIDGE),
        E.virtualport(E.parameters(interfaceid=port_uuid(nic.port_id)), type="openvswitch"),
        E.model(type="virtio"),
        E.mtu(size=str(nic.mtu)),
        E.rom(enabled="no"),
        # A name of its own, which libvirt gives once in a domain: of two who plug the same card, one is refused.
        E.alias(name=f"ua-{nic.mac.replace(':', '-')}"),
        type="bridge",
    )
    if datapath == "netdev":  # Open vSwitch's userspace datapath does not complete virtio's partial checksums
        host, guest = dict.fromkeys(HOST_OFFLOADS, "off"), dict.fromkeys(GUEST_OFFLOADS, "off")
        card.append(E.driver(E.host(**host), E.guest(**guest), name="qemu"))
    return card

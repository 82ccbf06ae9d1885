"""What a hypervisor, a disk store and a network must be able to do, in plain nouns.

The protocols say what must be true, never how: KVM, OpenStack and the simulator implement the same ones.

Every ``ensure_`` makes the thing exactly what its argument says, may be called again after a crash, and then
changes nothing. Every ``remove_`` succeeds when the thing is already gone. No call takes longer than
``CALL_LIMIT`` seconds: a driver starts slow work, and the step that wants it asks again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from uuid import NAMESPACE_DNS, UUID, uuid5

CALL_LIMIT = 60

MachineState = Literal["running", "stopped"]
"""``stopped`` means that the machine is defined and has no running process, for whatever reason."""


class DriverError(Exception):
    """The back end failed; trying again may help."""


class Refused(DriverError):
    """The back end will never accept this request."""


PORT_NAMESPACE: UUID = uuid5(NAMESPACE_DNS, "groundfog")


def port_uuid(port_id: str) -> str:
    """Return the UUID by which a hypervisor and a network, which know only UUIDs, mean the same Port."""
    return str(uuid5(PORT_NAMESPACE, port_id))


# -- disks -------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A block device of ``size_gib`` GiB; a thin clone of snapshot ``source`` where one is named."""

    id: str
    size_gib: int
    source: str | None = None


@dataclass(frozen=True)
class Location:
    """Where a hypervisor finds a disk: a file's path, an ``rbd`` image's name, or another cloud's volume id."""

    protocol: Literal["file", "block", "rbd", "volume", "none"]
    name: str
    format: Literal["qcow2", "raw"] = "qcow2"


class Storage(Protocol):
    """One backend of disks and snapshots."""

    def ensure_disk(self, disk: Disk) -> None: ...
    def remove_disk(self, id: str) -> None: ...
    def list_disks(self) -> set[str]: ...
    def locate_disk(self, id: str) -> Location: ...

    def import_snapshot(self, id: str, file: Path) -> int:
        """Keep a copy of an image file as snapshot ``id``; return its virtual size in GiB, rounded up.

        Raise Refused for a file that qemu-img does not know, or that names other files (backing or data files).
        """
        ...

    def remove_snapshot(self, id: str) -> None:
        """Forget a snapshot; disks that were cloned from it go on working."""
        ...

    def list_snapshots(self) -> set[str]: ...

    def free_gib(self) -> int:
        """Return how many GiB the backend can still take."""
        ...


# -- machines ----------------------------------------------------------------


@dataclass(frozen=True)
class AttachedDisk:
    """A disk as a machine sees it. ``device`` is ``vda``, ``vdb`` ...; ``serial`` is what the guest reads as serial."""

    disk_id: str
    device: str
    location: Location
    serial: str
    boot: bool = False


@dataclass(frozen=True)
class Nic:
    """A network card: ``port_id`` is the id of the Port it is plugged into; ``mac`` in lower case with colons."""

    port_id: str
    mac: str
    mtu: int = 1442


@dataclass(frozen=True)
class Machine:
    """A virtual machine. ``memory_mib`` is what the guest is given; ``asset`` are SMBIOS strings."""

    id: str
    uuid: str
    vcpus: int
    memory_mib: int
    disks: tuple[AttachedDisk, ...]
    nics: tuple[Nic, ...]
    smbios: Mapping[str, str] = field(default_factory=dict, hash=False)
    """``manufacturer, product, version, serial, uuid, asset`` of SMBIOS' system and chassis, where set."""


@dataclass(frozen=True)
class Capacity:
    """What a host has for guests."""

    vcpus: int
    memory_mib: int


class Compute(Protocol):
    """One host (or one other cloud) that runs machines."""

    def ensure_machine(self, machine: Machine) -> None:
        """Define the machine if need be and start it if it is not running. A stopped one takes the new definition."""
        ...

    def stop_machine(self, id: str, force: bool = False) -> None:
        """Ask the guest to power down (ACPI), or with ``force`` cut its power at once. Does not wait."""
        ...

    def reboot_machine(self, id: str, force: bool = False) -> None:
        """Ask the guest to restart, or with ``force`` press its reset button; its disks and ports stay.

        Does not wait. No effect on a stopped machine.
        """
        ...

    def is_rebooting(self, id: str) -> bool:
        """Say whether a guest that was asked to restart, without force, is running and has not begun to yet."""
        ...

    def remove_machine(self, id: str) -> None:
        """Cut the power and forget the machine with its console; its disks and ports are not touched."""
        ...

    def machine_state(self, id: str) -> MachineState | None: ...
    def list_machines(self) -> dict[str, MachineState]: ...

    def console_output(self, id: str, seen: int = -1) -> tuple[int, bytes] | None:
        """Return (mark, the last 64 KiB of console output), or None when the mark still equals ``seen``."""
        ...

    def capacity(self) -> Capacity: ...

    def boot_id(self) -> str:
        """Return what stays the same for as long as machines can only have stopped by themselves or by us.

        Another value means that the host was restarted: what ran must be started again.
        """
        ...

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed(id)`` from a thread of the driver's own soon after a machine starts or stops by itself."""
        ...


# -- networks ----------------------------------------------------------------

METADATA_ADDRESS, METADATA_ADDRESS_6 = "169.254.169.254", "fd00:ec2::254"
"""Where a guest finds the instance metadata service (EC2 user guide, "Retrieve instance metadata")."""
RESOLVER_ADDRESS, RESOLVER_ADDRESS_6 = "169.254.169.253", "fd00:ec2::253"
"""Where the resolver answers besides the address in the VPC's range (VPC user guide, "Amazon DNS server")."""


@dataclass(frozen=True)
class Route:
    """Where packets to ``destination`` (a CIDR of either IP version) go.

    ``via`` is an address of the network; the id of one of its peerings; ``uplink``; ``outbound``, the uplink for
    connections that begin inside (IPv6); ``outlet``, the uplink with the router's own address as source (IPv4);
    or ``blackhole``. An address leads even to what is more specific than the network's own ranges.
    """

    destination: str
    via: str


@dataclass(frozen=True)
class FilterRule:
    """A line of a subnet's stateless filter; ``cidr`` is the other end's, ports are those of ``Rule``."""

    number: int
    direction: Literal["in", "out"]
    allow: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None


@dataclass(frozen=True)
class Told:
    """What DHCP tells the guests of a network besides their addresses and their router."""

    dns_servers: tuple[str, ...] = ()
    domain_name: str = ""
    ntp_servers: tuple[str, ...] = ()
    netbios_servers: tuple[str, ...] = ()
    netbios_type: int | None = None


@dataclass(frozen=True)
class Subnet:
    """A range of a network, and one of IPv6 (a /64) where it has one; its router has the first address of each.

    ``filter`` decides on each packet that enters or leaves the subnet, replies too: the first line by number that
    matches, and what no line names is dropped; None lets everything pass. ``mac_prefix`` (``06:ab:cd``) is that of
    every card in the subnet and of no other card in the network: guests reach other subnets by the router alone.
    ``cidr`` is empty for a subnet of IPv6 alone.
    """

    id: str
    cidr: str
    cidr6: str = ""
    routes: tuple[Route, ...] = ()
    filter: tuple[FilterRule, ...] | None = None
    mac_prefix: str = ""


@dataclass(frozen=True)
class Router:
    """What the router of a subnet goes by on the link: its MAC address and its link-local one of IPv6."""

    mac: str
    address: str


@dataclass(frozen=True)
class Uplink:
    """A network's way to the external network: the router's own address there.

    ``arriving`` are routes that packets from outside take instead of the straight one, by their destination inside.
    """

    address: str
    arriving: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Peering:
    """A link between two networks: what comes over it is from the peer's ranges and for this network's.

    ``address`` and ``peer_address`` are the two routers' own on the link, in the same /30; each network names the
    peering by the same id, and the other network as its peer.
    """

    id: str
    peer_id: str
    address: str
    peer_address: str
    peer_cidrs: tuple[str, ...]


@dataclass(frozen=True)
class Nat:
    """A one-to-one public address of a private one, in both directions."""

    private: str
    public: str


@dataclass(frozen=True)
class NatGateway:
    """A router of its own in a subnet: what is sent to one of its addresses goes on with that address as source."""

    id: str
    subnet_id: str
    addresses: tuple[str, ...]
    nats: tuple[Nat, ...] = ()


@dataclass(frozen=True)
class Network:
    """An isolated private network: its ranges may equal another network's. ``vlan`` None means overlay.

    ``resolver`` is the address at which the network itself answers DNS, besides 169.254.169.253; the metadata service
    is at 169.254.169.254. ``is_logged`` has what filters and groups drop written to the host's log.
    """

    id: str
    cidrs: tuple[str, ...]
    vlan: int | None
    subnets: tuple[Subnet, ...] = ()
    uplink: Uplink | None = None
    peerings: tuple[Peering, ...] = ()
    nat_gateways: tuple[NatGateway, ...] = ()
    told: Told = Told()
    resolver: str = ""
    is_logged: bool = False


@dataclass(frozen=True)
class Rule:
    """What may pass. ``peer`` is a Group's id, or CIDRs, all of one IP version. For ICMP ``from_port`` is the type and
    ``to_port`` the code.

    ``protocol`` is ``all``, ``tcp``, ``udp``, ``icmp``, ``icmpv6`` or an IANA protocol number as text.
    ``from_port``/``to_port`` None or -1 mean any. ``id`` is what a trace calls it by.
    """

    direction: Literal["in", "out"]
    protocol: str
    peer: str | tuple[str, ...]
    from_port: int | None = None
    to_port: int | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Group:
    """A set of ports and what may pass to and from them; replies to what passed may pass too (stateful)."""

    id: str
    network_id: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Port:
    """A place where a card is plugged in. Only its own MAC and addresses may pass; ``forwarding``, its MAC.

    ``addresses``: the first of each IP version is given by DHCP; CIDRs are ranges that are its own. ``groups`` never
    empty: what none of them allows is dropped.
    """

    id: str
    network_id: str
    subnet_id: str
    mac: str
    addresses: tuple[str, ...]
    groups: tuple[str, ...]
    nats: tuple[Nat, ...] = ()
    forwarding: bool = False


class NetworkDriver(Protocol):
    """One network control plane."""

    def ensure_network(self, network: Network) -> None:
        """Make the network, its subnets and its uplink what they should be; subnets not named any more go."""
        ...

    def remove_network(self, id: str) -> None: ...
    def list_networks(self) -> set[str]: ...

    def ensure_group(self, group: Group) -> None:
        """Make the group's rules so; its members stay. A peer group that does not exist yet counts as empty."""
        ...

    def remove_group(self, id: str) -> None: ...
    def list_groups(self) -> set[str]: ...

    def ensure_port(self, port: Port) -> None:
        """Make the port, its memberships and its public addresses so. Its network and groups were ensured before."""
        ...

    def remove_port(self, id: str) -> None: ...
    def list_ports(self) -> set[str]: ...

    def port_is_up(self, id: str) -> bool:
        """Say whether a machine is plugged in and packets can pass."""
        ...


@dataclass(frozen=True)
class Drivers:
    """The engine of a region: hosts by name, disk backends by zone name, and the network."""

    computes: Mapping[str, Compute]
    storages: Mapping[str, Storage]
    network: NetworkDriver

"""What a network must be able to do, and the nouns in which it is told; the rules of ``base`` are its, too."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from engine.drivers.packets import Hop, Packet

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
class Seat:
    """What a service of the operator has in a subnet: ``address`` with the length of its prefix, and its router's."""

    mac: str
    address: str
    router: str
    mtu: int


@dataclass(frozen=True)
class Uplink:
    """A network's way to the external network: the router's own address there.

    ``arriving`` are routes that packets from outside take instead of the straight one, by their destination inside.
    ``only_out`` keeps connections that begin outside from coming in by IPv6, whatever the subnets' routes.
    """

    address: str
    arriving: tuple[Route, ...] = ()
    only_out: bool = False


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
    """A router of its own in a subnet: what is sent to the first of its addresses goes on with one of them as source.

    ``draining`` are those that serve the connections that they have, and no new ones; never the first.
    """

    id: str
    subnet_id: str
    addresses: tuple[str, ...]
    nats: tuple[Nat, ...] = ()
    draining: tuple[str, ...] = ()


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

    def trace(self, packet: Packet) -> tuple[Hop, ...]:
        """Return what a packet would come by, without sending it. The last hop says what becomes of it: ``passed``
        means that it is at a port that forwards. Raise DriverError when there is no such port.
        """
        ...

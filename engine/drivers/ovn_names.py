"""What the rows of the northbound database are called: every name follows from an id, so nothing need be remembered."""

from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from engine.drivers.base import Refused
from engine.drivers.networking import METADATA_ADDRESS as METADATA_ADDRESS
from engine.drivers.networking import METADATA_ADDRESS_6 as METADATA_ADDRESS_6
from engine.drivers.networking import RESOLVER_ADDRESS as RESOLVER_ADDRESS
from engine.drivers.networking import RESOLVER_ADDRESS_6 as RESOLVER_ADDRESS_6
from engine.drivers.networking import Router, Subnet

Range = IPv4Network | IPv6Network


METER = "groundfog-drops"
"""What bounds how many dropped packets are logged, so that a flood fills no disk."""


def metadata_port(network_id: str) -> str:
    """Return the name of a network's port to the metadata service: the ``iface-id`` of the interface that serves it."""
    return f"metadata-{network_id}"


def mac_of(name: str, subnet: Subnet | None = None) -> str:
    """Return a MAC address that follows from a name: unicast, locally administered, of a prefix no guest is given.

    That of a router's port in ``subnet`` begins as those of the subnet's cards do, but for the first byte.
    """
    digest = [f"{byte:02x}" for byte in sha256(name.encode()).digest()]
    place = subnet.mac_prefix.split(":")[1:] if subnet else []
    return ":".join([ROUTERS, *place, *digest[: 5 - len(place)]])


def metadata_mac(network_id: str) -> str:
    """Return the MAC address of a network's port to its own services."""
    return mac_of(metadata_port(network_id)).replace(ROUTERS, SERVICES, 1)


CARDS, ROUTERS, SERVICES = "06", "f2", "f6"
"""The first byte of the MAC addresses of guests' cards, of routers, and of what a network itself serves."""


def link_local_of(name: str, subnet: Subnet | None = None) -> str:
    """Return the IPv6 address that OVN gives to a router port of that name by itself (RFC 4291, appendix A)."""
    a, b, c, d, e, f = (int(part, 16) for part in mac_of(name, subnet).split(":"))
    return str(ip_address(f"fe80::{a ^ 2:02x}{b:02x}:{c:02x}ff:fe{d:02x}:{e:02x}{f:02x}"))


def router_of(subnet: Subnet) -> Router:
    """Return what a subnet's router goes by among its guests."""
    name = router_port(subnet.id)
    return Router(mac_of(name, subnet), link_local_of(name, subnet))


def localnet_port(id: str) -> str:
    return f"wire-{id}"


def router_port(id: str) -> str:
    """Return the name of the router's end of the link to a subnet; ``switch_port`` is the switch's end."""
    return f"lrp-{id}"


def switch_port(id: str) -> str:
    return f"lsp-{id}"


BORDER_INSIDE, BORDER_OUTSIDE = "169.254.255.254", "169.254.255.253"
"""The two ends of the link between a network's router and its border: the same in every network."""


def border(network_id: str) -> str:
    """Return the name of a network's border, the router with its public addresses; its link inside has it, too."""
    return f"border-{network_id}"


def border_link(network_id: str) -> str:
    """Return what to name the inner router's end of its link to the border."""
    return f"out-{network_id}"


SINK, SINK_6 = "169.254.255.250", "fd00:ec2:0:1::2"
"""Where a logged network's router leads what must not leave a subnet; the router's end is the address before."""


def sink(network_id: str) -> str:
    """Return the name of the switch, and of the place on it, that the denied packets of a network end in."""
    return f"sink-{network_id}"


def sink_mac(network_id: str) -> str:
    return mac_of(sink(network_id)).replace(ROUTERS, SERVICES, 1)


def outer_link(network_id: str) -> str:
    """Return what to name the link between a network's border and the external switch."""
    return f"external-{network_id}"


def edge_link(network_id: str) -> str:
    """Return what to name a network's end of its link to the edge, by IPv6; ``edge_end`` is the edge's."""
    return f"edge-{network_id}"


def edge_end(network_id: str) -> str:
    return f"from-edge-{network_id}"


def peering_link(peering_id: str, network_id: str) -> str:
    """Return what to name a network's end of a peering."""
    return f"{peering_id}-{network_id}"


def port_group(id: str) -> str:
    """Return the name of a group's port group; that of a network or subnet holds all of its ports."""
    return "pg_" + id.replace("-", "_")


def addresses_of(id: str, version: int) -> str:
    """Return how an expression refers to the addresses, of IP version 4 or 6, of a group's members."""
    return f"${port_group(id)}_ip{version}"


def address(text: str) -> IPv4Address:
    """Raise Refused for what is no IPv4 address: a database row takes any text, and OVN would ignore it silently."""
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise Refused(f"{text!r} is not an IPv4 address") from error


def any_address(text: str) -> str:
    """Return an address of either IP version as OVN writes it."""
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise Refused(f"{text!r} is not an address") from error


def network(text: str) -> IPv4Network:
    """Raise Refused for what is no IPv4 range."""
    found = any_network(text)
    if not isinstance(found, IPv4Network):
        raise Refused(f"{text!r} is not a range of IPv4 addresses")
    return found


def any_network(text: str) -> Range:
    """Return a range of either IP version, or raise Refused."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise Refused(f"{text!r} is not a range of addresses") from error


def router_addresses(cidr: str, cidr6: str) -> list[str]:
    """Return what a subnet's router has: the first address of each range, with its length."""
    return [f"{found[1]}/{found.prefixlen}" for found in map(any_network, filter(None, (cidr, cidr6)))]


def of_version(version: int, cidrs: Iterable[str]) -> list[str]:
    """Return those of the ranges that are of an IP version."""
    return [str(found) for found in map(any_network, cidrs) if found.version == version]


def one_of(values: Iterable[str]) -> str:
    """Return a set as OVN's expressions write it."""
    return "{" + ", ".join(values) + "}"

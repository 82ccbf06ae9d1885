"""What the rows of the northbound database are called: every name follows from an id, so nothing need be remembered."""

from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_network

from engine.drivers.base import Refused

METADATA_ADDRESS = "169.254.169.254"
"""Where a guest finds the instance metadata service (EC2 user guide, "Retrieve instance metadata")."""


def metadata_port(network_id: str) -> str:
    """Return the name of a network's port to the metadata service: the ``iface-id`` of the interface that serves it."""
    return f"metadata-{network_id}"


def mac_of(name: str) -> str:
    """Return a MAC address that follows from a name: unicast, locally administered, of a prefix no guest is given."""
    return ":".join(["f2", *(f"{byte:02x}" for byte in sha256(name.encode()).digest()[:5])])


def localnet_port(id: str) -> str:
    return f"wire-{id}"


def router_port(id: str) -> str:
    """Return the name of the router's end of the link to a subnet; ``switch_port`` is the switch's end."""
    return f"lrp-{id}"


def switch_port(id: str) -> str:
    return f"lsp-{id}"


def external_port(network_id: str) -> str:
    """Return what to name the link between a network's router and the external switch."""
    return f"external-{network_id}"


def port_group(id: str) -> str:
    """Return the name of a group's port group; that of a network holds all of its ports."""
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


def interface(text: str, cidr: IPv4Network) -> IPv4Interface:
    """Return an address with its network's prefix length."""
    return IPv4Interface((address(text), cidr.prefixlen))


def network(text: str) -> IPv4Network:
    """Raise Refused for what is no IPv4 range."""
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise Refused(f"{text!r} is not a range of IPv4 addresses") from error


def is_range(text: str) -> bool:
    """Say whether a rule's peer is a range of addresses (of either IP version) rather than a group's id."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def one_of(values: list[str]) -> str:
    """Return a set as OVN's expressions write it."""
    return "{" + ", ".join(values) + "}"

"""Which place of a network a router's port is, and who has which address: read from the northbound database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from engine.drivers.base import DriverError
from engine.drivers.ovn_database import NETWORK, SUBNET, Row, View, rows_of
from engine.drivers.ovn_edge6 import edge_name
from engine.drivers.ovn_external import External
from engine.drivers.ovn_names import border, border_link, edge_end, edge_link, outer_link, router_port
from engine.drivers.ovn_nat_gateways import GATEWAY
from engine.drivers.ovn_peerings import PEERING


@dataclass(frozen=True)
class Place:
    """``subnet``, ``nat gateway`` or ``peering`` with their ids; or a part of the uplink with its network's: ``inside``
    and ``border`` are the ends of the link between, ``outer`` is the border's on the external network; ``edge``,
    ``edge end`` and ``outer edge`` are the same by IPv6. ``port`` is the router's port itself."""

    kind: str
    id: str
    port: Row


@dataclass(frozen=True)
class Card:
    """The hardware address behind a switch's port; ``is_service`` of the network's own services."""

    mac: str
    is_service: bool = False


def place_of(port: Row) -> Place:
    """Return what a router's port is."""
    ids = port.external_ids
    for kind, mark in (("nat gateway", GATEWAY), ("peering", PEERING), ("subnet", SUBNET)):
        if mark in ids:
            return Place(kind, ids[mark], port)
    id = ids[NETWORK]
    links = {"inside": border_link(id), "border": border(id), "outer": outer_link(id), "edge": edge_link(id)}
    for kind, link in {**links, "edge end": edge_end(id)}.items():
        if id and port.name == router_port(link):
            return Place(kind, id, port)
    return Place("outer edge", "", port)


def first_router(view: View, network_id: str, addresses: Sequence[str]) -> Row:
    """Return the router's port of the subnet that the first of these addresses is in."""
    for port in rows_of(view.named("Logical_Router", network_id), "ports"):
        if place_of(port).kind == "subnet" and any(_is_on_link(port, address) for address in addresses):
            return port
    raise DriverError(f"there is no subnet of {network_id} with {addresses[0]}")


def _is_on_link(port: Row, address: str) -> bool:
    return any(ip_address(address) in ip_interface(each).network for each in port.networks)


def card_of(view: View, network_id: str, address: str) -> Card | None:
    """Return who on a network's switch has an address, or None."""
    sought = ip_address(address)
    for port in rows_of(view.named("Logical_Switch", network_id), "ports"):
        if port.type == "router":
            router = view.named("Logical_Router_Port", port.options["router-port"])
            if router is not None and sought in {ip_interface(each).ip for each in router.networks}:
                return Card(router.mac)
        elif any(sought in each for each in own_addresses(port)):
            return Card(port.addresses[0].split()[0], port.type == "localport")
    return None


def own_addresses(port: Row) -> Iterator[Any]:
    """Yield what is a switch port's own: addresses as ranges of one, and ranges."""
    for words in (*port.addresses, *port.port_security):
        for word in words.split()[1:]:
            yield ip_network(word)


def outer_port_of(view: View, address: str, external: External) -> Row | None:
    """Return the router's port on the external network that an address outside leads to, or None."""
    outside = external.outside6
    if ":" in address:
        is_ours = outside is not None and ip_address(address) in outside.pool
        return view.named("Logical_Router_Port", router_port(edge_name(external))) if is_ours else None
    if ip_address(address) not in external.range:
        return None
    for nat in view.publicly(address):
        if nat.type == "dnat_and_snat":
            return view.named("Logical_Router_Port", router_port(outer_link(nat.external_ids[NETWORK])))
    outer = (row for row in view.all("Logical_Router_Port") if place_of(row).kind == "outer")
    return next((row for row in outer if str(ip_interface(row.networks[0]).ip) == address), None)

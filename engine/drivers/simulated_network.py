"""The simulated cloud's network: keeps what a real one would be told, and refuses what a real one would."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import Group, Nat, Network, Port, Rule, Subnet
from engine.drivers.packets import Hop, Packet
from engine.drivers.simulated_trace import World, trace

MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
PROTOCOLS = {"all", "tcp", "udp", "icmp", "icmpv6", *(str(number) for number in range(256))}
HIGHEST_PORT = 65535
LAST_LINE = 32766

Range = IPv4Network | IPv6Network
Ranges = tuple[Range, ...]
Claim = tuple[str, str]
"""Where something must be unique (a network's id, ``vlan`` or ``public``), and its value."""


class SimulatedNetwork:
    """Networks, groups and ports; O(1) a port. ``change`` holds the cloud's lock; ``is_plugged`` asks its hosts."""

    def __init__(
        self, change: Callable[[str], AbstractContextManager[None]], is_plugged: Callable[[str], bool]
    ) -> None:
        self._change = change
        self._is_plugged = is_plugged
        self._networks: dict[str, Network] = {}
        self._ranges: dict[tuple[str, str], Ranges] = {}
        self._groups: dict[str, Group] = {}
        self._ports: dict[str, Port] = {}
        self._claims: dict[Claim, str] = {}
        self._uses: Counter[str] = Counter()

    def ensure_network(self, network: Network) -> None:
        """Raise Refused for ranges that do not fit, DriverError for a VLAN in use or a subnet that still has ports."""
        with self._change("ensure_network"):
            ranges = _check_ranges(network)
            old = self._networks.get(network.id)
            for gone in {subnet.id for subnet in old.subnets} - ranges.keys() if old else ():
                self._check_unused("subnet", gone)
            self._claim(network.id, _network_claims(network), _network_claims(old) if old else set())
            for subnet in old.subnets if old else ():
                del self._ranges[network.id, subnet.id]
            self._ranges.update({(network.id, subnet_id): cidr for subnet_id, cidr in ranges.items()})
            self._networks[network.id] = network

    def remove_network(self, id: str) -> None:
        """Raise DriverError while it has ports."""
        with self._change("remove_network"):
            self._check_unused("network", id)
            network = self._networks.pop(id, None)
            if network:
                self._claim(id, set(), _network_claims(network))
                for subnet in network.subnets:
                    del self._ranges[id, subnet.id]

    def list_networks(self) -> set[str]:
        return set(self._networks)

    def ensure_group(self, group: Group) -> None:
        """Raise Refused for a rule that means nothing, DriverError when its network does not exist."""
        with self._change("ensure_group"):
            if group.network_id not in self._networks:
                raise DriverError(f"cannot make group {group.id}: there is no network {group.network_id}")
            for rule in group.rules:
                _check_rule(rule)
            self._groups[group.id] = group

    def remove_group(self, id: str) -> None:
        """Raise DriverError while it has ports."""
        with self._change("remove_group"):
            self._check_unused("group", id)
            self._groups.pop(id, None)

    def list_groups(self) -> set[str]:
        return set(self._groups)

    def ensure_port(self, port: Port) -> None:
        """Raise Refused for addresses that do not fit, DriverError when something is missing or already taken."""
        with self._change("ensure_port"):
            old = self._ports.get(port.id)
            if old == port:
                return
            self._check_port(port)
            self._claim(port.id, _port_claims(port), _port_claims(old) if old else set())
            if old:
                self._release(old)
            self._uses.update(_used_by(port))
            self._ports[port.id] = port

    def remove_port(self, id: str) -> None:
        with self._change("remove_port"):
            port = self._ports.pop(id, None)
            if port:
                self._claim(id, set(), _port_claims(port))
                self._release(port)

    def list_ports(self) -> set[str]:
        return set(self._ports)

    def port_is_up(self, id: str) -> bool:
        return id in self._ports and self._is_plugged(id)

    def trace(self, packet: Packet) -> tuple[Hop, ...]:
        """Say what the rules mean; a packet is nowhere really sent here."""
        with self._change("trace"):
            return trace(World(self._networks, self._groups, self._ports), packet)

    def mac_of(self, port_id: str) -> str:
        """Return the MAC address that a port lets pass; raise DriverError when there is no such port."""
        if port_id not in self._ports:
            raise DriverError(f"there is no port {port_id}")
        return self._ports[port_id].mac

    def _check_port(self, port: Port) -> None:
        if not MAC.fullmatch(port.mac) or not port.addresses or not port.groups:
            raise Refused(f"cannot make port {port.id}: it needs a MAC address, an address and a group")
        ranges = self._ranges.get((port.network_id, port.subnet_id))
        if ranges is None:
            raise DriverError(f"cannot make port {port.id}: there is no subnet {port.subnet_id} in {port.network_id}")
        for group_id in port.groups:
            group = self._groups.get(group_id)
            if group is None or group.network_id != port.network_id:
                raise DriverError(f"cannot make port {port.id}: there is no group {group_id} in {port.network_id}")
        _check_addresses(port, ranges)

    def _claim(self, owner: str, wanted: set[Claim], held: set[Claim]) -> None:
        for claim in wanted:
            holder = self._claims.get(claim, owner)
            if holder != owner:
                raise DriverError(f"{' '.join(claim)} is in use by {holder}")
        for claim in held:
            del self._claims[claim]
        self._claims.update((claim, owner) for claim in wanted)

    def _release(self, port: Port) -> None:
        for id in _used_by(port):
            self._uses[id] -= 1
            if not self._uses[id]:
                del self._uses[id]

    def _check_unused(self, noun: str, id: str) -> None:
        if self._uses[id] > 0:
            raise DriverError(f"cannot remove {noun} {id}: {self._uses[id]} ports are in it")


def _used_by(port: Port) -> set[str]:
    return {port.network_id, port.subnet_id, *port.groups}


def _port_claims(port: Port) -> set[Claim]:
    inside = {(port.network_id, address) for address in (port.mac, *port.addresses)}
    return inside | _public(port.nats)


def _public(nats: tuple[Nat, ...]) -> set[Claim]:
    return {("public", nat.public) for nat in nats}


def _network_claims(network: Network) -> set[Claim]:
    claims = {(network.id, str(_network(subnet.cidr)[1])) for subnet in network.subnets if subnet.cidr}
    for gateway in network.nat_gateways:
        claims |= {(network.id, address) for address in gateway.addresses} | _public(gateway.nats)
    if network.uplink:
        claims.add(("public", network.uplink.address))
    if network.vlan is not None:
        claims.add(("vlan", str(network.vlan)))
    return claims


def _check_addresses(port: Port, ranges: Ranges) -> None:
    for text in port.addresses:
        address = _network(text)
        if not any(_is_within(address, each) for each in ranges):
            raise Refused(f"cannot make port {port.id}: {text} is not in {', '.join(map(str, ranges))}")
    for nat in port.nats:
        if nat.private not in port.addresses:
            raise Refused(f"cannot make port {port.id}: {nat.private} is not one of its addresses")


def _is_within(inner: Range, outer: Range) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _network(text: str) -> Range:
    try:
        return ip_network(text)
    except ValueError as error:
        raise Refused(f"{text} is not a range of addresses") from error


def _check_ranges(network: Network) -> dict[str, Ranges]:
    if network.vlan is not None and not 1 <= network.vlan <= 4094:
        raise Refused(f"cannot make network {network.id}: there is no VLAN {network.vlan}")
    whole = [_network(cidr) for cidr in network.cidrs]
    ranges = {subnet.id: _check_subnet(subnet, whole) for subnet in network.subnets}
    every = [each for found in ranges.values() for each in found]
    for version in (4, 6):
        for low, high in pairwise(sorted(each for each in every if each.version == version)):
            if low.overlaps(high):
                raise Refused(f"cannot make network {network.id}: {low} and {high} overlap")
    _check_gateways(network, ranges)
    return ranges


def _check_subnet(subnet: Subnet, whole: list[Range]) -> Ranges:
    found = tuple(_network(cidr) for cidr in (subnet.cidr, subnet.cidr6) if cidr)
    if not found:
        raise Refused(f"cannot make subnet {subnet.id}: it has no range")
    for cidr in found:
        if not any(_is_within(cidr, part) for part in whole):
            raise Refused(f"cannot make subnet {subnet.id}: {cidr} is outside of its network")
    for route in subnet.routes:
        _check_range(route.destination)
    for rule in subnet.filter or ():
        if not 1 <= rule.number <= LAST_LINE:
            raise Refused(f"{rule.number} is not the number of a filter's line")
        _check_rule(Rule(rule.direction, rule.protocol, (rule.cidr,), rule.from_port, rule.to_port))
    return found


def _check_gateways(network: Network, ranges: dict[str, Ranges]) -> None:
    for gateway in network.nat_gateways:
        if gateway.subnet_id not in ranges:
            raise DriverError(f"cannot make {gateway.id}: there is no subnet {gateway.subnet_id}")
        for text in gateway.addresses:
            if not any(_is_within(_network(text), each) for each in ranges[gateway.subnet_id]):
                raise Refused(f"cannot make {gateway.id}: {text} is not in its subnet")


def _check_range(text: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise Refused(f"{text} is not a range of addresses") from error


def _check_rule(rule: Rule) -> None:
    if rule.protocol not in PROTOCOLS:
        raise Refused(f"there is no protocol {rule.protocol}")
    for cidr in rule.peer if isinstance(rule.peer, tuple) else ():
        _check_range(cidr)
    low, high = rule.from_port, rule.to_port
    if rule.protocol not in ("tcp", "udp") or low is None or high is None or -1 in (low, high):
        return
    if not 0 <= low <= high <= HIGHEST_PORT:
        raise Refused(f"ports {low} to {high} are not a range")

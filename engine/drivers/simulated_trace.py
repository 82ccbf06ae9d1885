"""What the simulated network would do with a packet: its groups, filters and routes, read as the documents say."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import Any, NoReturn

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import FilterRule, Group, NatGateway, Network, Port, Route, Rule, Subnet
from engine.drivers.packets import MOST_HOPS, Hop, Packet

_SERVED = {"169.254.169.254", "169.254.169.253", "fd00:ec2::254", "fd00:ec2::253"}
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "-1": "all"}
_OUTWARDS = ("uplink", "outbound", "outlet")
_TYPES = {(4, False): 8, (4, True): 0, (6, False): 128, (6, True): 129}


@dataclass(frozen=True)
class World:
    """All that there is, by id."""

    networks: Mapping[str, Network]
    groups: Mapping[str, Group]
    ports: Mapping[str, Port]


class _Over(Exception):
    """The packet is where it ends."""


def trace(world: World, packet: Packet) -> tuple[Hop, ...]:
    """Return the hops of a packet. Raise DriverError when there is no such port."""
    walk = _Walk(world, packet)
    with suppress(_Over):
        walk.begin()
    return tuple(walk.hops)


class _Walk:
    """How far a packet came: each method is a place, takes it on to the next, and ends by ``_Over``."""

    def __init__(self, world: World, packet: Packet) -> None:
        self.world, self.packet = world, packet
        self.source, self.destination = packet.source, packet.destination
        self.version = ip_address(packet.destination).version
        self.hops: list[Hop] = []
        self.came_in = False

    def begin(self) -> None:
        if not self.packet.port_id:
            if not self.source:
                raise Refused("a packet from outside needs a source")
            self._outside(None)
        port = self.world.ports.get(self.packet.port_id)
        if port is None:
            raise DriverError(f"there is no port {self.packet.port_id}")
        same = [each for each in port.addresses if "/" not in each and ip_address(each).version == self.version]
        if not self.source and not same:
            raise Refused(f"port {port.id} has no IPv{self.version} address")
        self.source = self.source or same[0]
        self._leave_port(port)

    # -- ports -------------------------------------------------------------------

    def _leave_port(self, port: Port) -> NoReturn:
        if not port.forwarding and not _has(port.addresses, self.source):
            self._end("port", port.id, "out", why="spoofed")
        self._hop("port", port.id, "out")
        network = self.world.networks[port.network_id]
        subnet = next(subnet for subnet in network.subnets if subnet.id == port.subnet_id)
        self._ask_groups(port, "out", network)
        if self.destination in {*_SERVED, network.resolver}:
            self._end("services", network.id, "in", outcome="delivered")
        if _has(_ranges(subnet), self.destination):
            self._reach(network, subnet, self.destination)
        self._leave_subnet(network, subnet)

    def _enter_port(self, port: Port) -> NoReturn:
        network = self.world.networks[port.network_id]
        subnet = next(subnet for subnet in network.subnets if subnet.id == port.subnet_id)
        one_way = [route.destination for route in subnet.routes if route.via == "outbound"]
        if self.came_in and self.version == 6 and not self.packet.is_reply and _has(one_way, self.source):
            self._end("uplink", network.id, "in", why="closed")
        self._ask_groups(port, "in", network)
        if _has(port.addresses, self.destination):
            self._end("port", port.id, "in", outcome="delivered")
        if not port.forwarding:
            self._end("port", port.id, "in", why="not addressed")
        self._end("port", port.id, "in", outcome="passed")

    def _ask_groups(self, port: Port, direction: Any, network: Network) -> None:
        if self.packet.is_reply:
            self._hop("groups", port.id, direction, why="reply")
            return
        if direction == "out" and self._is_served(network):
            self._hop("groups", port.id, direction, why="served")
            return
        peer = self.source if direction == "in" else self.destination
        for group_id in port.groups:
            for rule in self.world.groups[group_id].rules:
                if rule.direction == direction and self._matches(rule, peer):
                    self._hop("groups", port.id, direction, rule=rule.id, group=group_id)
                    return
        self._end("groups", port.id, direction, why="no rule")

    def _is_served(self, network: Network) -> bool:
        protocol, port = self.packet.protocol, self.packet.destination_port
        if self.destination in ("169.254.169.254", "fd00:ec2::254"):
            return (protocol, port) == ("tcp", 80)
        return protocol != "icmp" and port == 53 and self.destination in {*_SERVED, network.resolver}

    # -- rules -------------------------------------------------------------------

    def _matches(self, rule: Rule, peer: str) -> bool:
        ranges = rule.peer if isinstance(rule.peer, tuple) else self._members(rule.peer)
        return _has(ranges, peer) and self._is_protocol(rule.protocol, rule.from_port, rule.to_port)

    def _members(self, group_id: str) -> list[str]:
        ports = [port for port in self.world.ports.values() if group_id in port.groups]
        return [address for port in ports for address in port.addresses if "/" not in address]

    def _is_protocol(self, protocol: str, low: int | None, high: int | None) -> bool:
        wanted = _NAMES.get(protocol, protocol)
        if wanted == "all":
            return True
        packet = self.packet
        mine = {4: "icmp", 6: "icmpv6"}[self.version] if packet.protocol == "icmp" else packet.protocol
        if wanted != mine:
            return False
        if packet.protocol == "icmp":
            kind, code = _TYPES[self.version, packet.is_reply], 0
            return low in (None, -1, kind) and (low in (None, -1) or high in (None, -1, code))
        first, last = (0 if low in (None, -1) else low), (65535 if high in (None, -1) else high)
        return bool(first <= packet.destination_port <= last)

    def _filter(self, subnet: Subnet, direction: Any) -> None:
        if subnet.filter is None:
            self._hop("filter", subnet.id, direction)
            return
        peer = self.source if direction == "in" else self.destination
        for line in sorted(subnet.filter, key=_number):
            same = line.direction == direction and _has((line.cidr,), peer)
            if same and self._is_protocol(line.protocol, line.from_port, line.to_port):
                if not line.allow:
                    self._end("filter", subnet.id, direction, why="line", rule=str(line.number))
                self._hop("filter", subnet.id, direction, rule=str(line.number))
                return
        self._end("filter", subnet.id, direction, why="no line", rule="*")

    # -- routers -----------------------------------------------------------------

    def _leave_subnet(self, network: Network, subnet: Subnet) -> NoReturn:
        if self.destination in {first for each in network.subnets for first in _routers(each)}:
            self._end_at_router(subnet.id)
        found = _route(network, subnet, self.destination)
        if found is None:
            self._end("routes", subnet.id, "out", why="no route")
        rule, via = found
        peering = next((each for each in network.peerings if each.id == via), None)
        is_way = via == "local" or peering or _is_address(via) or (via in _OUTWARDS and network.uplink)
        if not is_way:
            self._end("routes", subnet.id, "out", why="blackhole", rule=rule)
        self._filter(subnet, "out")
        self._hop("routes", subnet.id, "out", rule=rule)
        if peering:
            self._cross_peering(network, peering.id, peering.peer_id)
        if via in _OUTWARDS:
            self._leave_network(network)
        self._enter_subnet(network, self.destination if via == "local" else via)

    def _end_at_router(self, id: str) -> NoReturn:
        if self.packet.protocol == "icmp" and not self.packet.is_reply:
            self._end("router", id, "in", outcome="delivered")
        self._end("router", id, "in", why="closed")

    def _enter_subnet(self, network: Network, address: str) -> NoReturn:
        """Enter the subnet that an address, the destination or the next router's, is in; somebody has to be."""
        subnet = next((each for each in network.subnets if _has(_ranges(each), address)), None)
        if subnet is None:
            self._end("nowhere", "", "in", why="no such address")
        self._filter(subnet, "in")
        self._reach(network, subnet, address)

    def _reach(self, network: Network, subnet: Subnet, address: str) -> NoReturn:
        if address in _routers(subnet):
            self._end_at_router(subnet.id)
        for port in self.world.ports.values():
            if port.network_id == network.id and _has(port.addresses, address):
                self._enter_port(port)
        for gateway in network.nat_gateways:
            if address in gateway.addresses:
                self._pass_nat_gateway(network, gateway)
        if network.vlan is not None:
            self._end("wire", network.id, "out", outcome="delivered")
        self._end("nowhere", "", "in", why="no such address")

    def _pass_nat_gateway(self, network: Network, gateway: NatGateway) -> NoReturn:
        if self.destination in gateway.addresses:
            if not self.packet.is_reply or not self.packet.behind:
                self._end("nat gateway", gateway.id, "in", why="closed")
            self.destination = self.packet.behind
        elif self.source in gateway.addresses:
            self._end("nat gateway", gateway.id, "in", why="loop")
        else:
            self.source = _share(network, gateway, self.source)
        self._hop("nat gateway", gateway.id, "in")
        self._leave_subnet(network, next(each for each in network.subnets if each.id == gateway.subnet_id))

    def _cross_peering(self, network: Network, id: str, peer_id: str) -> NoReturn:
        peer = self.world.networks.get(peer_id)
        other = next((each for each in peer.peerings if each.id == id), None) if peer else None
        if peer is None or other is None:
            self._end("peering", id, "out", why="no other end")
        known = any(_has(_ranges(subnet), self.destination) for subnet in peer.subnets)
        if known and not (_has(other.peer_cidrs, self.source) and _has(peer.cidrs, self.destination)):
            self._end("peering", id, "in", why="not of the peer")
        self._hop("peering", id, "in")
        self._enter_subnet(peer, self.destination)

    # -- the uplink --------------------------------------------------------------

    def _leave_network(self, network: Network) -> NoReturn:
        if not _has(network.cidrs, self.source):
            self._end("uplink", network.id, "out", why="spoofed")
        if self.version == 4:
            public = self._public(network)
            if not public:
                self._end("uplink", network.id, "out", why="no public address")
            self.source = public
        self._hop("uplink", network.id, "out")
        self._outside(network)

    def _public(self, network: Network) -> str:
        for nats in self._nats(network):
            for nat in nats:
                if nat.private == self.source:
                    return str(nat.public)
        for subnet in network.subnets:
            outlets = [route.destination for route in subnet.routes if route.via == "outlet"]
            if network.uplink and _has(_ranges(subnet), self.source) and _has(outlets, self.destination):
                return network.uplink.address
        return ""

    def _nats(self, network: Network) -> Iterable[Any]:
        yield from (port.nats for port in self.world.ports.values() if port.network_id == network.id)
        yield from (gateway.nats for gateway in network.nat_gateways)

    def _outside(self, sender: Network | None) -> NoReturn:
        """Be outside: go back in where the destination is a network's, and arrive otherwise."""
        for network in self.world.networks.values():
            if network.uplink and network.uplink.address == self.destination:
                self._arrive_at_uplink(network)
            if network.uplink and (private := self._private(network, network is sender)):
                self._arrive(network, private)
        if sender is None:
            self._end("nowhere", "", "in", why="no such address")
        last = self.hops.pop()
        self._end(last.kind, last.id, last.direction, outcome="delivered")

    def _private(self, network: Network, is_sender: bool) -> str:
        """Return whom a network means by the destination, or nothing."""
        if self.version == 6:
            return self.destination if not is_sender and _has(network.cidrs, self.destination) else ""
        every = (nat for nats in self._nats(network) for nat in nats)
        return next((str(nat.private) for nat in every if nat.public == self.destination), "")

    def _arrive_at_uplink(self, network: Network) -> NoReturn:
        if self.packet.is_reply and self.packet.behind:
            self._arrive(network, self.packet.behind)
        self._end_at_router(network.id)

    def _arrive(self, network: Network, private: str) -> NoReturn:
        self.destination, self.came_in = private, True
        if _has(network.cidrs, self.source):
            self._end("uplink", network.id, "in", why="spoofed")
        self._hop("uplink", network.id, "in")
        if not any(_has(_ranges(subnet), private) for subnet in network.subnets):
            self._end("nowhere", network.id, "in", why="no such address")
        arriving = network.uplink.arriving if network.uplink else ()
        found = [route for route in arriving if _has((route.destination,), private)]
        if not found:
            self._enter_subnet(network, private)
        route = max(found, key=_length)
        if not _is_address(route.via):
            self._end("routes", network.id, "in", why="blackhole", rule=route.destination)
        self._hop("routes", network.id, "in", rule=route.destination)
        self._enter_subnet(network, route.via)

    # -- hops --------------------------------------------------------------------

    def _hop(self, kind: Any, id: str, direction: Any, **what: Any) -> None:
        self.hops.append(Hop(kind, id, direction, self.source, self.destination, **what))
        if len(self.hops) > MOST_HOPS:
            self.hops[-1] = replace(self.hops[-1], outcome="dropped", why="loop")
            raise _Over

    def _end(self, kind: Any, id: str, direction: Any, outcome: str = "dropped", **what: Any) -> NoReturn:
        self._hop(kind, id, direction, outcome=outcome, **what)
        raise _Over


def _has(ranges: Iterable[str], address: str) -> bool:
    sought = ip_address(address)
    return any(sought in ip_network(each, strict=False) for each in ranges)


def _ranges(subnet: Subnet) -> list[str]:
    return [cidr for cidr in (subnet.cidr, subnet.cidr6) if cidr]


def _routers(subnet: Subnet) -> list[str]:
    return [str(ip_network(cidr)[1]) for cidr in _ranges(subnet)]


def _is_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _number(line: FilterRule) -> int:
    return line.number


def _length(route: Route) -> int:
    return int(ip_network(route.destination, strict=False).prefixlen)


def _route(network: Network, subnet: Subnet, address: str) -> tuple[str, str] | None:
    """Return the destination and the way of the route that a subnet's packets take: the longest one.

    What leads to a part of the network, by a route of its own, comes before the straight way there.
    """
    own = [each for other in network.subnets for each in _ranges(other) if _has((each,), address)]
    found = [(_size(each), 0.0, "local", "local") for each in own]
    for route in subnet.routes:
        if _has((route.destination,), address):
            inside = any(_is_part(route.destination, cidr) for cidr in network.cidrs)
            parts = [_size(each) + 0.5 for each in own if inside and _is_part(each, route.destination)]
            size = _size(route.destination)
            found.append((max([size, *parts]), size, route.destination, route.via))
    return max(found)[2:] if found else None


def _size(cidr: str) -> float:
    return float(ip_network(cidr, strict=False).prefixlen)


def _is_part(inner: str, outer: str) -> bool:
    one, other = ip_network(inner, strict=False), ip_network(outer, strict=False)
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]


def _share(network: Network, gateway: NatGateway, source: str) -> str:
    """Return which of a gateway's addresses stands for a source: each has its share of every subnet."""
    bits = (len(gateway.addresses) - 1).bit_length()
    sought = ip_address(source)
    for subnet in network.subnets if bits else ():
        if subnet.cidr and _has((subnet.cidr,), source):
            for place, part in enumerate(IPv4Network(subnet.cidr).subnets(bits)):
                if sought in part:
                    return gateway.addresses[place % len(gateway.addresses)]
    return gateway.addresses[0]

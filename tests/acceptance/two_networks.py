"""What the packet tests run on: two networks with the same range, four ports, and how to change them for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from secrets import token_hex

from engine.drivers.networking import Group, Network, Port, Route, Rule, Subnet, Told, Uplink
from engine.drivers.ovn import External, Ovn
from engine.drivers.ovn_external import Outside6
from tests.acceptance.wire import Host, run, settle

RANGE = IPv4Network("198.18.0.0/16")
GATEWAY = IPv4Address("198.18.0.1")
# From the end of the range, out of the way of what a deployment on this host hands out.
OUTSIDER, UPLINK, OTHER_UPLINK, WEB_PUBLIC, APP_PUBLIC, OTHER_PUBLIC = (
    f"198.18.255.{n}" for n in (254, 240, 241, 242, 243, 244)
)
OUTSIDE_6 = Outside6(
    IPv6Network("fd00:c612::/64"), IPv6Address("fd00:c612::1"), IPv6Address("fd00:c612::e"), IPv6Network("fd77::/32")
)
OUTSIDER_6, RANGE_6 = "fd00:c612::fe", "fd77:0:77::/56"
VLAN, OTHER_VLAN = 3990, 3991
EVERYWHERE = "0.0.0.0/0"
ANY = (EVERYWHERE,)
RESOLVER = "10.77.0.2"
WEB, APP, SHUT = "10.77.1.4", "10.77.2.4", "10.77.1.6"
OUT = Rule("out", "all", ANY, id="all-out")


class TwoNetworks:
    """Two networks with the same range. Ids are new in each run, so a crashed run is in nobody's way."""

    def __init__(self) -> None:
        self.word = token_hex(4)
        chassis = run("ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id").strip('"')
        external = External(RANGE, GATEWAY, (chassis,), outside6=OUTSIDE_6, owner=self.word)
        self.ovn = Ovn("unix:/run/ovn/ovnnb_db.sock", external)
        self.datapath = run("ovs-vsctl", "get", "Bridge", "br-int", "datapath_type").strip('"') or "system"
        self.network = self._network("a", VLAN, UPLINK)
        self.twin_network = self._network("b", OTHER_VLAN, OTHER_UPLINK)
        ping = Rule("in", "icmp", ANY, 8, -1, id="web-ping")
        serve = Rule("in", "tcp", ANY, 80, 80, id="web-80")
        self.web = Group(self.id("sg-web"), self.network.id, (serve, ping, OUT))
        self.app = Group(
            self.id("sg-app"),
            self.network.id,
            (
                Rule("in", "tcp", self.web.id, 5432, 5433, id="app-5432"),
                Rule("in", "udp", self.web.id, 4000, 4000, id="app-4000"),
                OUT,
            ),
        )
        self.shut = Group(self.id("sg-shut"), self.network.id)
        self.twin = replace(self.web, id=self.id("sg-twin"), network_id=self.twin_network.id)
        self.web_port = self._port("web", "a1", "06:aa:01:00:00:01", WEB, self.web)
        self.app_port = self._port("app", "a2", "06:aa:02:00:00:02", APP, self.app)
        self.shut_port = self._port("shut", "a1", "06:aa:01:00:00:03", SHUT, self.shut)
        self.twin_port = self._port("twin", "b1", "06:aa:01:00:00:01", WEB, self.twin)

    def id(self, name: str) -> str:
        return f"{name}-{self.word}"

    def _network(self, name: str, vlan: int, uplink: str) -> Network:
        way_out = (Route(EVERYWHERE, "uplink"),)
        subnets = tuple(
            Subnet(self.id(f"{name}{n}"), f"10.77.{n}.0/24", routes=way_out, mac_prefix=f"06:aa:0{n}") for n in (1, 2)
        )
        told = Told((RESOLVER,), "ec2.internal")
        return Network(self.id(name), ("10.77.0.0/16",), vlan, subnets, Uplink(uplink), told=told, resolver=RESOLVER)

    def _port(self, name: str, subnet: str, mac: str, address: str, group: Group) -> Port:
        return Port(self.id(name), group.network_id, self.id(subnet), mac, (address,), (group.id,))

    def make(self) -> None:
        for network in (self.network, self.twin_network):
            self.ovn.ensure_network(network)
        for group in (self.web, self.app, self.shut, self.twin):
            self.ovn.ensure_group(group)
        for port in (self.web_port, self.app_port, self.shut_port, self.twin_port):
            self.ovn.ensure_port(port)

    def remove(self) -> None:
        for network in (self.network, self.twin_network):
            self.ovn.remove_network(network.id)
        self.ovn.close()

    @contextmanager
    def network_as(self, *networks: Network) -> Iterator[None]:
        """Make networks other than they are, for a while."""
        for network in networks:
            self.ovn.ensure_network(network)
        settle()
        try:
            yield
        finally:
            for network in (self.network, self.twin_network):
                self.ovn.ensure_network(network)
            settle()

    @contextmanager
    def port(self, port: Port) -> Iterator[None]:
        """Make a port other than it is, for a while."""
        before = next(p for p in (self.web_port, self.app_port, self.shut_port, self.twin_port) if p.id == port.id)
        self.ovn.ensure_port(port)
        settle()
        try:
            yield
        finally:
            self.ovn.ensure_port(before)
            settle()

    @contextmanager
    def group(self, group: Group) -> Iterator[None]:
        before = next(g for g in (self.web, self.app, self.shut, self.twin) if g.id == group.id)
        self.ovn.ensure_group(group)
        settle()
        try:
            yield
        finally:
            self.ovn.ensure_group(before)
            settle()


class Guests:
    """What is plugged into the ports of those names."""

    web: Host
    app: Host
    shut: Host
    twin: Host

"""A network with everything that there is, for tests of network drivers."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from engine.drivers.networking import (
    FilterRule,
    Group,
    Nat,
    NatGateway,
    Network,
    NetworkDriver,
    Peering,
    Port,
    Route,
    Rule,
    Subnet,
    Told,
    Uplink,
)
from engine.drivers.ovn_external import External, Outside6

OUTSIDE_6 = Outside6(
    IPv6Network("fd00:18::/64"), IPv6Address("fd00:18::1"), IPv6Address("fd00:18::2"), IPv6Network("2001:db8::/40")
)
EXTERNAL = External(
    IPv4Network("198.18.0.0/16"), IPv4Address("198.18.0.1"), ("chassis-1", "chassis-2"), outside6=OUTSIDE_6
)

ANY = ("0.0.0.0/0",)
TOLD = Told(("1.1.1.1", "9.9.9.9"), "ec2.internal", ("169.254.169.123",), ("10.0.0.9",), 2)
SUBNET = Subnet(
    "subnet-1",
    "10.0.1.0/24",
    "2001:db8:1:1::/64",
    (Route("0.0.0.0/0", "uplink"), Route("::/0", "outbound"), Route("192.0.2.0/24", "outlet")),
    (FilterRule(100, "in", True, "6", "0.0.0.0/0", 22, 22), FilterRule(100, "out", False, "all", "::/0")),
    "06:00:01",
)
OTHER_SUBNET = Subnet(
    "subnet-2",
    "10.0.2.0/24",
    routes=(
        Route("172.16.0.0/12", "blackhole"),
        Route("10.9.0.0/16", "pcx-1"),
        Route("10.0.1.0/25", "10.0.2.9"),
        Route("0.0.0.0/0", "10.0.1.200"),
    ),
    mac_prefix="06:00:02",
)
GATEWAY = NatGateway("nat-1", "subnet-1", ("10.0.1.200", "10.0.1.201"), (Nat("10.0.1.200", "198.18.2.1"),))
NETWORK = Network(
    "vpc-1",
    ("10.0.0.0/16", "2001:db8:1::/56"),
    200,
    (SUBNET, OTHER_SUBNET),
    Uplink("198.18.0.9", (Route("10.0.2.0/24", "10.0.1.4"),)),
    (Peering("pcx-1", "vpc-9", "169.254.128.1", "169.254.128.2", ("10.9.0.0/16",)),),
    (GATEWAY,),
    TOLD,
    "10.0.0.2",
)
SSH = Rule("in", "tcp", ANY, 22, 22)
PING = Rule("in", "icmp", ("10.0.0.0/16",), 8, -1)
OUT = Rule("out", "all", ANY)
GROUP = Group("sg-1", "vpc-1", (SSH, PING, OUT, Rule("in", "all", "sg-1")))
PORT = Port("eni-1", "vpc-1", "subnet-1", "06:00:00:00:00:01", ("10.0.1.4",), ("sg-1",))


def make(driver: NetworkDriver) -> NetworkDriver:
    driver.ensure_network(NETWORK)
    driver.ensure_group(GROUP)
    driver.ensure_port(PORT)
    return driver

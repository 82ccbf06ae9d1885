"""A card in a network, and what is told of its packets."""

from engine.drivers.flows import Dropped, Flow, Passed
from engine.drivers.networking import Network, Peering, Route, Subnet
from engine.flow_logs.fields import DEFAULT, fields_of
from engine.flow_logs.rows import Card, Log

MAC, OTHER_MAC, ROUTER_MAC = "06:00:01:00:00:01", "06:00:02:00:00:02", "f2:00:01:00:00:01"
OWN, SECOND, OWN_6, PEER, PEER_6 = "10.0.1.4", "10.0.1.5", "2001:db8::4", "192.0.2.9", "2001:db8:9::9"
START, END = 1_700_000_040, 1_700_000_100

CARD = Card(
    "eni-1", "123456789012", "us-east-1", "vpc-1", "subnet-1", "i-1", MAC, OWN, (OWN, SECOND, OWN_6), ("10.0.1.16/28",),
    "use1-az1",
)  # fmt: skip
ROUTES = (
    Route("0.0.0.0/0", "uplink"),
    Route("::/0", "outbound"),
    Route("10.9.0.0/16", "pcx-1"),
    Route("172.16.0.0/12", "10.0.2.9"),
    Route("172.20.0.0/16", "blackhole"),
    Route("198.51.100.0/24", "outlet"),
)
NETWORK = Network(
    "vpc-1",
    ("10.0.0.0/16", "2001:db8::/56"),
    200,
    (Subnet("subnet-1", "10.0.1.0/24", "2001:db8::/64", ROUTES), Subnet("subnet-2", "10.0.2.0/24")),
    peerings=(Peering("pcx-1", "vpc-9", "169.254.128.1", "169.254.128.2", ("10.9.0.0/16",)),),
    resolver="10.0.0.2",
)
LOG = Log(
    "fl-1", "123456789012", "us-east-1", "vpc-1", "ALL", "cloud-watch-logs", "", "traffic", fields_of(DEFAULT), 60
)

SSH = Flow(PEER, OWN, 6, 40000, 22)
OUT = Flow(OWN, PEER, 6, 50000, 443)


def sent(flow: Flow, packets: int = 1, bytes: int = 0, flags: int = 0) -> Passed:
    return Passed(flow, False, packets, bytes or 60 * packets, flags)


def received(flow: Flow, packets: int = 1, bytes: int = 0, flags: int = 0) -> Passed:
    return Passed(flow, True, packets, bytes or 60 * packets, flags)


def drop(flow: Flow, at: float = START + 1.0, leaving: bool = True, **columns: object) -> Dropped:
    """A packet that the guest sent, or with ``leaving=False`` one that was on its way to it."""
    macs = (MAC, ROUTER_MAC) if leaving else (ROUTER_MAC, MAC)
    values = {"source_mac": macs[0], "destination_mac": macs[1], **columns}
    return Dropped(at, "vpc-1", flow, leaving, **values)  # type: ignore[arg-type]

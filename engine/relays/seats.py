"""Which interfaces of endpoints are relayed by which host, and to whom."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.drivers.networking import Seat
from engine.metadata.doors import Place, Places
from engine.state import Endpoint, EndpointService, Host, NetworkInterface, Subnet


@dataclass(frozen=True)
class Relay:
    """An endpoint's interface, the ports that are listened at, and the servers (``host:port``) behind it."""

    seat: Seat
    ports: tuple[int, ...]
    servers: tuple[str, ...]

    @property
    def places(self) -> Places:
        address = self.seat.address.partition("/")[0]
        return frozenset(Place(address, port) for port in self.ports)


# One host relays for the whole region: an interface can be plugged in at one place only.
_host = select(func.min(Host.name)).where(Host.region == Endpoint.region).scalar_subquery()
_STATEMENT = (
    select(
        NetworkInterface.id, NetworkInterface.mac, NetworkInterface.private_ip, Subnet.cidr, EndpointService.ports,
        EndpointService.targets,
    )
    .join(Endpoint, Endpoint.id == NetworkInterface.managed_by)
    .join(EndpointService, EndpointService.id == Endpoint.service_id)
    .join(Subnet, Subnet.id == NetworkInterface.subnet_id)
    .where(Endpoint.state.in_(("pending", "available")))
)  # fmt: skip


def relays_on(db: Session, hosts: Collection[str], mtu: int) -> dict[str, Relay]:
    """Return what these hosts relay, by the ids of interfaces. ``mtu`` is that of the network."""
    return {row.id: _relay(row, mtu) for row in db.execute(_STATEMENT.where(_host.in_(hosts)))}


def _relay(row: Any, mtu: int) -> Relay:
    subnet = IPv4Network(row.cidr)
    seat = Seat(row.mac, f"{row.private_ip}/{subnet.prefixlen}", str(subnet.network_address + 1), mtu)
    return Relay(seat, tuple(int(port) for port in row.ports.split(",")), tuple(row.targets))

"""Bring interfaces onto the network: first their VPCs' networks and their groups, then their ports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import desired
from engine.drivers.networking import Group, Network, Port
from engine.state import NetworkInterface
from engine.tasks import Job
from settings import Settings

Interfaces = Callable[[Session], Sequence[str]]
"""Names interfaces by their ids."""


@dataclass(frozen=True)
class _Plugs:
    """What of the network some interfaces need, in the order in which it is made, and the ports that must not be."""

    networks: tuple[Network | None, ...]
    groups: tuple[Group | None, ...]
    ports: tuple[Port, ...]
    absent: tuple[str, ...]


def _plugs(db: Session, settings: Settings, interfaces: Interfaces) -> _Plugs:
    wanted = {id: desired.port(db, id) for id in interfaces(db)}
    ports = tuple(filter(None, wanted.values()))
    networks = dict.fromkeys(port.network_id for port in ports)
    groups = dict.fromkeys(group for port in ports for group in port.groups)
    return _Plugs(
        tuple(desired.network(db, settings, id) for id in networks),
        tuple(desired.group(db, id) for id in groups),
        ports,
        tuple(id for id, port in wanted.items() if port is None),
    )


def plug(job: Job, interfaces: Interfaces) -> None:
    """Have these interfaces on the network, with what they need, or off it, as each should be.

    What is so already costs a comparison.
    """
    driver = job.drivers.network

    def ensure(plugs: _Plugs) -> None:
        for network in filter(None, plugs.networks):
            driver.ensure_network(network)
        for group in filter(None, plugs.groups):
            driver.ensure_group(group)
        for port in plugs.ports:
            driver.ensure_port(port)
        for id in plugs.absent:
            driver.remove_port(id)

    job.converge(partial(_plugs, settings=job.engine.settings, interfaces=interfaces), ensure)


def in_vpc(vpc_id: str) -> Interfaces:
    """Name all interfaces of a VPC."""
    rows = select(NetworkInterface.id).where(NetworkInterface.vpc_id == vpc_id).order_by(NetworkInterface.id)
    return lambda db: db.scalars(rows).all()

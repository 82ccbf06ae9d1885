"""A network told everything that should be, in order to ask it: what a simulated deployment answers from."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import desired
from engine.drivers.networking import NetworkDriver
from engine.state import NetworkInterface, SecurityGroup, Vpc
from settings import Settings


def tell(network: NetworkDriver, db: Session, settings: Settings) -> None:
    """Make every VPC, security group and plugged interface of the database in a network that has none yet."""
    for vpc_id in db.scalars(select(Vpc.id)):
        if (vpc := desired.network(db, settings, vpc_id)) is not None:
            network.ensure_network(vpc)
    for group_id in db.scalars(select(SecurityGroup.id)):
        if (group := desired.group(db, group_id)) is not None:
            network.ensure_group(group)
    for interface_id in db.scalars(select(NetworkInterface.id)):
        if (port := desired.port(db, interface_id)) is not None:
            network.ensure_port(port)

"""What an interface should be on the network."""

import json

from sqlalchemy import bindparam, func, literal, or_, select
from sqlalchemy.orm import Session

from engine.drivers import networking
from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    json_rows,
)
from engine.state.prepared import Prepared

PLUGGED = ("pending", "running", "stopping", "shutting-down")
"""States in which an instance's ports are in the network."""

_here = NetworkInterface.id
_PORT = Prepared(
    select(
        NetworkInterface.id,
        NetworkInterface.vpc_id,
        NetworkInterface.subnet_id,
        NetworkInterface.mac,
        NetworkInterface.source_dest_check,
        json_rows(
            PrivateAddress.address,
            where=PrivateAddress.interface_id == _here,
            order=(PrivateAddress.is_primary.desc(), PrivateAddress.number),
        ).label("addresses"),
        json_rows(
            Ipv6Address.address,
            where=Ipv6Address.interface_id == _here,
            order=(Ipv6Address.is_primary.desc(), Ipv6Address.position, Ipv6Address.address),
        ).label("addresses6"),
        json_rows(
            InterfacePrefix.cidr, where=InterfacePrefix.interface_id == _here, order=(InterfacePrefix.cidr,)
        ).label("prefixes"),
        json_rows(
            InterfaceGroup.group_id, where=InterfaceGroup.interface_id == _here, order=(InterfaceGroup.position,)
        ).label("groups"),
        json_rows(
            Address.private_ip, Address.public_ip, where=Address.interface_id == _here, order=(Address.public_ip,)
        ).label("nats"),
    )
    .outerjoin(Instance, Instance.id == NetworkInterface.instance_id)
    .where(
        NetworkInterface.id == bindparam("id"),
        or_(Instance.state.in_([literal(state) for state in PLUGGED]), NetworkInterface.kind == "vpc_endpoint"),
        func.coalesce(NetworkInterface.attachment_status, "") != "detaching",
    )
)


def port(db: Session, interface_id: str) -> networking.Port | None:
    """Return what an interface should be on the network, or None while it should not be there."""
    row = _PORT.first(db, id=interface_id)
    if row is None:
        return None
    every = (*json.loads(row.addresses), *json.loads(row.addresses6), *json.loads(row.prefixes))
    return networking.Port(
        id=row.id,
        network_id=row.vpc_id,
        subnet_id=row.subnet_id,
        mac=row.mac,
        addresses=tuple(address for (address,) in every),
        groups=tuple(group for (group,) in json.loads(row.groups)),
        nats=tuple(networking.Nat(private, public) for private, public in json.loads(row.nats)),
        forwarding=not row.source_dest_check,
    )

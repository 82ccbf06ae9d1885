"""What should be, in the drivers' words: the database's rows as networks, groups, ports and machines."""

import hashlib
import json
import re
import uuid
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from sqlalchemy import and_, bindparam, literal, select
from sqlalchemy.orm import Session

from engine.drivers import base
from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    NetworkInterface,
    PrivateAddress,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Volume,
    VolumeAttachment,
    Vpc,
    VpcCidrBlock,
    json_rows,
)
from engine.state.prepared import Prepared
from settings import Settings

PLUGGED = ("pending", "running", "stopping", "shutting-down")
"""States in which an instance's ports are in the network."""


_NETWORK = Prepared(
    select(
        Vpc.id,
        Vpc.vlan,
        Vpc.uplink_address,
        json_rows(VpcCidrBlock.cidr, where=VpcCidrBlock.vpc_id == Vpc.id, order=(VpcCidrBlock.cidr,)).label("cidrs"),
        json_rows(
            Subnet.id, Subnet.cidr, Subnet.region, where=Subnet.vpc_id == Vpc.id, order=(Subnet.id,)
        ).label("subnets"),
        json_rows(
            RouteTableAssociation.subnet_id, RouteTableAssociation.route_table_id,
            where=RouteTableAssociation.vpc_id == Vpc.id,
        ).label("associations"),
        json_rows(
            Route.route_table_id, Route.destination, Route.target, Route.state,
            where=and_(Route.route_table_id == RouteTable.id, RouteTable.vpc_id == Vpc.id),
            order=(Route.destination,),
            join=RouteTable,
        ).label("routes"),
    ).where(Vpc.id == bindparam("id"))
)  # fmt: skip


def network(db: Session, settings: Settings, vpc_id: str) -> base.Network | None:
    """Return what a VPC should be on the network, or None if there is no such VPC (any more)."""
    vpc = _NETWORK.first(db, id=vpc_id)
    if vpc is None:
        return None
    tables = dict(json.loads(vpc.associations))
    routes: dict[str, list[base.Route]] = {}
    for table, destination, target, state in json.loads(vpc.routes):
        if target.startswith("igw-"):
            way = base.Route(destination, "uplink" if state == "active" else "blackhole")
            routes.setdefault(table, []).append(way)
    return base.Network(
        id=vpc.id,
        cidrs=tuple(cidr for (cidr,) in json.loads(vpc.cidrs)),
        vlan=vpc.vlan,
        subnets=tuple(
            _subnet(subnet, tuple(routes.get(str(tables.get(subnet[0], tables[""])), ())), settings)
            for subnet in json.loads(vpc.subnets)
        ),
        uplink=base.Uplink(vpc.uplink_address) if vpc.uplink_address else None,
    )


def _subnet(subnet: list[str], routes: tuple[base.Route, ...], settings: Settings) -> base.Subnet:
    id, cidr, region = subnet
    return base.Subnet(
        id=id,
        cidr=cidr,
        gateway=str(IPv4Network(cidr)[1]),
        routes=routes,
        dns_servers=resolvers(settings.guest_dns),
        domain_name=domain_name(region),
    )


def domain_name(region: str) -> str:
    """Return the domain of private names, by the rule of "DHCP option sets" in the VPC documentation."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


@cache
def resolvers(setting: str) -> tuple[str, ...]:
    """Return the resolvers for guests: as set, or this host's own if guests can reach them."""
    if setting:
        return tuple(part.strip() for part in setting.split(","))
    file = Path("/etc/resolv.conf")
    found = re.findall(r"(?m)^nameserver\s+(\d[\d.]+)", file.read_text()) if file.exists() else []
    return tuple(a for a in found if not a.startswith("127.")) or ("1.1.1.1",)


_GROUP = Prepared(
    select(
        SecurityGroup.id,
        SecurityGroup.vpc_id,
        json_rows(
            SecurityGroupRule.egress, SecurityGroupRule.protocol, SecurityGroupRule.cidr_ipv4,
            SecurityGroupRule.cidr_ipv6, SecurityGroupRule.peer_group_id, SecurityGroupRule.from_port,
            SecurityGroupRule.to_port,
            where=SecurityGroupRule.group_id == SecurityGroup.id,
            order=(SecurityGroupRule.id,),
        ).label("rules"),
    ).where(SecurityGroup.id == bindparam("id"))
)  # fmt: skip


def group(db: Session, group_id: str) -> base.Group | None:
    """Return what a security group should let pass, or None if it is gone."""
    row = _GROUP.first(db, id=group_id)
    if row is None:
        return None
    return base.Group(row.id, row.vpc_id, tuple(_rule(*rule) for rule in json.loads(row.rules)))


def _rule(
    egress: bool, protocol: str, cidr_ipv4: str, cidr_ipv6: str, peer: str, from_port: int, to_port: int
) -> base.Rule:
    everything = protocol == "-1"
    return base.Rule(
        direction="out" if egress else "in",
        protocol="all" if everything else protocol,
        peer=cidr_ipv4 or cidr_ipv6 or peer,
        from_port=None if everything else from_port,
        to_port=None if everything else to_port,
    )


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
            InterfaceGroup.group_id, where=InterfaceGroup.interface_id == _here, order=(InterfaceGroup.position,)
        ).label("groups"),
        json_rows(
            Address.private_ip, Address.public_ip, where=Address.interface_id == _here, order=(Address.public_ip,)
        ).label("nats"),
    )
    .join(Instance, Instance.id == NetworkInterface.instance_id)
    .where(NetworkInterface.id == bindparam("id"), Instance.state.in_([literal(state) for state in PLUGGED]))
)


def port(db: Session, interface_id: str) -> base.Port | None:
    """Return what an interface should be on the network, or None while it should not be there."""
    row = _PORT.first(db, id=interface_id)
    if row is None:
        return None
    return base.Port(
        id=row.id,
        network_id=row.vpc_id,
        subnet_id=row.subnet_id,
        mac=row.mac,
        addresses=tuple(address for (address,) in json.loads(row.addresses)),
        groups=tuple(group for (group,) in json.loads(row.groups)),
        nats=tuple(base.Nat(private, public) for private, public in json.loads(row.nats)),
        forwarding=not row.source_dest_check,
    )


def interfaces(db: Session, instance_id: str) -> list[NetworkInterface]:
    """Return an instance's interfaces as objects, to be changed."""
    rows = select(NetworkInterface).filter_by(instance_id=instance_id).order_by(NetworkInterface.device_index)
    return list(db.scalars(rows))


_CARDS = Prepared(
    select(NetworkInterface.id, NetworkInterface.mac, NetworkInterface.vpc_id)
    .where(NetworkInterface.instance_id == bindparam("id"))
    .order_by(NetworkInterface.device_index)
)


def cards(db: Session, instance_id: str) -> list[Any]:
    """Return id, mac and vpc_id of each of an instance's interfaces, the primary one first."""
    return _CARDS.rows(db, id=instance_id)


_PLACE = Prepared(
    select(
        Instance.id, Instance.zone, Instance.host, Instance.instance_type, Instance.vcpus, Instance.memory_mib
    ).where(Instance.id == bindparam("id"))
)


def place(db: Session, instance_id: str) -> Any:
    """Return what of an instance its machine is made of, and where it is: its zone and, if it holds one, its host."""
    return _PLACE.first(db, id=instance_id)


_DISKS = Prepared(
    select(
        Volume.id, Volume.size, Volume.snapshot_id, VolumeAttachment.guest_device,
        VolumeAttachment.delete_on_termination,
    )
    .join(VolumeAttachment, VolumeAttachment.volume_id == Volume.id)
    .where(VolumeAttachment.instance_id == bindparam("id"))
    .order_by(VolumeAttachment.guest_device)
)  # fmt: skip


def disks(db: Session, instance_id: str) -> list[tuple[base.Disk, Any]]:
    """Return an instance's disks, the boot disk first, with their guest_device and delete_on_termination."""
    rows = _DISKS.rows(db, id=instance_id)
    return [(base.Disk(row.id, row.size, row.snapshot_id or None), row) for row in rows]


def machine_uuid(instance_id: str) -> str:
    """Return the UUID a guest sees: it begins with ``ec2``, by which software knows that it is on EC2."""
    return str(uuid.UUID("ec2" + hashlib.sha256(instance_id.encode()).hexdigest()[:29]))


def machine(instance: Any, attached: tuple[base.AttachedDisk, ...], cards: list[Any], mtu: int) -> base.Machine:
    """Return the machine of an instance (as ``place`` gives it) with its disks and cards."""
    identity = machine_uuid(instance.id)
    return base.Machine(
        id=instance.id,
        uuid=identity,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        disks=attached,
        nics=tuple(base.Nic(card.id, card.mac, mtu) for card in cards),
        smbios={
            "manufacturer": "Amazon EC2",
            "product": instance.instance_type,
            "version": "Not Specified",
            "serial": identity,
            "uuid": identity,
            "asset": instance.id,
        },
    )

"""What a VPC should be on the network: its ranges, subnets, routes, and what its guests are told by DHCP."""

import json
import re
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from engine.drivers import base
from engine.state import Route, RouteTable, RouteTableAssociation, Subnet, Vpc, VpcCidrBlock, json_rows
from engine.state.prepared import Prepared
from settings import Settings

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

"""What a VPC should be on the network: its ranges, subnets and ways out, and what its guests are told by DHCP."""

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import and_, bindparam, exists, literal, or_, select
from sqlalchemy.orm import Session

from engine.addresses import mac_prefix
from engine.desired.filters import filters
from engine.desired.routes import routes
from engine.drivers import networking
from engine.names import PROVIDED_DNS
from engine.state import (
    DhcpOptions,
    FlowLog,
    InternetGateway,
    NatGateway,
    NatGatewayAddress,
    NetworkInterface,
    Peering,
    RouteTableAssociation,
    Subnet,
    SubnetCidrBlock,
    Vpc,
    VpcCidrBlock,
    json_rows,
)
from engine.state.prepared import Prepared
from settings import Settings

_working = and_(
    NatGateway.vpc_id == Vpc.id,
    NatGateway.state.in_([literal(state) for state in ("pending", "available")]),
    NatGateway.interface_id.is_not(None),
    NatGatewayAddress.nat_gateway_id == NatGateway.id,
)
_DRAINING = ("disassociating", "unassigning")
_logged = or_(
    FlowLog.resource_id == Vpc.id,
    FlowLog.resource_id.in_(select(Subnet.id).where(Subnet.vpc_id == Vpc.id)),
    FlowLog.resource_id.in_(select(NetworkInterface.id).where(NetworkInterface.vpc_id == Vpc.id)),
)
_block = SubnetCidrBlock.subnet_id == Subnet.id
_ranges = and_(VpcCidrBlock.vpc_id == Vpc.id, VpcCidrBlock.state == "associated")

_NETWORK = Prepared(
    select(
        Vpc.id, Vpc.vlan, Vpc.cidr, Vpc.uplink_address, Vpc.dns_support, DhcpOptions.options,
        json_rows(VpcCidrBlock.cidr, where=_ranges, order=(VpcCidrBlock.cidr,)).label("cidrs"),
        json_rows(
            Subnet.id, Subnet.cidr, Subnet.mac_tag, select(SubnetCidrBlock.cidr).where(_block).scalar_subquery(),
            where=Subnet.vpc_id == Vpc.id, order=(Subnet.id,),
        ).label("subnets"),
        json_rows(
            RouteTableAssociation.subnet_id, RouteTableAssociation.gateway_id, RouteTableAssociation.route_table_id,
            where=RouteTableAssociation.vpc_id == Vpc.id,
        ).label("associations"),
        json_rows(
            NatGateway.id, NatGateway.subnet_id, NatGatewayAddress.private_ip, NatGatewayAddress.public_ip,
            NatGatewayAddress.status, where=_working, order=(NatGateway.id, NatGatewayAddress.position),
        ).label("nat_gateway_addresses"),
        exists().where(_logged).label("is_logged"),
        exists().where(InternetGateway.vpc_id == Vpc.id).label("is_open"),
    ).outerjoin(DhcpOptions, DhcpOptions.id == Vpc.dhcp_options_id).where(Vpc.id == bindparam("id"))
)  # fmt: skip
_other = or_(
    and_(Peering.requester_vpc_id == bindparam("id"), Peering.accepter_vpc_id == Vpc.id),
    and_(Peering.accepter_vpc_id == bindparam("id"), Peering.requester_vpc_id == Vpc.id),
)
_PEERINGS = Prepared(
    select(
        Peering.id, Peering.link, Peering.requester_vpc_id, Vpc.id.label("peer"),
        json_rows(VpcCidrBlock.cidr, where=_ranges, order=(VpcCidrBlock.cidr,)).label("cidrs"),
    ).join(Vpc, _other).where(Peering.status == "active").order_by(Peering.id)
)  # fmt: skip


def network(db: Session, settings: Settings, vpc_id: str) -> networking.Network | None:
    """Return what a VPC should be on the network, or None if there is no such VPC (any more)."""
    vpc = _NETWORK.first(db, id=vpc_id)
    if vpc is None:
        return None
    associations = json.loads(vpc.associations)
    subnets = {subnet: table for subnet, gateway, table in associations if not gateway}
    arriving = next((table for _, gateway, table in associations if gateway), "")
    ways, lines = routes(db, vpc_id), filters(db, vpc_id)
    return networking.Network(
        id=vpc.id,
        cidrs=tuple(cidr for (cidr,) in json.loads(vpc.cidrs)),
        vlan=vpc.vlan,
        subnets=tuple(
            networking.Subnet(
                id=id,
                cidr=cidr,
                cidr6=cidr6 or "",
                routes=ways.get(str(subnets.get(id) or subnets[""]), ()),
                filter=lines.get(id),
                mac_prefix=mac_prefix(tag),
            )
            for id, cidr, tag, cidr6 in json.loads(vpc.subnets)
        ),
        uplink=networking.Uplink(vpc.uplink_address, ways.get(arriving, ()), not vpc.is_open)
        if vpc.uplink_address
        else None,
        peerings=tuple(_peering(row, vpc_id) for row in _PEERINGS.rows(db, id=vpc_id)),
        nat_gateways=tuple(_nat_gateways(json.loads(vpc.nat_gateway_addresses))),
        told=_told(vpc, settings),
        resolver=resolver_address(vpc.cidr) if vpc.dns_support else "",
        is_logged=bool(vpc.is_logged),
    )


def resolver_address(cidr: str) -> str:
    """Return where the resolver of a VPC with this primary range is: "the base of the VPC range plus two"."""
    return str(IPv4Network(cidr)[2])


def _peering(row: Any, vpc_id: str) -> networking.Peering:
    """The requester's router has the first address of the link, the accepter's the second."""
    first = IPv4Network(f"169.254.{128 + row.link // 64}.{row.link % 64 * 4}/30")
    ends = [str(first[1]), str(first[2])]
    mine = 0 if row.requester_vpc_id == vpc_id else 1
    cidrs = tuple(cidr for (cidr,) in json.loads(row.cidrs))
    return networking.Peering(row.id, row.peer, ends[mine], ends[1 - mine], cidrs)


def _nat_gateways(rows: list[Any]) -> Iterator[networking.NatGateway]:
    """Yield the gateways of rows that are addresses, the primary one of each gateway first."""
    for (id, subnet_id), found in groupby(rows, key=lambda row: (row[0], row[1])):
        addresses = [tuple(row[2:]) for row in found]
        yield networking.NatGateway(
            id=id,
            subnet_id=subnet_id,
            addresses=tuple(private for private, _, _ in addresses),
            nats=tuple(networking.Nat(private, public) for private, public, _ in addresses if public),
            draining=tuple(private for private, _, status in addresses if status in _DRAINING),
        )


def _told(vpc: Any, settings: Settings) -> networking.Told:
    """Return what DHCP tells the guests of a VPC: nothing where the VPC has no options."""
    given = json.loads(vpc.options) if isinstance(vpc.options, str) else vpc.options
    options = {key: tuple(values) for key, values in (given or {}).items()}
    servers = [server for server in options.get("domain-name-servers", ()) if server != PROVIDED_DNS]
    if PROVIDED_DNS in options.get("domain-name-servers", ()) and vpc.dns_support:
        servers.insert(0, resolver_address(vpc.cidr))
    return networking.Told(
        dns_servers=tuple(servers),
        domain_name=" ".join(options.get("domain-name", ())),
        ntp_servers=options.get("ntp-servers", ()),
        netbios_servers=options.get("netbios-name-servers", ()),
        netbios_type=int(options["netbios-node-type"][0]) if "netbios-node-type" in options else None,
    )


def resolvers(setting: str) -> tuple[str, ...]:
    """Return where to ask for names that are not a VPC's own: as set, or as this host does at the moment."""
    if setting:
        return tuple(filter(None, (part.strip() for part in setting.split(","))))
    file = Path("/etc/resolv.conf")
    found = re.findall(r"(?m)^nameserver\s+(\S+)", file.read_text()) if file.exists() else []
    return tuple(found) or ("1.1.1.1",)

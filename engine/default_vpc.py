"""What a VPC is born with, and the default VPC that every account has in every region."""

import secrets
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.addresses import count_usable, free_vlan, new_mac_tag
from engine.interfaces import lend_uplink
from engine.names import PROVIDED_DNS, domain_name
from engine.network_acls import make_acl
from engine.routes import local_route
from engine.state import (
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    NetworkAclAssociation,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
    VpcCidrBlock,
    Zone,
)
from settings import Settings

CIDR = "172.31.0.0/16"
_SUBNET_PREFIX = 20
ANYWHERE, ANYWHERE_6 = "0.0.0.0/0", "::/0"


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def rule_identity(egress: bool, protocol: str, from_port: int, to_port: int, peer: str) -> str:
    """Return the text by which two rules of one security group are the same."""
    return f"{'out' if egress else 'in'}|{protocol}|{from_port}|{to_port}|{peer}"


def make_vpc(db: Session, settings: Settings, owner: dict[str, str], cidr: str, **attributes: Any) -> Vpc:
    """Add a VPC with what EC2 gives it at birth: main route table, network ACL, default security group.

    ``owner`` is ``{"account": ..., "region": ...}``. Raise addresses.Exhausted when no VLAN is free.
    """
    options = db.scalar(select(DhcpOptions).filter_by(**owner, is_default=True))
    if options is None:
        told = {"domain-name": [domain_name(owner["region"])], "domain-name-servers": [PROVIDED_DNS]}
        options = DhcpOptions(id=DhcpOptions.new_id(), **owner, is_default=True, options=told)
        db.add(options)
    vpc = Vpc(
        id=Vpc.new_id(), **owner, cidr=cidr, dhcp_options_id=options.id, vlan=free_vlan(db, settings), **attributes
    )
    db.add(vpc)
    db.flush()
    db.add(VpcCidrBlock(id=new_id("vpc-cidr-assoc"), vpc_id=vpc.id, cidr=cidr))
    _add_route_table(db, owner, vpc)
    make_acl(db, owner, vpc.id, is_default=True)
    group = SecurityGroup(
        id=SecurityGroup.new_id(), **owner, vpc_id=vpc.id, name="default", description="default VPC security group"
    )
    db.add(group)
    db.flush()
    db.add(_rule(owner, group, egress=False, peer_group_id=group.id, peer_account=owner["account"]))
    db.add(_rule(owner, group, egress=True, cidr_ipv4=ANYWHERE))
    return vpc


def _add_route_table(db: Session, owner: dict[str, str], vpc: Vpc) -> None:
    table = RouteTable(id=RouteTable.new_id(), **owner, vpc_id=vpc.id)
    db.add(table)
    db.flush()
    db.add(local_route(table.id, vpc.cidr))
    db.add(RouteTableAssociation(id=new_id("rtbassoc"), route_table_id=table.id, vpc_id=vpc.id))


def _rule(owner: dict[str, str], group: SecurityGroup, egress: bool, **peer: str) -> SecurityGroupRule:
    # Of what a rule has of a peer, the first is what it is named by.
    identity = rule_identity(egress, "-1", -1, -1, next(iter(peer.values())))
    return SecurityGroupRule(
        id=SecurityGroupRule.new_id(),
        **owner,
        group_id=group.id,
        identity=identity,
        egress=egress,
        protocol="-1",
        **peer,
    )


def egress_to_anywhere(owner: dict[str, str], group: SecurityGroup, cidr: str = ANYWHERE) -> SecurityGroupRule:
    """Return the rule that every new security group has for each IP version of its VPC: all may go out."""
    return _rule(owner, group, egress=True, **{"cidr_ipv6" if ":" in cidr else "cidr_ipv4": cidr})


def make_subnet(db: Session, owner: dict[str, str], vpc: Vpc, zone: str, cidr: str, **attributes: Any) -> Subnet:
    """Add a subnet, under the VPC's default network ACL."""
    subnet = Subnet(
        id=Subnet.new_id(), **owner, vpc_id=vpc.id, zone=zone, cidr=cidr, available_addresses=count_usable(cidr),
        mac_tag=new_mac_tag(db, vpc.id), **attributes,
    )  # fmt: skip
    acl = db.scalars(select(NetworkAcl).filter_by(vpc_id=vpc.id, is_default=True)).one()
    db.add(subnet)
    db.add(NetworkAclAssociation(id=new_id("aclassoc"), acl_id=acl.id, subnet_id=subnet.id))
    db.flush()
    return subnet


def make_default_subnet(db: Session, owner: dict[str, str], vpc: Vpc, zone: str) -> Subnet:
    """Add the default subnet of a zone: the first /20 of the VPC that is still free."""
    taken = [IPv4Network(c) for c in db.scalars(select(Subnet.cidr).where(Subnet.vpc_id == vpc.id))]
    for candidate in IPv4Network(vpc.cidr).subnets(new_prefix=_SUBNET_PREFIX):
        if not any(candidate.overlaps(t) for t in taken):
            return make_subnet(db, owner, vpc, zone, str(candidate), default_for_az=True, map_public_ip=True)
    raise ValueError("cannot add a default subnet: the default VPC has no free /20")


def make_default_vpc(db: Session, settings: Settings, owner: dict[str, str]) -> Vpc:
    """Add the default VPC: 172.31.0.0/16, a /20 in each zone, an internet gateway and the route to it."""
    vpc = make_vpc(db, settings, owner, CIDR, is_default=True, dns_hostnames=True)
    for zone in db.scalars(select(Zone.name).where(Zone.region == owner["region"]).order_by(Zone.name)):
        make_default_subnet(db, owner, vpc, zone)
    gateway = InternetGateway(id=InternetGateway.new_id(), **owner, vpc_id=vpc.id)
    lend_uplink(db, settings, vpc)
    db.add(gateway)
    main = db.scalars(select(RouteTableAssociation).filter_by(vpc_id=vpc.id, subnet_id="")).one()
    db.add(Route(route_table_id=main.route_table_id, destination=ANYWHERE, target=gateway.id, origin="CreateRoute"))
    db.flush()
    return vpc

"""The ranges of a VPC besides its first one, and what comes and goes with them."""

import secrets
from ipaddress import IPv6Network

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from engine import tasks
from engine.addresses import Exhausted
from engine.default_vpc import ANYWHERE, ANYWHERE_6, egress_to_anywhere, new_id
from engine.network_acls import add_ipv6_entries, remove_ipv6_entries
from engine.routes import add_local_routes, remove_local_routes
from engine.state import Peering, SecurityGroup, SecurityGroupRule, Vpc, VpcCidrBlock
from settings import Settings

LENGTH_6 = 56
"""Bits of the prefix that a VPC is given: "an Amazon-provided IPv6 CIDR block with a /56 prefix length"."""
_TRIES = 16


def has_ipv6(db: Session, vpc_id: str) -> bool:
    own = (VpcCidrBlock.vpc_id == vpc_id, VpcCidrBlock.state == "associated")
    return bool(db.scalar(select(exists().where(*own, VpcCidrBlock.cidr.contains(":")))))


def free_range6(db: Session, settings: Settings) -> str:
    """Return a /56 of the pool that no VPC has. Raise addresses.Exhausted."""
    pool, bits = settings.ipv6_pool, LENGTH_6 - settings.ipv6_pool.prefixlen
    for place in (secrets.randbelow(1 << bits) for _ in range(_TRIES)):
        cidr = _range6(pool, place)
        if not db.scalar(select(exists().where(VpcCidrBlock.cidr == cidr))):
            return cidr
    taken = set(db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.cidr.contains(":"))))
    for place in range(1 << bits):
        if (cidr := _range6(pool, place)) not in taken:
            return cidr
    raise Exhausted("IPv6 ranges")


def _range6(pool: IPv6Network, place: int) -> str:
    return str(IPv6Network((int(pool[0]) + (place << 128 - LENGTH_6), LENGTH_6)))


def add_range(db: Session, vpc: Vpc, cidr: str) -> VpcCidrBlock:
    """Give a VPC a range: its route tables lead to it, and with the first one of IPv6 its ACLs and groups know that."""
    first6 = ":" in cidr and not has_ipv6(db, vpc.id)
    block = VpcCidrBlock(id=new_id("vpc-cidr-assoc"), vpc_id=vpc.id, cidr=cidr)
    db.add(block)
    db.flush()
    add_local_routes(db, vpc.id, cidr)
    if first6:
        add_ipv6_entries(db, vpc.id)
        _let_out(db, vpc)
    sync_ranges(db, vpc)
    return block


def _let_out(db: Session, vpc: Vpc) -> None:
    """Have security groups that let all out by IPv4, and were never told anything else, do so by IPv6.

    "If you've modified the outbound rules for your security group, we do not automatically add an outbound rule for
    IPv6 traffic when you associate an IPv6 block with your VPC."
    """
    for group in db.scalars(select(SecurityGroup).where(SecurityGroup.vpc_id == vpc.id)).all():
        rules = db.scalars(select(SecurityGroupRule).filter_by(group_id=group.id, egress=True)).all()
        if len(rules) == 1 and rules[0].protocol == "-1" and rules[0].cidr_ipv4 == ANYWHERE:
            owner = {"account": group.account, "region": group.region}
            db.add(egress_to_anywhere(owner, group, ANYWHERE_6))
            tasks.start(db, group.id, "sync_group", group.region)


def remove_range(db: Session, vpc: Vpc, block: VpcCidrBlock) -> None:
    """Take a range from a VPC; no subnet may be in it. The rules of security groups stay."""
    remove_local_routes(db, vpc.id, block.cidr)
    db.delete(block)
    db.flush()
    if ":" in block.cidr and not has_ipv6(db, vpc.id):
        remove_ipv6_entries(db, vpc.id)
    sync_ranges(db, vpc)


def sync_ranges(db: Session, vpc: Vpc) -> None:
    """Bring a VPC's ranges to the network, and to the networks of its peers, which know them too."""
    tasks.start(db, vpc.id, "sync_network", vpc.region)
    for peer, region in db.execute(
        select(Vpc.id, Vpc.region)
        .join(
            Peering,
            or_(
                (Peering.requester_vpc_id == vpc.id) & (Peering.accepter_vpc_id == Vpc.id),
                (Peering.accepter_vpc_id == vpc.id) & (Peering.requester_vpc_id == Vpc.id),
            ),
        )
        .where(Peering.status == "active")
    ).tuples():
        tasks.start(db, peer, "sync_network", region)

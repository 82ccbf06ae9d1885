"""How peering connections begin and end, and what follows for both networks and for the rules that lean on them."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from engine import tasks
from engine.addresses import Exhausted
from engine.state import Peering, SecurityGroup, SecurityGroupRule, Tag, Vpc, VpcCidrBlock, now

LIFETIME = timedelta(days=7)
"""How long a request can be accepted: "VPC peering connection lifecycle" in the VPC peering guide."""
_LINKS = 8128
"""Pairs of link-local addresses that routers can be given: from 169.254.128.0 on, below what guests are served at."""


def cidrs_of(db: Session, vpc: Vpc) -> list[str]:
    """Return a VPC's ranges, its first one first."""
    held = db.scalars(select(VpcCidrBlock.cidr).where(VpcCidrBlock.vpc_id == vpc.id).order_by(VpcCidrBlock.cidr))
    return sorted(held, key=lambda cidr: cidr != vpc.cidr)


def activate(db: Session, peering: Peering) -> None:
    """Link the two networks. Rules that an earlier peering of them left stale work again, as EC2 has it.

    Raise addresses.Exhausted when there is no free link.
    """
    peering.link = _free_link(db)
    peering.status, peering.message = "active", "Active"
    for mine, theirs in _sides(peering):
        groups = select(SecurityGroup.id).where(SecurityGroup.vpc_id == mine)
        naming = (SecurityGroupRule.peer_vpc_id == theirs, SecurityGroupRule.group_id.in_(groups))
        again = update(SecurityGroupRule).where(*naming).values(peering_id=peering.id)
        db.execute(again, execution_options={"synchronize_session": False})
    _keep_cidrs(db, peering)
    _sync(db, peering)


def _free_link(db: Session) -> int:
    taken = set(db.scalars(select(Peering.link).where(Peering.link.is_not(None))))
    for link in range(_LINKS):
        if link not in taken:
            return link
    raise Exhausted("links between networks")


def end(db: Session, peering: Peering, status: str, message: str) -> None:
    """Let a peering, or a request for one, be over: no packet passes any more."""
    was_active = peering.status == "active"
    peering.status, peering.message = status, message
    peering.link, peering.ended = None, now()
    _keep_cidrs(db, peering)
    if was_active:
        _sync(db, peering)


def end_all_of(db: Session, vpc: Vpc) -> None:
    """Delete the peerings of a VPC that goes: "Delete a VPC peering connection" in the VPC peering guide."""
    for peering in db.scalars(select(Peering).where(_is_of(vpc.id), Peering.ended.is_(None)).with_for_update()).all():
        end(db, peering, "deleted", f"Deleted by {vpc.account}")


def _is_of(vpc_id: str) -> ColumnElement[bool]:
    return or_(Peering.requester_vpc_id == vpc_id, Peering.accepter_vpc_id == vpc_id)


def _sides(peering: Peering) -> list[tuple[str, str]]:
    ends = (peering.requester_vpc_id, peering.accepter_vpc_id)
    return [ends, ends[::-1]]


def _keep_cidrs(db: Session, peering: Peering) -> None:
    """Note the ranges: an ended connection is described though its VPCs may be gone."""
    if requester := db.get(Vpc, peering.requester_vpc_id):
        peering.requester_cidrs = cidrs_of(db, requester)
    if accepter := db.get(Vpc, peering.accepter_vpc_id):
        peering.accepter_cidrs = cidrs_of(db, accepter)


def _sync(db: Session, peering: Peering) -> None:
    for vpc_id, _ in _sides(peering):
        tasks.start(db, vpc_id, "sync_network", peering.region)
    naming = select(SecurityGroupRule.group_id).where(SecurityGroupRule.peering_id == peering.id)
    for id in db.scalars(select(SecurityGroup.id).where(SecurityGroup.id.in_(naming))).all():
        tasks.start(db, id, "sync_group", peering.region)


def expire(db: Session, moment: str) -> None:
    """Let requests be over that nobody accepted until then."""
    late = and_(Peering.status == "pending-acceptance", Peering.expires < moment)
    for peering in db.scalars(select(Peering).where(late).with_for_update()).all():
        end(db, peering, "expired", "Expired")


def forget(db: Session, before: str) -> None:
    """Delete what is left of peerings that ended before that moment."""
    over = select(Peering.id).where(Peering.ended < before)
    db.execute(delete(Tag).where(Tag.resource_id.in_(over)))
    db.execute(delete(Peering).where(Peering.ended < before))

"""VPC peering connections: requested by one side, accepted or rejected by the other, seen and ended by both."""

import json
import re
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, cast, func, literal, or_, select

from engine import peerings
from engine.addresses import Exhausted
from engine.state import Peering, Region, Vpc, VpcCidrBlock, json_rows, now, timestamp
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, invalid, missing, not_found, refuse, unsupported
from translators.filters import through
from translators.find import check_ids, find
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_FAILED = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
_WAITING = "pending-acceptance"


def _live(vpc_id: Any) -> tuple[Any, Any]:
    """Return columns with a VPC's first range, and with all of them."""
    first = select(Vpc.cidr).where(Vpc.id == vpc_id).scalar_subquery()
    return first, json_rows(VpcCidrBlock.cidr, where=VpcCidrBlock.vpc_id == vpc_id, order=(VpcCidrBlock.cidr,))


_requester, _accepter = _live(Peering.requester_vpc_id), _live(Peering.accepter_vpc_id)


def _shape(row: Any) -> dict[str, Any]:
    active = row.status == "active"
    return {
        "VpcPeeringConnectionId": row.id,
        "RequesterVpcInfo": _info(row, "requester", row.account, shown=True),
        # "CIDR block information is only returned when describing an active VPC peering connection": of the other side.
        "AccepterVpcInfo": _info(row, "accepter", row.accepter_account, shown=active),
        "Status": {"Code": row.status, "Message": row.message},
        "ExpirationTime": None if active or row.status == "deleted" else row.expires,
        "Tags": tag_set(row.tags) or [],
    }


def _info(row: Any, side: str, owner: str, shown: bool) -> dict[str, Any]:
    info = {"OwnerId": owner, "VpcId": getattr(row, f"{side}_vpc_id"), "Region": row.region}
    if not shown:
        return info
    first, held = getattr(row, f"{side}_first"), [cidr for (cidr,) in json.loads(getattr(row, f"{side}_held"))]
    if row.status not in ("active", _WAITING) or first is None:
        held = json.loads(getattr(row, f"{side}_last"))
        first = held[0] if held else None
    options = {
        "AllowDnsResolutionFromRemoteVpc": getattr(row, f"{side}_dns"),
        "AllowEgressFromLocalClassicLinkToRemoteVpc": False,
        "AllowEgressFromLocalVpcToRemoteClassicLink": False,
    }
    held.sort(key=lambda cidr: cidr != first)
    return info | {
        "CidrBlock": first,
        "CidrBlockSet": [{"CidrBlock": cidr} for cidr in held if ":" not in cidr],
        "Ipv6CidrBlockSet": [{"Ipv6CidrBlock": cidr} for cidr in held if ":" in cidr] or None,
        "PeeringOptions": options,
    }


def _cidr_of(vpc_id: Any, *conditions: ColumnElement[bool]) -> Any:
    own = and_(VpcCidrBlock.vpc_id == vpc_id, ~VpcCidrBlock.cidr.contains(":"), *conditions)
    return through(VpcCidrBlock.cidr, own)


# A request that failed never reached the other side.
_seen = or_(
    Peering.account == bindparam("account"),
    and_(Peering.accepter_account == bindparam("account"), Peering.status != literal("failed")),
)

PEERINGS = Listing(
    kind=Peering,
    columns=(
        Peering.id, Peering.account, Peering.region, Peering.requester_vpc_id, Peering.requester_dns,
        Peering.accepter_account, Peering.accepter_vpc_id, Peering.accepter_dns, Peering.status, Peering.message,
        Peering.expires, _requester[0].label("requester_first"), _requester[1].label("requester_held"),
        cast(Peering.requester_cidrs, String).label("requester_last"), _accepter[0].label("accepter_first"),
        _accepter[1].label("accepter_held"), cast(Peering.accepter_cidrs, String).label("accepter_last"),
        tags_of(Peering),
    ),
    shape=_shape,
    visible=and_(Peering.region == bindparam("region"), _seen),
    filters={
        "accepter-vpc-info.cidr-block": _cidr_of(Peering.accepter_vpc_id, Peering.status == "active"),
        "accepter-vpc-info.owner-id": Peering.accepter_account,
        "accepter-vpc-info.vpc-id": Peering.accepter_vpc_id,
        "expiration-time": Peering.expires,
        "requester-vpc-info.cidr-block": _cidr_of(Peering.requester_vpc_id),
        "requester-vpc-info.owner-id": Peering.account,
        "requester-vpc-info.vpc-id": Peering.requester_vpc_id,
        "status-code": Peering.status,
        "status-message": Peering.message,
        "vpc-peering-connection-id": Peering.id,
    },
)  # fmt: skip


@action
def describe_vpc_peering_connections(
    call: Call,
    *,
    vpc_peering_connection_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, PEERINGS, vpc_peering_connection_ids, filters, max_results, next_token)
    return {"VpcPeeringConnections": found, "NextToken": token}


@action
def create_vpc_peering_connection(
    call: Call,
    *,
    vpc_id: str,
    peer_vpc_id: str | None = None,
    peer_owner_id: str | None = None,
    peer_region: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Ask for a peering. The same request again gives the connection that is there, as EC2 does."""
    if not peer_vpc_id:
        raise missing("peerVpcId")
    _check_region(call, peer_region)
    vpc, owner = find(call, Vpc, vpc_id), _owner(call, peer_owner_id)
    peer = find(call, Vpc, peer_vpc_id) if owner == call.account else _vpc_of(call, owner, peer_vpc_id)
    same = (Peering.requester_vpc_id == vpc.id, Peering.accepter_vpc_id == peer_vpc_id, Peering.ended.is_(None))
    held = call.db.scalar(select(Peering.id).where(*same, or_(Peering.status == "active", Peering.expires >= now())))
    if held:
        return {"VpcPeeringConnection": rows_of(call, PEERINGS, [held])[0]}
    asked = (Peering.account == call.account, Peering.region == call.region, Peering.status == _WAITING)
    count = call.db.scalar(select(func.count()).select_from(Peering).where(*asked)) or 0
    check_quota(call, "outstanding VPC peering connection requests", count + 1)
    made = _request(call, vpc, owner, peer_vpc_id, peer)
    tags.put_at_creation(call, tag_specifications, {"vpc-peering-connection": [made.id]})
    shape = rows_of(call, PEERINGS, [made.id])[0]
    if made.ended is None:
        shape["Status"] = {"Code": "initiating-request", "Message": f"Initiating Request to {owner}"}
    return {"VpcPeeringConnection": shape}


def _check_region(call: Call, region: str | None) -> None:
    if region in (None, call.region):
        return
    if call.db.get(Region, region) is None:
        raise invalid("peerRegion", region, "This is not a valid region.")
    raise unsupported("PeerRegion", "Peering connections are between VPCs of one region only.")


def _owner(call: Call, id: str | None) -> str:
    if id and not re.fullmatch(r"\d{12}", id):
        raise invalid("peerOwnerId", id, "This is not a valid account ID.")
    return id or call.account


def _vpc_of(call: Call, owner: str, id: str) -> Vpc | None:
    """Return another account's VPC. Whether it is there is not for everybody to know: the request will just fail."""
    where = (Vpc.id == id, Vpc.account == owner, Vpc.region == call.region)
    return call.db.scalar(select(Vpc).where(*where).with_for_update())


def _request(call: Call, vpc: Vpc, owner: str, peer_vpc_id: str, peer: Vpc | None) -> Peering:
    made = Peering(
        id=Peering.new_id(),
        **call.owner,
        requester_vpc_id=vpc.id,
        requester_cidrs=peerings.cidrs_of(call.db, vpc),
        accepter_account=owner,
        accepter_vpc_id=peer_vpc_id,
        accepter_cidrs=peerings.cidrs_of(call.db, peer) if peer else [],
        status=_WAITING,
        message=f"Pending Acceptance by {owner}",
        expires=timestamp(datetime.now(UTC) + peerings.LIFETIME),
    )
    call.db.add(made)
    if peer is None or _overlap(made.requester_cidrs, made.accepter_cidrs):
        peerings.end(call.db, made, "failed", _FAILED)
    return made


def _overlap(ours: list[str], theirs: list[str]) -> bool:
    """IPv6 ranges never do: they come from one pool."""
    one, other = ([IPv4Network(cidr) for cidr in cidrs if ":" not in cidr] for cidrs in (ours, theirs))
    return any(mine.overlaps(yours) for mine in one for yours in other)


def find_peering(call: Call, id: str) -> Peering:
    """Return a connection that the caller is a side of, locked until the call ends if the call writes."""
    check_ids(Peering, [id])
    seen: ColumnElement[bool] = or_(
        Peering.account == call.account,
        and_(Peering.accepter_account == call.account, Peering.status != "failed"),
    )
    row = select(Peering).where(Peering.id == id, Peering.region == call.region, seen)
    found = call.db.scalar(row.with_for_update() if call.writes else row)
    if found is None:
        raise not_found(Peering, id)
    return found


@action
def accept_vpc_peering_connection(call: Call, *, vpc_peering_connection_id: str) -> Result:
    peering = find_peering(call, vpc_peering_connection_id)
    _as_accepter(call, peering, "accept")
    _check_transition(peering, [_WAITING], "provisioning")
    ends = (peering.requester_vpc_id, peering.accepter_vpc_id)
    # Locked, so that no other peering of theirs begins meanwhile.
    call.db.scalars(select(Vpc.id).where(Vpc.id.in_(ends)).order_by(Vpc.id).with_for_update()).all()
    for vpc_id in ends:
        _check_peers(call, peering, vpc_id)
    try:
        peerings.activate(call.db, peering)
    except Exhausted as error:
        raise Ec2Error("ResourceLimitExceeded", f"There are no free {error}.") from None
    shape = rows_of(call, PEERINGS, [peering.id])[0]
    return {"VpcPeeringConnection": shape | {"Status": {"Code": "provisioning", "Message": "Provisioning"}}}


def _check_peers(call: Call, peering: Peering, vpc_id: str) -> None:
    """Refuse a second peering of two VPCs, which a request the other way round may come to, and too many of one."""
    own = or_(Peering.requester_vpc_id == vpc_id, Peering.accepter_vpc_id == vpc_id)
    held = call.db.scalars(select(Peering).where(own, Peering.status == "active")).all()
    ends = {peering.requester_vpc_id, peering.accepter_vpc_id}
    if any({other.requester_vpc_id, other.accepter_vpc_id} == ends for other in held):
        text = f"The vpc peering connection identified by {peering.id} already exists."
        refuse("VpcPeeringConnectionAlreadyExists", text)
    check_quota(call, "active VPC peering connections per VPC", len(held) + 1)


@action
def reject_vpc_peering_connection(call: Call, *, vpc_peering_connection_id: str) -> Result:
    peering = find_peering(call, vpc_peering_connection_id)
    _as_accepter(call, peering, "reject")
    _check_transition(peering, [_WAITING], "rejected")
    peerings.end(call.db, peering, "rejected", f"Rejected by {call.account}")
    return {"Return": True}


@action
def delete_vpc_peering_connection(call: Call, *, vpc_peering_connection_id: str) -> Result:
    """Either side may delete an active connection, the requester also a request that waits."""
    peering = find_peering(call, vpc_peering_connection_id)
    _check_transition(peering, [_WAITING, "active"], "deleting")
    if peering.status == _WAITING and peering.account != call.account:
        _not_permitted(f"User {call.account} cannot delete peering {peering.id}")
    peerings.end(call.db, peering, "deleted", f"Deleted by {call.account}")
    return {"Return": True}


def _as_accepter(call: Call, peering: Peering, verb: str) -> None:
    if peering.accepter_account != call.account:
        _not_permitted(f"User {call.account} cannot {verb} peering {peering.id}")


def _not_permitted(text: str) -> None:
    refuse("OperationNotPermitted", text)


def _check_transition(peering: Peering, allowed: list[str], wanted: str) -> None:
    # A request that is too old is over, though nobody may have noted that yet.
    late = peering.status == _WAITING and peering.expires < now()
    status = "expired" if late else peering.status
    if status not in allowed:
        text = f"Invalid state transition for {peering.id}, attempted to transition from {status} to {wanted}"
        refuse("InvalidStateTransition", text)

"""Snapshots: the account's own, and those of the operator's public images, which everybody may make volumes from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, or_, select

from engine.seed import OPERATOR
from engine.state import Image, ImageBlockDevice, Snapshot
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error, not_found
from translators.filters import constant
from translators.find import check_ids
from translators.registry import Call, Result, action

_ALIAS = "amazon"
"""What DescribeSnapshots calls the operator."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SnapshotId": row.id,
        "VolumeId": row.volume_id,
        "VolumeSize": row.volume_size,
        "State": row.state,
        "Progress": row.progress,
        "StartTime": row.created,
        "OwnerId": row.account,
        "OwnerAlias": row.alias or None,
        "Description": row.description,
        "Encrypted": row.encrypted,
        "StorageTier": "standard",
        "Tags": tag_set(row.tags),
    }


_public = and_(
    Snapshot.account == OPERATOR,
    exists().where(
        ImageBlockDevice.snapshot_id == Snapshot.id, ImageBlockDevice.image_id == Image.id, Image.public.is_(True)
    ),
)
_alias = case((_public, _ALIAS), else_="")
_restorable = and_(or_(Snapshot.account == bindparam("account"), _public), Snapshot.region == bindparam("region"))

SNAPSHOTS = Listing(
    kind=Snapshot,
    columns=(
        Snapshot.id, Snapshot.volume_id, Snapshot.volume_size, Snapshot.state, Snapshot.progress, Snapshot.created,
        Snapshot.account, Snapshot.description, Snapshot.encrypted, _alias.label("alias"), tags_of(Snapshot),
    ),
    shape=_shape,
    visible=_restorable,
    filters={
        "description": Snapshot.description,
        "encrypted": Snapshot.encrypted,
        "owner-alias": _alias,
        "owner-id": Snapshot.account,
        "progress": Snapshot.progress,
        "snapshot-id": Snapshot.id,
        "start-time": Snapshot.created,
        "status": Snapshot.state,
        "storage-tier": constant("standard"),
        "transfer-type": constant("standard"),
        "volume-id": Snapshot.volume_id,
        "volume-size": Snapshot.volume_size,
    },
    ids_forbid_pages="snapshotSet",
)  # fmt: skip


@action
def describe_snapshots(
    call: Call,
    *,
    snapshot_ids: list[str] | None = None,
    owner_ids: list[str] | None = None,
    restorable_by_user_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    also = []
    if owner_ids:
        also.append(_owned_by(call, owner_ids))
    if restorable_by_user_ids:
        also.append(_restorable_by(call, restorable_by_user_ids))
    if snapshot_ids and also:
        # An id outside the scope is left out of the answer; one that is not there at all is an error.
        find_snapshots(call, snapshot_ids)
        filters = [*(filters or ()), {"Name": "snapshot-id", "Values": snapshot_ids}]
        snapshot_ids = None
    found, token = describe(call, SNAPSHOTS, snapshot_ids, filters, max_results, next_token, where=also)
    return {"Snapshots": found, "NextToken": token}


def _owned_by(call: Call, owners: Sequence[str]) -> ColumnElement[bool]:
    accounts = {"self": call.account, _ALIAS: OPERATOR}
    return Snapshot.account.in_([accounts.get(owner) or account_id(owner) for owner in owners])


def _restorable_by(call: Call, users: Sequence[str]) -> ColumnElement[bool]:
    """Everybody may use public snapshots; one's own are nobody else's until permissions can be given."""
    accounts = {call.account if user == "self" else account_id(user) for user in users if user != "all"}
    return or_(_public, Snapshot.account == call.account) if call.account in accounts else _public


def account_id(text: str) -> str:
    """Return an account's id as it was given; refuse what is none."""
    if not (text.isascii() and text.isdigit() and len(text) == 12):
        raise Ec2Error("InvalidUserID.Malformed", f'Invalid user id: "{text}"')
    return text


def find_snapshots(call: Call, ids: Sequence[str]) -> dict[str, Snapshot]:
    """Return the snapshots that the caller may make volumes from, by id."""
    check_ids(Snapshot, ids)
    usable = (or_(Snapshot.account == call.account, _public), Snapshot.region == call.region)
    found = {row.id: row for row in call.db.scalars(select(Snapshot).where(Snapshot.id.in_(ids), *usable))}
    lost = set(ids) - found.keys()
    if lost:
        raise not_found(Snapshot, *lost)
    return found

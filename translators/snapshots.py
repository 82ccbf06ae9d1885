"""Snapshots: the account's own, those that others share with it or everybody, and the operator's public images'."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, false, or_, select

from engine.seed import OPERATOR
from engine.snapshots import DELETED
from engine.state import AccountSettings, Image, ImageBlockDevice, Snapshot, SnapshotPermission
from translators.describe import Listing, describe, tag_set, tags_of
from translators.ebs_encryption import key_shown
from translators.errors import Ec2Error, not_found
from translators.filters import constant
from translators.find import check_ids, find
from translators.registry import Call, Result, action

_ALIAS = "amazon"
"""What DescribeSnapshots calls the operator."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SnapshotId": row.id,
        "VolumeId": row.volume_id,
        "VolumeSize": row.volume_size,
        "State": row.state,
        "StateMessage": row.state_message or None,
        "Progress": row.progress,
        "StartTime": row.created,
        "CompletionTime": row.completed or None,
        "OwnerId": row.account,
        "OwnerAlias": row.alias or None,
        "Description": row.description,
        "Encrypted": row.encrypted,
        "KmsKeyId": key_shown(row),
        "StorageTier": "standard",
        "TransferType": "standard" if row.source_id else None,
        "Tags": tag_set(row.tags),
    }


_of_public_image = and_(
    Snapshot.account == OPERATOR,
    exists().where(
        ImageBlockDevice.snapshot_id == Snapshot.id, ImageBlockDevice.image_id == Image.id, Image.public.is_(True)
    ),
)
_blocked = exists().where(
    AccountSettings.account == Snapshot.account,
    AccountSettings.region == Snapshot.region,
    AccountSettings.snapshot_sharing == "block-all-sharing",
)
_public = or_(_of_public_image, and_(Snapshot.public.is_(True), ~_blocked))
_alias = case((_of_public_image, _ALIAS), else_="")


def _shared_with(account: Any) -> ColumnElement[bool]:
    return exists().where(SnapshotPermission.snapshot_id == Snapshot.id, SnapshotPermission.account == account)


_ours: ColumnElement[str] = bindparam("account")
_restorable = and_(
    Snapshot.region == bindparam("region"),
    Snapshot.state != DELETED,
    or_(Snapshot.account == _ours, _public, _shared_with(_ours)),
)

SNAPSHOTS = Listing(
    kind=Snapshot,
    columns=(
        Snapshot.id, Snapshot.volume_id, Snapshot.volume_size, Snapshot.state, Snapshot.progress, Snapshot.created,
        Snapshot.account, Snapshot.region, Snapshot.description, Snapshot.encrypted, Snapshot.state_message,
        Snapshot.completed, Snapshot.source_id, _alias.label("alias"), tags_of(Snapshot),
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
        "transfer-type": case((Snapshot.source_id != "", "standard"), else_=""),
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
    """Match what these may make volumes of: ``self``, ``all``, and other accounts as far as the caller's own go."""
    tests: list[ColumnElement[bool]] = []
    for user in users:
        account = call.account if user == "self" else user if user == "all" else account_id(user)
        if account == "all":
            tests.append(_public)
        elif account == call.account:
            tests.append(or_(Snapshot.account == account, _shared_with(account)))
        else:
            tests.append(and_(Snapshot.account == call.account, _shared_with(account)))
    return or_(false(), *tests)


def account_id(text: str) -> str:
    """Return an account's id as it was given; refuse what is none."""
    if not (text.isascii() and text.isdigit() and len(text) == 12):
        raise Ec2Error("InvalidUserID.Malformed", f'Invalid user id: "{text}"')
    return text


def find_snapshots(call: Call, ids: Sequence[str], region: str = "") -> dict[str, Snapshot]:
    """Return the snapshots that the caller may make volumes of, by id; if the call writes, they stay till it ends."""
    check_ids(Snapshot, ids)
    rows = select(Snapshot).where(Snapshot.id.in_(ids), _restorable)
    scope = {"account": call.account, "region": region or call.region}
    found = {row.id: row for row in call.db.scalars(rows.with_for_update(read=True) if call.writes else rows, scope)}
    lost = set(ids) - found.keys()
    if lost:
        raise not_found(Snapshot, *lost)
    return found


def own_snapshot(call: Call, id: str) -> Snapshot:
    """Return the caller's own snapshot, locked until the call ends; one that is merely shared may not be changed."""
    if find_snapshots(call, [id])[id].account != call.account:
        raise Ec2Error("AuthFailure", f"Not authorized for snapshot:{id}", 403)
    return find(call, Snapshot, id)


def completed(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot of which something can be made; refuse one that is not there whole."""
    if snapshot.state != "completed":
        raise Ec2Error("IncorrectState", f"The snapshot '{snapshot.id}' is not in the completed state.")
    return snapshot

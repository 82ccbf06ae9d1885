"""Tiers of snapshots: there is the standard one only, so nothing is archived and nothing is brought back."""

from typing import Any

from engine.snapshots import DELETED
from engine.state import Snapshot
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error
from translators.filters import constant
from translators.registry import Call, Result, action
from translators.snapshots import own_snapshot


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SnapshotId": row.id,
        "VolumeId": row.volume_id,
        "Status": row.state,
        "OwnerId": row.account,
        "StorageTier": "standard",
        "Tags": tag_set(row.tags),
    }


TIERS = Listing(
    kind=Snapshot,
    columns=(Snapshot.id, Snapshot.volume_id, Snapshot.state, Snapshot.account, tags_of(Snapshot)),
    shape=_shape,
    also=(Snapshot.state != DELETED,),
    filters={
        "last-tiering-operation": constant(""),
        "snapshot-id": Snapshot.id,
        "volume-id": Snapshot.volume_id,
    },
)


@action
def describe_snapshot_tier_status(
    call: Call,
    *,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, TIERS, None, filters, max_results, next_token)
    return {"SnapshotTierStatuses": found, "NextToken": token}


@action
def modify_snapshot_tier(call: Call, *, snapshot_id: str, storage_tier: str | None = None) -> Result:
    own_snapshot(call, snapshot_id)
    raise Ec2Error("UnsupportedOperation", "There is no archive tier: every snapshot stays in the standard tier.")


@action
def restore_snapshot_tier(
    call: Call, *, snapshot_id: str, temporary_restore_days: int | None = None, permanent_restore: bool = False
) -> Result:
    own_snapshot(call, snapshot_id)
    raise Ec2Error("IncorrectState", f"The snapshot '{snapshot_id}' is not in the archive tier.")

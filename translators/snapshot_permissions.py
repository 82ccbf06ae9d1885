"""Who else may make volumes of a snapshot."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import delete, select

from engine.state import Account, Snapshot, SnapshotPermission
from translators.block_public_access import refuse_if_snapshots_are_blocked
from translators.errors import Ec2Error, combination, invalid, missing
from translators.registry import Call, Result, action
from translators.snapshots import account_id, own_snapshot

_MOST_CHANGES = 500


@action
def describe_snapshot_attribute(call: Call, *, attribute: str, snapshot_id: str) -> Result:
    snapshot = own_snapshot(call, snapshot_id)
    if attribute == "productCodes":
        return {"SnapshotId": snapshot_id, "ProductCodes": []}
    everybody = [{"Group": "all"}] if snapshot.public else []
    accounts = sorted(_permitted(call, snapshot))
    return {"SnapshotId": snapshot_id, "CreateVolumePermissions": [*everybody, *({"UserId": a} for a in accounts)]}


def _permitted(call: Call, snapshot: Snapshot) -> set[str]:
    return set(call.db.scalars(select(SnapshotPermission.account).filter_by(snapshot_id=snapshot.id)))


@action
def modify_snapshot_attribute(
    call: Call,
    *,
    snapshot_id: str,
    attribute: str | None = None,
    create_volume_permission: dict[str, list[dict[str, str]]] | None = None,
    operation_type: str | None = None,
    user_ids: list[str] | None = None,
    group_names: list[str] | None = None,
) -> Result:
    """Give or take permissions, named by the structure of the new way or by the lists of the old one."""
    snapshot = own_snapshot(call, snapshot_id)
    if attribute not in (None, "createVolumePermission"):
        raise invalid("attribute", attribute, "Only createVolumePermission can be modified.")
    if create_volume_permission is not None and (operation_type or user_ids or group_names):
        raise combination("CreateVolumePermission cannot be used with OperationType, UserId and UserGroup.")
    if create_volume_permission is None:
        create_volume_permission = _old_way(operation_type, user_ids, group_names)
    add, remove = create_volume_permission.get("Add") or [], create_volume_permission.get("Remove") or []
    if not (add or remove):
        raise missing("createVolumePermission")
    if add and remove:
        raise combination("Permissions cannot be added and removed in one request.")
    if len(add) + len(remove) > _MOST_CHANGES:
        raise invalid("createVolumePermission", len(add) + len(remove), f"At most {_MOST_CHANGES} can be changed.")
    change: Callable[[Call, Snapshot, set[str]], None] = _add if add else _remove
    change(call, snapshot, {_whom(item) for item in add or remove})
    return {}


def _old_way(
    operation: str | None, users: Sequence[str] | None, groups: Sequence[str] | None
) -> dict[str, list[dict[str, str]]]:
    if not operation:
        raise missing("operationType" if users or groups else "createVolumePermission")
    items = [{"UserId": user} for user in users or ()] + [{"Group": group} for group in groups or ()]
    return {operation.capitalize(): items}


def _whom(item: Mapping[str, str]) -> str:
    """Return the account that a permission names, or ``all``."""
    if ("Group" in item) == ("UserId" in item):
        raise combination("A create volume permission names either a group or a user.")
    if item.get("Group", "all") != "all":
        raise invalid("userGroup", item["Group"], "Valid values: all.")
    return item.get("Group") or account_id(item["UserId"])


def _add(call: Call, snapshot: Snapshot, whom: set[str]) -> None:
    accounts = whom - {"all"}
    lost = accounts - set(call.db.scalars(select(Account.id).where(Account.id.in_(accounts))))
    if lost:
        raise invalid("userId", min(lost), "There is no such account.")
    if whom and snapshot.encrypted:
        # EC2 shares what is encrypted with a key of the account's own making alone, and there is none of these here.
        raise Ec2Error("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
    if "all" in whom:
        refuse_if_snapshots_are_blocked(call)
        snapshot.public = True
    for account in sorted(accounts - _permitted(call, snapshot)):
        call.db.add(SnapshotPermission(snapshot_id=snapshot.id, account=account))


def _remove(call: Call, snapshot: Snapshot, whom: set[str]) -> None:
    if "all" in whom:
        snapshot.public = False
    held = SnapshotPermission.snapshot_id == snapshot.id
    call.db.execute(delete(SnapshotPermission).where(held, SnapshotPermission.account.in_(whom)))


@action
def reset_snapshot_attribute(call: Call, *, attribute: str, snapshot_id: str) -> Result:
    """Take every permission back; EC2 resets no other attribute."""
    snapshot = own_snapshot(call, snapshot_id)
    if attribute != "createVolumePermission":
        raise invalid("attribute", attribute, "Only createVolumePermission can be reset.")
    snapshot.public = False
    call.db.execute(delete(SnapshotPermission).where(SnapshotPermission.snapshot_id == snapshot.id))
    return {}

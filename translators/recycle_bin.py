"""The recycle bin, which is empty: there are no retention rules, so what is deleted is gone."""

from engine.state import Image, Snapshot
from translators.errors import not_found
from translators.find import check_ids
from translators.registry import Call, Result, action


@action
def list_snapshots_in_recycle_bin(
    call: Call,
    *,
    snapshot_ids: list[str] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    check_ids(Snapshot, snapshot_ids or ())
    return {"Snapshots": []}


@action
def restore_snapshot_from_recycle_bin(call: Call, *, snapshot_id: str) -> Result:
    check_ids(Snapshot, [snapshot_id])
    raise not_found(Snapshot, snapshot_id)


@action
def list_images_in_recycle_bin(
    call: Call,
    *,
    image_ids: list[str] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    check_ids(Image, image_ids or ())
    return {"Images": []}


@action
def restore_image_from_recycle_bin(call: Call, *, image_id: str) -> Result:
    check_ids(Image, [image_id])
    raise not_found(Image, image_id)

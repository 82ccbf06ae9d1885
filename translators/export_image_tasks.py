"""Exports of images to a bucket, and the end of exports that nobody wants any more."""

from typing import Any

from engine import tasks
from engine.exports.rows import KINDS
from engine.state import ExportImageTask, StoreImageTask
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import malformed, refuse
from translators.export_requests import (
    add_task,
    check_place,
    check_role,
    check_size,
    disk_format,
    exportable_image,
    not_exportable,
    snapshots_of,
)
from translators.find import find
from translators.image_attributes import described
from translators.import_requests import ROLE
from translators.registry import Call, Result, action


def _shape(row: Any) -> dict[str, Any]:
    return {
        "Description": row.description or None,
        "ExportImageTaskId": row.id,
        "ImageId": row.image_id,
        "Progress": None if row.status == "completed" else str(row.progress),
        "S3ExportLocation": {"S3Bucket": row.bucket, "S3Prefix": row.s3_prefix or None},
        "Status": row.status,
        "StatusMessage": row.message or None,
        "Tags": tag_set(row.tags),
    }


TASKS = Listing(
    kind=ExportImageTask,
    columns=(
        ExportImageTask.id, ExportImageTask.description, ExportImageTask.image_id, ExportImageTask.progress,
        ExportImageTask.bucket, ExportImageTask.s3_prefix, ExportImageTask.status, ExportImageTask.message,
        tags_of(ExportImageTask),
    ),
    shape=_shape,
    filters={"task-state": ExportImageTask.status},
)  # fmt: skip


@action
def export_image(
    call: Call,
    *,
    image_id: str,
    disk_image_format: str,
    s3_export_location: dict[str, Any],
    description: str = "",
    role_name: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Export an image of one disk as the object PREFIX + task's id + ``.vmdk``, ``.raw`` or ``.vhd``.

    EC2 too leaves images of several disks to the export of instances.
    """
    kind = disk_format("diskImageFormat", disk_image_format)
    check_role(role_name)
    image = exportable_image(call, image_id)
    snapshots = snapshots_of(call, image)
    if len(snapshots) != 1:
        raise not_exportable(f"The image '{image_id}' has {len(snapshots)} disks: an image of one can be exported.")
    check_size(call, snapshots[0].volume_size, kind)
    bucket, prefix = (s3_export_location.get(part) or "" for part in ("S3Bucket", "S3Prefix"))
    task = ExportImageTask(
        id=ExportImageTask.new_id(), **call.owner, description=described(description), image_id=image_id, format=kind,
        bucket=bucket, s3_prefix=prefix,
    )  # fmt: skip
    task.key = f"{prefix}{task.id}.{kind.lower()}"
    check_place(call, "S3ExportLocation", bucket, task.key)
    add_task(call, task, [snapshots[0].id])
    tags.put_at_creation(call, tag_specifications, {"export-image-task": [task.id]})
    tasks.start(call.db, task.id, "export_disks", call.region, new=True)
    return {**rows_of(call, TASKS, [task.id])[0], "DiskImageFormat": kind, "RoleName": role_name or ROLE}


@action
def describe_export_image_tasks(
    call: Call,
    *,
    export_image_task_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, TASKS, export_image_task_ids, filters, max_results, next_token)
    return {"ExportImageTasks": found, "NextToken": token}


@action
def cancel_export_task(call: Call, *, export_task_id: str) -> Result:
    """Cancel an export that is under way, of an image or of an instance; nothing of it stays in the bucket."""
    kind = KINDS.get(export_task_id.rpartition("-")[0])
    if kind is None or kind is StoreImageTask:
        raise malformed(ExportImageTask, export_task_id)
    task = find(call, kind, export_task_id)
    if task.status != "active":
        refuse("IncorrectState", f"The export task '{export_task_id}' is not active but {task.status}.")
    task.status, task.message = "deleting", "Cancelled: by the user"
    tasks.start(call.db, task.id, "cancel_export", call.region)
    return {}

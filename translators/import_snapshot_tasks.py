"""Imports of single disks as snapshots."""

import json
from typing import Any

from engine import tasks
from engine.state import ImportDisk, ImportSnapshotTask, json_rows
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.ebs_encryption import is_to_be_encrypted, key_shown, sealed_key
from translators.errors import missing
from translators.import_requests import asked_disk, check_import
from translators.registry import Call, Result, action
from translators.snapshot_creation import described


def disks_of(kind: Any) -> Any:
    """Return the column that holds a task's files or disks as JSON text; ``disk_detail`` reads one of them."""
    return json_rows(
        ImportDisk.url, ImportDisk.bucket, ImportDisk.key, ImportDisk.format, ImportDisk.description,
        ImportDisk.device, ImportDisk.file_bytes, ImportDisk.snapshot_id,
        where=ImportDisk.task_id == kind.id, order=(ImportDisk.number,),
    ).label("disks")  # fmt: skip


def disk_detail(row: Any, disk: list[Any]) -> dict[str, Any]:
    url, bucket, key, form, description, device, size, snapshot = disk
    ended = row.status == "completed"
    return {
        "Url": url or None,
        "UserBucket": {"S3Bucket": bucket, "S3Key": key} if bucket else None,
        "Format": form or None,
        "Description": description or None,
        "DeviceName": device or None,
        "DiskImageSize": None if size is None else float(size),
        # A snapshot that is being made may yet be unmade.
        "SnapshotId": snapshot if ended else None,
        "Status": row.status,
        "StatusMessage": row.message or None,
        "Progress": None if ended else str(row.progress),
    }


def _shape(row: Any) -> dict[str, Any]:
    detail = disk_detail(row, json.loads(row.disks)[0])
    detail.pop("DeviceName")
    detail["Description"] = detail["Description"] or row.description or None
    return {
        "ImportTaskId": row.id,
        "Description": row.description,
        "SnapshotTaskDetail": {**detail, "Encrypted": row.encrypted, "KmsKeyId": key_shown(row)},
        "Tags": tag_set(row.tags),
    }


TASKS = Listing(
    kind=ImportSnapshotTask,
    columns=(
        ImportSnapshotTask.id, ImportSnapshotTask.description, ImportSnapshotTask.status, ImportSnapshotTask.message,
        ImportSnapshotTask.progress, ImportSnapshotTask.account, ImportSnapshotTask.region,
        ImportSnapshotTask.encrypted, disks_of(ImportSnapshotTask), tags_of(ImportSnapshotTask),
    ),
    shape=_shape,
    filters={"task-state": ImportSnapshotTask.status},
)  # fmt: skip


@action
def import_snapshot(
    call: Call,
    *,
    disk_container: dict[str, Any] | None = None,
    description: str = "",
    encrypted: bool = False,
    kms_key_id: str = "",
    role_name: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Import one disk from a file, a web server or a bucket that the operator allows.

    ``role_name`` may only be EC2's default: the deployment reads the file itself.
    """
    if not disk_container:
        raise missing("DiskContainer")
    disk = asked_disk(call, "DiskContainer", disk_container)
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    check_import(call, role_name, 1)
    task = ImportSnapshotTask(
        id=ImportSnapshotTask.new_id(), **call.owner, description=described(description), encrypted=encrypted,
        key=sealed_key(call, encrypted, None),
    )  # fmt: skip
    disk.task_id, disk.number, disk.device = task.id, 0, ""
    call.db.add_all([task, disk])
    tags.put_at_creation(call, tag_specifications, {"import-snapshot-task": [task.id]})
    tasks.start(call.db, task.id, "import_disks", call.region, new=True)
    return rows_of(call, TASKS, [task.id])[0]


@action
def describe_import_snapshot_tasks(
    call: Call,
    *,
    import_task_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, TASKS, import_task_ids, filters, max_results, next_token)
    return {"ImportSnapshotTasks": found, "NextToken": token}

"""Exports of instances to a bucket: their disks as they are at the moment of the call's snapshots."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case

from engine import tasks
from engine.state import ExportInstanceTask, Instance, Snapshot
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import combination, invalid, refuse
from translators.export_requests import add_task, check_place, check_size, disk_format, not_exportable
from translators.find import find
from translators.image_attributes import described
from translators.registry import Call, Result, action
from translators.root_volume_replacements import refuse_if_replacing
from translators.snapshot_creation import attached_volumes, take

_ENVIRONMENTS = {"citrix": ("VHD", "RAW"), "vmware": ("VMDK", "RAW"), "microsoft": ("VHD", "RAW")}
"""What each reads; the first is what it gets unless the request says otherwise."""
_STATES = {"active": "active", "completed": "completed", "deleting": "cancelling", "deleted": "cancelled"}
_state = case(_STATES, value=ExportInstanceTask.status)


def _shape(row: Any) -> dict[str, Any]:
    return {
        "Description": row.description or None,
        "ExportTaskId": row.id,
        "ExportToS3Task": {
            "ContainerFormat": row.container or None,
            "DiskImageFormat": row.format,
            "S3Bucket": row.bucket,
            "S3Key": row.key,
        },
        "InstanceExportDetails": {"InstanceId": row.instance_id, "TargetEnvironment": row.environment},
        "State": row.state,
        "StatusMessage": row.message or None,
        "Tags": tag_set(row.tags),
    }


TASKS = Listing(
    kind=ExportInstanceTask,
    columns=(
        ExportInstanceTask.id, ExportInstanceTask.description, ExportInstanceTask.container, ExportInstanceTask.format,
        ExportInstanceTask.bucket, ExportInstanceTask.key, ExportInstanceTask.instance_id,
        ExportInstanceTask.environment, _state.label("state"), ExportInstanceTask.message,
        tags_of(ExportInstanceTask),
    ),
    shape=_shape,
    filters={},
)  # fmt: skip


@action
def create_instance_export_task(
    call: Call,
    *,
    instance_id: str,
    target_environment: str,
    export_to_s3_task: dict[str, Any],
    description: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Export an instance as the object PREFIX + task's id + format, or in an OVA with a descriptor, which takes
    several disks.

    Its disks are snapshots that the caller sees for as long as the export takes; a guest that runs goes on.
    """
    kind, container = _formats(target_environment, export_to_s3_task)
    instance = find(call, Instance, instance_id)
    if instance.state not in ("running", "stopped"):
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the running or stopped state.")
    refuse_if_replacing(call, instance)
    task = ExportInstanceTask(
        id=ExportInstanceTask.new_id(), **call.owner, description=described(description), instance_id=instance_id,
        environment=target_environment, container=container, format=kind,
        bucket=export_to_s3_task.get("S3Bucket") or "",
        about={"name": instance_id, "vcpus": instance.vcpus, "memory_mib": instance.memory_mib},
    )  # fmt: skip
    task.key = f"{export_to_s3_task.get('S3Prefix') or ''}{task.id}.{container or kind.lower()}"
    check_place(call, "ExportToS3Task", task.bucket, task.key)
    add_task(call, task, _snapshots(call, instance, task))
    tags.put_at_creation(call, tag_specifications, {"export-instance-task": [task.id]})
    tasks.start(call.db, task.id, "export_instance_disks", call.region, new=True)
    return {"ExportTask": rows_of(call, TASKS, [task.id])[0]}


def _formats(environment: str, asked: Mapping[str, Any]) -> tuple[str, str]:
    if environment not in _ENVIRONMENTS:
        raise invalid("targetEnvironment", environment, f"Valid values: {', '.join(_ENVIRONMENTS)}.")
    possible = _ENVIRONMENTS[environment]
    kind = disk_format("diskImageFormat", asked.get("DiskImageFormat") or possible[0])
    container = asked.get("ContainerFormat") or ""
    if container not in ("", "ova"):
        raise invalid("containerFormat", container, "Valid values: ova.")
    if kind not in possible:
        raise combination(f"The target environment {environment} does not read the disk image format {kind}.")
    if container and kind != "VMDK":
        raise combination(f"The container format ova has disks of the format VMDK, not {kind}.")
    return kind, container


def _snapshots(call: Call, instance: Instance, task: ExportInstanceTask) -> list[str]:
    """Have snapshots taken of an instance's volumes, the root first; refuse volumes that cannot leave."""
    attached = attached_volumes(call, instance)
    if not any(attachment.guest_device == "vda" for _, attachment in attached):
        refuse("IncorrectState", f"The instance '{instance.id}' has no root volume.")
    volumes = [volume for volume, _ in attached]
    if len(volumes) > 1 and not task.container:
        text = f"The instance '{instance.id}' has {len(volumes)} volumes: several can be exported as ova only."
        raise not_exportable(text)
    for volume in volumes:
        if volume.encrypted:
            raise not_exportable(f"The volume '{volume.id}' is encrypted: what leaves would lie open.")
        check_size(call, volume.size, task.format)
    ids = [Snapshot.new_id() for _ in volumes]
    take(call, volumes, task.id, ids, f"Created by CreateInstanceExportTask({instance.id}) for {task.id}")
    return ids


@action
def describe_export_tasks(
    call: Call, *, export_task_ids: list[str] | None = None, filters: list[dict[str, Any]] | None = None
) -> Result:
    """EC2 names no filters of its own for these; those of tags are."""
    found, _ = describe(call, TASKS, export_task_ids, filters, paged=False)
    return {"ExportTasks": found}

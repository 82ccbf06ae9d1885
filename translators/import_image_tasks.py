"""Imports of one or several disks as an image, and the end of imports that nobody wants any more."""

import json
from typing import Any

from engine import tasks
from engine.imports.rows import KINDS, MOST_DISKS
from engine.state import ImportImageTask, ImportSnapshotTask, RestoreImageTask
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.ebs_encryption import is_to_be_encrypted, key_shown, sealed_key
from translators.errors import invalid, malformed, missing, refuse, unsupported
from translators.find import find
from translators.image_attributes import described
from translators.image_devices import bad_mapping
from translators.import_requests import asked_disk, check_import
from translators.import_snapshot_tasks import disk_detail, disks_of
from translators.registry import Call, Result, action


def _shape(row: Any) -> dict[str, Any]:
    ended = row.status == "completed"
    return {
        "ImportTaskId": row.id,
        "Architecture": row.architecture,
        "BootMode": row.boot_mode or None,
        "Description": row.description,
        "Encrypted": row.encrypted,
        "KmsKeyId": key_shown(row),
        "Hypervisor": "xen",
        "ImageId": row.image_id or None,
        "LicenseType": "BYOL",
        "Platform": "Windows" if row.platform else "Linux",
        "Progress": None if ended else str(row.progress),
        "SnapshotDetails": [disk_detail(row, disk) for disk in json.loads(row.disks)],
        "Status": row.status,
        "StatusMessage": row.message or None,
        "Tags": tag_set(row.tags),
    }


TASKS = Listing(
    kind=ImportImageTask,
    columns=(
        ImportImageTask.id, ImportImageTask.description, ImportImageTask.status, ImportImageTask.message,
        ImportImageTask.progress, ImportImageTask.architecture, ImportImageTask.platform, ImportImageTask.boot_mode,
        ImportImageTask.image_id, ImportImageTask.account, ImportImageTask.region, ImportImageTask.encrypted,
        disks_of(ImportImageTask), tags_of(ImportImageTask),
    ),
    shape=_shape,
    filters={"task-state": ImportImageTask.status},
)  # fmt: skip
_PLATFORMS = {"": "", "linux": "", "windows": "windows"}


@action
def import_image(
    call: Call,
    *,
    disk_containers: list[dict[str, Any]] | None = None,
    description: str = "",
    architecture: str = "x86_64",
    platform: str = "",
    hypervisor: str = "xen",
    boot_mode: str = "",
    license_type: str = "BYOL",
    encrypted: bool = False,
    kms_key_id: str = "",
    role_name: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Import disks as an image; the first one boots, as it is: nothing in it is changed.

    EC2 looks for an operating system and puts its drivers in, and here an image needs virtio's.
    """
    if not disk_containers:
        raise missing("DiskContainers")
    if len(disk_containers) > MOST_DISKS:
        raise invalid("diskContainers", len(disk_containers), f"At most {MOST_DISKS} disks are possible.")
    _check_machine(architecture, platform, hypervisor, license_type)
    disks = [asked_disk(call, f"DiskContainer.{n}", each) for n, each in enumerate(disk_containers, 1)]
    names = [disk.device for disk in disks if disk.device]
    if len(set(names)) < len(names):
        raise bad_mapping("A device is used in more than one disk container")
    encrypted = is_to_be_encrypted(call, encrypted, kms_key_id)
    check_import(call, role_name, len(disks))
    task = ImportImageTask(
        id=ImportImageTask.new_id(), **call.owner, description=described(description), architecture=architecture,
        platform=_PLATFORMS[platform.lower()], boot_mode=boot_mode, encrypted=encrypted,
        key=sealed_key(call, encrypted, None),
    )  # fmt: skip
    for number, disk in enumerate(disks):
        disk.task_id, disk.number = task.id, number
    call.db.add_all([task, *disks])
    tags.put_at_creation(call, tag_specifications, {"import-image-task": [task.id]})
    tasks.start(call.db, task.id, "import_disks", call.region, new=True)
    made = rows_of(call, TASKS, [task.id])[0]
    made.pop("BootMode")  # which only the describe has
    return made


def _check_machine(architecture: str, platform: str, hypervisor: str, license_type: str) -> None:
    if architecture not in ("i386", "x86_64"):
        raise unsupported("Architecture", f"The hosts cannot run {architecture}.")
    if platform.lower() not in _PLATFORMS:
        raise invalid("platform", platform, "Valid values: Windows, Linux.")
    if hypervisor != "xen":
        raise invalid("hypervisor", hypervisor, "Valid values: xen.")
    if license_type != "BYOL":
        raise unsupported("LicenseType", "Licences are the owner's matter: BYOL is.")


@action
def describe_import_image_tasks(
    call: Call,
    *,
    import_task_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, TASKS, import_task_ids, filters, max_results, next_token)
    return {"ImportImageTasks": found, "NextToken": token}


@action
def cancel_import_task(call: Call, *, import_task_id: str | None = None, cancel_reason: str = "") -> Result:
    """Cancel an import that is under way; nothing of it stays. The reason is what its status message then says."""
    if not import_task_id:
        raise missing("ImportTaskId")
    kind = KINDS.get(import_task_id.rpartition("-")[0])
    if kind is None or kind is RestoreImageTask:
        raise malformed(ImportSnapshotTask, import_task_id)
    task = find(call, kind, import_task_id)
    if task.status != "active":
        refuse("IncorrectState", f"The import task '{import_task_id}' is not active but {task.status}.")
    if len(cancel_reason) > 255:
        raise invalid("cancelReason", cancel_reason[:40], "It must be no longer than 255 characters.")
    task.status, task.message = "deleting", f"Cancelled: {cancel_reason or 'by the user'}"
    tasks.start(call.db, task.id, "cancel_import", call.region)
    return {"ImportTaskId": task.id, "PreviousState": "active", "State": "deleting"}

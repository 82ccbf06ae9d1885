"""Images stored whole as one object in a bucket, and made of such an object again."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import case, select

from engine import tasks
from engine.imports.places import allowed, bucket_url
from engine.imports.stored_images import StoredDisk, StoredImage
from engine.state import Image, ImageBlockDevice, ImportDisk, RestoreImageTask, StoreImageTask
from translators import tags
from translators.describe import Listing, describe
from translators.ebs_encryption import is_to_be_encrypted, sealed_key
from translators.errors import combination, invalid, missing, refuse, unsupported
from translators.export_requests import add_task, check_place, exportable_image, snapshots_of
from translators.find import check_ids
from translators.image_registration import check_name
from translators.import_requests import check_import
from translators.registry import Call, Result, action

_STATES = {"active": "InProgress", "completed": "Completed", "deleting": "InProgress", "deleted": "Failed"}
_state = case(_STATES, value=StoreImageTask.status)
_KEPT = (
    "architecture", "boot_mode", "description", "ena_support", "imds_support", "name", "platform", "root_device_name",
    "sriov_net_support", "virtualization_type",
)  # fmt: skip
_DISK = ("delete_on_termination", "device", "iops", "size", "throughput", "virtual_name", "volume_type")
_MOST_IDS = 20
_MOST_OBJECT_TAGS = 10
"""S3's limit of tags of an object."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "AmiId": row.image_id,
        "TaskStartTime": row.created,
        "Bucket": row.bucket,
        "S3objectKey": row.key,
        "ProgressPercentage": row.progress,
        "StoreTaskState": row.state,
        "StoreTaskFailureReason": row.message if row.state == "Failed" else None,
    }


TASKS = Listing(
    kind=StoreImageTask,
    columns=(
        StoreImageTask.image_id, StoreImageTask.created, StoreImageTask.bucket, StoreImageTask.key,
        StoreImageTask.progress, _state.label("state"), StoreImageTask.message, StoreImageTask.id,
    ),
    shape=_shape,
    filters={"bucket": StoreImageTask.bucket, "task-state": _state},
)  # fmt: skip


@action
def create_store_image_task(
    call: Call, *, image_id: str, bucket: str, s3_object_tags: list[dict[str, Any]] | None = None
) -> Result:
    """Store an image with all its disks as the object ``ami-ID.bin``; what is in it is this project's own format."""
    image = exportable_image(call, image_id)
    snapshots = snapshots_of(call, image)
    key = f"{image_id}.bin"
    check_place(call, "Bucket", bucket, key)
    running = select(StoreImageTask.id).filter_by(image_id=image_id).where(
        StoreImageTask.status.in_(("active", "deleting"))
    )  # fmt: skip
    if call.db.scalar(running.limit(1)):
        refuse("InvalidRequest", f"The image '{image_id}' is being stored already.")
    task = StoreImageTask(
        id=StoreImageTask.new_id(), **call.owner, image_id=image_id, bucket=bucket, key=key,
        about=_about(call, image), object_tags=_object_tags(call, s3_object_tags or ()),
    )  # fmt: skip
    add_task(call, task, [snapshot.id for snapshot in snapshots])
    tasks.start(call.db, task.id, "export_disks", call.region, new=True)
    return {"ObjectKey": key}


def _stored(call: Call, image: Image) -> dict[str, Any]:
    try:
        return _about(call, image)
    except ValidationError as error:
        refuse("InvalidRequest", f"The image '{image.id}' cannot be stored: {error.errors()[0]['msg']}.")


def _about(call: Call, image: Image) -> dict[str, Any]:
    """Return what is stored of an image beside its disks; these in the order in which they are written."""
    devices = call.db.scalars(select(ImageBlockDevice).filter_by(image_id=image.id).order_by(ImageBlockDevice.device))
    disks: list[StoredDisk] = []
    for device in sorted(devices, key=lambda device: device.device != image.root_device_name):
        number = sum(bool(disk.file) for disk in disks)
        file = f"disk-{number}.qcow2" if device.snapshot_id else ""
        disks.append(StoredDisk(**{column: getattr(device, column) for column in _DISK}, file=file))
    return StoredImage(**{column: getattr(image, column) for column in _KEPT}, disks=disks).model_dump()


def _object_tags(call: Call, asked: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if asked and not call.settings.flow_log_store.startswith("http"):
        raise unsupported("S3ObjectTag", "The store of this deployment is a directory, where objects have no tags.")
    found: dict[str, str] = {}
    for tag in asked:
        key, value = tag.get("Key") or "", tag.get("Value") or ""
        if not key:
            raise missing("S3ObjectTag.Key")
        if key in found or key.lower().startswith("aws:") or len(key) > 128 or len(value) > 256:
            raise invalid("s3ObjectTag", key, "It is reserved, too long, or there twice.")
        found[key] = value
    if len(found) > _MOST_OBJECT_TAGS:
        refuse("TagLimitExceeded", f"An object can have {_MOST_OBJECT_TAGS} tags.")
    return found


@action
def describe_store_image_tasks(
    call: Call,
    *,
    image_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Describe the tasks of the last 31 days. With ImageIds the filters are ignored, as EC2 documents."""
    if not image_ids:
        found, token = describe(call, TASKS, None, filters, max_results, next_token)
        return {"StoreImageTaskResults": found, "NextToken": token}
    if max_results:
        raise combination("The parameter ImageIds cannot be used with the parameter MaxResults")
    if len(image_ids) > _MOST_IDS:
        raise invalid("imageId", len(image_ids), f"At most {_MOST_IDS} are possible.")
    check_ids(Image, image_ids)
    found, _ = describe(call, TASKS, where=[StoreImageTask.image_id.in_(image_ids)], paged=False)
    return {"StoreImageTaskResults": found}


@action
def create_restore_image_task(
    call: Call,
    *,
    bucket: str,
    object_key: str,
    name: str | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make an image of a stored one, in whichever region or deployment that was.

    It is pending until its object is read, and then available or failed, with the reason. Without a name it is called
    by its id until then.
    """
    settings = call.settings
    for parameter, value in (("Bucket", bucket), ("ObjectKey", object_key)):
        if not value:
            raise missing(parameter)
    if not settings.flow_log_store:
        raise unsupported("Bucket", "This deployment has no store of buckets: flow_log_store is not set.")
    if not allowed(bucket_url(bucket, object_key), settings.import_sources, call.account):
        text = f"The operator does not allow imports from there: see the setting import_sources. {bucket}"
        refuse("InvalidParameter", text)
    check_import(call, "", 1)
    encrypted = is_to_be_encrypted(call, None, None)
    id = Image.new_id()
    if name is not None:
        check_name(call, name)
    image = Image(
        id=id, **call.owner, name=name or id, location=f"{call.account}/{name or id}", state="pending"
    )  # fmt: skip
    task = RestoreImageTask(
        id=RestoreImageTask.new_id(), **call.owner, image_id=id, named=name is not None,
        snapshot_tags=_snapshot_tags(tag_specifications or ()), encrypted=encrypted,
        key=sealed_key(call, encrypted, None),
    )  # fmt: skip
    disk = ImportDisk(task_id=task.id, number=0, bucket=bucket, key=object_key, format="STORED")
    call.db.add_all([image, task, disk])
    # The snapshots are not there yet: their tags are checked here and put when they are.
    tags.put_at_creation(call, tag_specifications, {"image": [id], "snapshot": []})
    tasks.start(call.db, task.id, "import_disks", call.region, new=True)
    return {"ImageId": id}


def _snapshot_tags(specifications: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    wanted = (spec.get("Tags") or () for spec in specifications if spec.get("ResourceType") == "snapshot")
    return {tag["Key"]: tag.get("Value") or "" for found in wanted for tag in found if tag.get("Key")}

"""Images: what instances are launched from, and who may see and launch them."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, false, or_, select

from engine.state import Image, ImageBlockDevice, Instance, LaunchPermission, json_rows, now
from engine.state.prepared import Prepared
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error, malformed, not_found
from translators.filters import constant, through
from translators.find import check_ids
from translators.image_families import named_by, parameter_name
from translators.registry import Call, Result, action
from translators.snapshots import account_id

_ALIASES = ("amazon", "aws-backup-vault", "aws-marketplace")

_device = ImageBlockDevice.image_id == Image.id
_disk = and_(_device, ImageBlockDevice.virtual_name == "")
_devices = json_rows(
    ImageBlockDevice.device, ImageBlockDevice.snapshot_id, ImageBlockDevice.size, ImageBlockDevice.volume_type,
    ImageBlockDevice.iops, ImageBlockDevice.throughput, ImageBlockDevice.delete_on_termination,
    ImageBlockDevice.encrypted, ImageBlockDevice.virtual_name,
    where=_device, order=(ImageBlockDevice.device,),
)  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    windows = row.platform == "windows"
    return {
        "ImageId": row.id,
        "ImageLocation": row.location,
        "ImageType": "machine",
        "Public": row.public,
        "OwnerId": row.account,
        "ImageOwnerAlias": row.owner_alias or None,
        "Name": row.name,
        "Description": row.description or None,
        "State": row.state,
        "StateReason": {"Code": row.state_reason_code, "Message": row.state_reason} if row.state_reason_code else None,
        "CreationDate": row.created,
        "Architecture": row.architecture,
        "Platform": row.platform or None,
        "PlatformDetails": "Windows" if windows else "Linux/UNIX",
        "UsageOperation": "RunInstances:0002" if windows else "RunInstances",
        "BlockDeviceMappings": [_mapping(device) for device in json.loads(row.devices)],
        "RootDeviceName": row.root_device_name,
        "RootDeviceType": "ebs",
        "VirtualizationType": row.virtualization_type,
        # EC2 says so of every image, those that boot on Nitro too.
        "Hypervisor": "xen",
        "EnaSupport": row.ena_support,
        "SriovNetSupport": row.sriov_net_support or None,
        "BootMode": row.boot_mode or None,
        "ImdsSupport": row.imds_support or None,
        "TpmSupport": row.tpm_support or None,
        "DeprecationTime": row.deprecation_time or None,
        "DeregistrationProtection": row.deregistration_protection,
        "SourceInstanceId": row.source_instance_id or None,
        "SourceImageId": row.source_image_id or None,
        "SourceImageRegion": row.source_image_region or None,
        "PublicSsmParameterName": row.parameter or None,
        "Tags": tag_set(row.tags),
    }


def _mapping(device: Sequence[Any]) -> dict[str, Any]:
    name, snapshot, size, volume_type, iops, throughput, delete, encrypted, virtual = device
    if virtual:
        return {"DeviceName": name, "VirtualName": virtual}
    return {
        "DeviceName": name,
        "Ebs": {
            "SnapshotId": snapshot or None,
            "VolumeSize": size,
            "VolumeType": volume_type,
            "Iops": iops,
            "Throughput": throughput,
            "DeleteOnTermination": bool(delete),
            "Encrypted": bool(encrypted),
        },
    }


_ours: ColumnElement[str] = bindparam("account")
_shared = exists().where(LaunchPermission.image_id == Image.id, LaunchPermission.account == _ours)
_visible = and_(Image.region == bindparam("region"), or_(Image.account == _ours, Image.public.is_(True), _shared))

# What no image here has: a filter on it finds none.
_NEVER = constant("")

IMAGES = Listing(
    kind=Image,
    columns=(
        Image.id, Image.location, Image.public, Image.account, Image.owner_alias, Image.name, Image.description,
        Image.state, Image.created, Image.architecture, Image.platform, Image.root_device_name,
        Image.virtualization_type, Image.ena_support, Image.sriov_net_support, Image.boot_mode, Image.imds_support,
        Image.tpm_support, Image.deprecation_time, Image.state_reason_code, Image.state_reason,
        Image.deregistration_protection, Image.source_instance_id, Image.source_image_id, Image.source_image_region,
        parameter_name().label("parameter"), _devices.label("devices"), tags_of(Image),
    ),
    shape=_shape,
    visible=_visible,
    filters={
        "architecture": Image.architecture,
        "block-device-mapping.delete-on-termination": through(ImageBlockDevice.delete_on_termination, _disk),
        "block-device-mapping.device-name": through(ImageBlockDevice.device, _device),
        "block-device-mapping.encrypted": through(ImageBlockDevice.encrypted, _disk),
        "block-device-mapping.snapshot-id": through(ImageBlockDevice.snapshot_id, _disk),
        "block-device-mapping.volume-size": through(ImageBlockDevice.size, _disk),
        "block-device-mapping.volume-type": through(ImageBlockDevice.volume_type, _disk),
        "boot-mode": Image.boot_mode,
        "creation-date": Image.created,
        "description": Image.description,
        "ena-support": Image.ena_support,
        "free-tier-eligible": constant("false"),
        "hypervisor": constant("xen"),
        "image-allowed": _NEVER,
        "image-id": Image.id,
        "image-type": constant("machine"),
        "image-watermark.source-image-creation-time": _NEVER,
        "image-watermark.source-image-id": _NEVER,
        "image-watermark.source-image-region": _NEVER,
        "image-watermark.watermark-creation-time": _NEVER,
        "image-watermark.watermark-key": _NEVER,
        "instance-type-specification.supported-instance-type": _NEVER,
        "instance-type-specification.unsupported-instance-type": _NEVER,
        "is-public": Image.public,
        "kernel-id": _NEVER,
        "manifest-location": Image.location,
        "name": Image.name,
        "owner-alias": Image.owner_alias,
        "owner-id": Image.account,
        "platform": Image.platform,
        "product-code": _NEVER,
        "product-code.type": _NEVER,
        "public-ssm-parameter-name": named_by,
        "ramdisk-id": _NEVER,
        "root-device-name": Image.root_device_name,
        "root-device-type": constant("ebs"),
        "scan-result.critical-fix-available-since": _NEVER,
        "scan-result.finding-scan-date": _NEVER,
        "scan-result.high-fix-available-since": _NEVER,
        "scan-result.highest-finding-severity-label": _NEVER,
        "scan-result.informational-fix-available-since": _NEVER,
        "scan-result.low-fix-available-since": _NEVER,
        "scan-result.medium-fix-available-since": _NEVER,
        "source-image-id": Image.source_image_id,
        "source-image-region": Image.source_image_region,
        "source-instance-id": Image.source_instance_id,
        "sriov-net-support": Image.sriov_net_support,
        "state": Image.state,
        "state-reason-code": Image.state_reason_code,
        "state-reason-message": Image.state_reason,
        "virtualization-type": Image.virtualization_type,
    },
)  # fmt: skip


@action
def describe_images(
    call: Call,
    *,
    image_ids: list[str] | None = None,
    owners: list[str] | None = None,
    executable_users: list[str] | None = None,
    include_deprecated: bool = False,
    include_disabled: bool = False,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Images named by id are shown though they are deprecated; so is, to its owner, every image."""
    also: list[ColumnElement[bool]] = []
    if not include_disabled:
        also.append(Image.state != "disabled")
    if not include_deprecated and not image_ids:
        also.append(or_(Image.deprecation_time == "", Image.deprecation_time > now(), Image.account == _ours))
    if owners:
        also.append(_owned_by(call, owners))
    if executable_users:
        also.append(_shared_with(call, executable_users))
    if image_ids:
        # An id that is not there at all is an error; one that is outside the scope is left out of the answer.
        _check_visible(call, image_ids)
        also.append(Image.id.in_(image_ids))
    paged = not image_ids or bool(max_results)
    found, token = describe(call, IMAGES, None, filters, max_results, next_token, paged=paged, where=also)
    return {"Images": found, "NextToken": token}


def _check_visible(call: Call, ids: Sequence[str]) -> None:
    check_ids(Image, ids)
    lost = set(ids) - set(call.db.scalars(select(Image.id).where(_visible, Image.id.in_(ids)), call.owner))
    if lost:
        raise not_found(Image, *lost)


def _owned_by(call: Call, owners: Sequence[str]) -> ColumnElement[bool]:
    accounts = [call.account if o == "self" else account_id(o) for o in owners if o not in _ALIASES]
    return or_(Image.account.in_(accounts), Image.owner_alias.in_([o for o in owners if o in _ALIASES]))


def _shared_with(call: Call, users: Sequence[str]) -> ColumnElement[bool]:
    """Match images with explicit launch permissions; to whom another account shares is shown to those alone."""
    tests: list[ColumnElement[bool]] = []
    for user in users:
        account = call.account if user == "self" else user if user == "all" else account_id(user)
        shared = exists().where(LaunchPermission.image_id == Image.id, LaunchPermission.account == account)
        if user == "all":
            tests.append(Image.public.is_(True))
        else:
            tests.append(shared if account == call.account else and_(shared, Image.account == call.account))
    return or_(false(), *tests)


def find_visible_image(call: Call, image_id: str, region: str = "") -> Image:
    """Return an image that the caller may launch, in whatever state it is."""
    check_ids(Image, [image_id])
    scope = {"account": call.account, "region": region or call.region}
    image = call.db.scalar(select(Image).where(_visible, Image.id == image_id), scope)
    if image is not None:
        return image
    mine = (Instance.image_id == image_id, Instance.account == call.account, Instance.region == call.region)
    if call.db.scalar(select(exists().where(*mine))):
        # It was there when they were launched.
        raise Ec2Error("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")
    raise not_found(Image, image_id)


_IMAGE = Prepared(
    select(
        Image.id, Image.state, Image.architecture, Image.platform, Image.boot_mode, Image.root_device_name,
        Image.ena_support,
    ).where(_visible, Image.id == bindparam("id"))
)  # fmt: skip


def find_image(call: Call, image_id: str) -> Any:
    """Return what an instance takes of an image to launch from: the image itself may go the next moment."""
    image = _IMAGE.first(call.db, id=image_id, **call.owner) or find_visible_image(call, image_id)
    if image.state != "available":
        raise Ec2Error("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
    return image


_DEVICES = Prepared(
    select(
        ImageBlockDevice.device, ImageBlockDevice.size, ImageBlockDevice.snapshot_id, ImageBlockDevice.volume_type,
        ImageBlockDevice.iops, ImageBlockDevice.throughput, ImageBlockDevice.delete_on_termination,
        ImageBlockDevice.encrypted,
    ).where(ImageBlockDevice.image_id == bindparam("id"), ImageBlockDevice.virtual_name == "")
)  # fmt: skip


def block_devices(call: Call, image: Any) -> list[Any]:
    """Return the disks that an image names: its root first, the others by the names of their devices."""
    rows = _DEVICES.rows(call.db, id=image.id)
    return sorted(rows, key=lambda row: (row.device != image.root_device_name, row.device))


@action
def get_instance_uefi_data(call: Call, *, instance_id: str) -> Result:
    """Nothing here boots from UEFI yet; Terraform asks of every image, by its id, and takes a refusal for "none"."""
    if not instance_id.startswith("i-"):
        raise malformed(Instance, instance_id)
    check_ids(Instance, [instance_id])
    own = (Instance.id == instance_id, Instance.account == call.account, Instance.region == call.region)
    if not call.db.scalar(select(exists().where(*own))):
        raise not_found(Instance, instance_id)
    raise Ec2Error("UnsupportedOperation", f"The instance '{instance_id}' does not boot in UEFI mode.")

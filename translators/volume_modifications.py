"""Changes of volumes, while they are in use: of their size, type and speed; and how far each has come.

EC2 lets a volume be changed a few times a day only, since its data moves to other media. None moves here, so the next
change may follow as soon as the one before is completed.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.state import Volume, VolumeAttachment, VolumeModification, now
from translators import volume_quotas
from translators.describe import Listing, describe
from translators.device_names import BOOT
from translators.errors import Ec2Error, missing, refuse
from translators.filters import constant
from translators.find import find, find_all
from translators.registry import Call, Result, action
from translators.volume_types import check_volume, performance
from translators.volume_types import volume_type as type_named
from translators.volumes import refuse_multi_attach

_DEFAULT_IOPS = 3000
"""What a volume has that becomes io1, io2 or gp3: ModifyVolume's documentation."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "VolumeId": row.id,
        "ModificationState": row.state,
        "StatusMessage": row.message or None,
        "TargetSize": row.target_size,
        "TargetIops": row.target_iops,
        "TargetVolumeType": row.target_type,
        "TargetThroughput": row.target_throughput,
        "TargetMultiAttachEnabled": False,
        "OriginalSize": row.original_size,
        "OriginalIops": row.original_iops,
        "OriginalVolumeType": row.original_type,
        "OriginalThroughput": row.original_throughput,
        "OriginalMultiAttachEnabled": False,
        "Progress": row.progress,
        "StartTime": row.started,
        "EndTime": row.ended or None,
        "Operator": {"Managed": False},
    }


_Change = VolumeModification
MODIFICATIONS = Listing(
    kind=Volume,
    columns=(
        Volume.id, _Change.state, _Change.message, _Change.progress, _Change.started, _Change.ended,
        _Change.original_size, _Change.original_type, _Change.original_iops, _Change.original_throughput,
        _Change.target_size, _Change.target_type, _Change.target_iops,
        _Change.target_throughput,
    ),
    shape=_shape,
    also=(_Change.volume_id == Volume.id,),
    filters={
        "modification-state": _Change.state,
        "original-iops": _Change.original_iops,
        "original-size": _Change.original_size,
        "original-volume-type": _Change.original_type,
        "originalMultiAttachEnabled": constant("false"),
        "start-time": _Change.started,
        "target-iops": _Change.target_iops,
        "target-size": _Change.target_size,
        "target-volume-type": _Change.target_type,
        "targetMultiAttachEnabled": constant("false"),
        "volume-id": Volume.id,
    },
    lenient_ids=True,
)  # fmt: skip


@action
def describe_volumes_modifications(
    call: Call,
    *,
    volume_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    include_managed_resources: bool = False,
) -> Result:
    """Show the last change of each volume; to ask by id for one that was never changed is an error."""
    found, token = describe(call, MODIFICATIONS, volume_ids, filters, max_results, next_token)
    if volume_ids and not filters:
        _refuse_unchanged(call, volume_ids)
    return {"VolumesModifications": found, "NextToken": token}


def _refuse_unchanged(call: Call, ids: list[str]) -> None:
    find_all(call, Volume, ids)
    changed = set(call.db.scalars(select(_Change.volume_id).where(_Change.volume_id.in_(ids))))
    for id in ids:
        if id not in changed:
            refuse("InvalidVolumeModification.NotFound", f"Modification for volume '{id}' does not exist.")


@action
def modify_volume(
    call: Call,
    *,
    volume_id: str,
    size: int | None = None,
    volume_type: str | None = None,
    iops: int | None = None,
    throughput: int | None = None,
    multi_attach_enabled: bool | None = None,
) -> Result:
    volume = find(call, Volume, volume_id)
    if all(value is None for value in (size, volume_type, iops, throughput, multi_attach_enabled)):
        raise missing("size, volumeType, iops, throughput or multiAttachEnabled")
    change = call.db.get(VolumeModification, volume_id, with_for_update=True)
    _check_changeable(volume, change)
    kind = volume_type or volume.volume_type
    wanted = _numbers(volume, kind, size, iops, throughput)
    refuse_multi_attach(kind, multi_attach_enabled)
    _check_root(call, volume, kind)
    more_iops = volume_quotas.provisioned(kind, wanted["iops"])
    more_iops -= volume_quotas.provisioned(volume.volume_type, volume.iops)
    volume_quotas.check_more(call, 0, int(wanted["size"] or 0) - volume.size, more_iops)
    _note(call, volume, change, {**wanted, "type": kind})
    tasks.start(call.db, volume_id, "modify_volume", call.region)
    call.db.flush()
    (row,) = MODIFICATIONS.select(call, ids=[volume_id])
    return {"VolumeModification": _shape(row)}


def _check_changeable(volume: Volume, change: VolumeModification | None) -> None:
    if volume.state not in ("available", "in-use"):
        refuse("IncorrectState", f"The volume '{volume.id}' is not in a state in which it can be modified.")
    if volume.volume_type == "standard":
        raise Ec2Error("UnsupportedOperation", "Volumes of the type standard cannot be modified.")
    if change is not None and change.state in ("modifying", "optimizing"):
        refuse(
            "IncorrectModificationState",
            f"Volume {volume.id} cannot be modified in modification state {change.state.upper()}",
        )


def _numbers(
    volume: Volume, kind: str, size: int | None, iops: int | None, throughput: int | None
) -> dict[str, int | None]:
    """Return the size, IOPS and throughput that a volume is to have: what is not named stays as far as it can."""
    if kind == "standard":
        raise Ec2Error("UnsupportedOperation", "No volume can become one of the type standard.")
    wanted = volume.size if size is None else size
    if wanted < volume.size:
        refuse("InvalidParameterValue", "New size cannot be smaller than existing size")
    same, limits = kind == volume.volume_type, type_named(kind)
    if iops is None and limits.iops:
        iops = volume.iops if same else _DEFAULT_IOPS
    if throughput is None and same and limits.throughput:
        throughput = volume.throughput
    check_volume(kind, wanted, iops, throughput)
    shown_iops, shown_throughput = performance(kind, wanted, iops, throughput)
    return {"size": wanted, "iops": shown_iops, "throughput": shown_throughput}


def _check_root(call: Call, volume: Volume, kind: str) -> None:
    if type_named(kind).boots:
        return
    if call.db.scalar(select(VolumeAttachment.id).filter_by(volume_id=volume.id, guest_device=BOOT)):
        refuse("InvalidParameterValue", f"A root volume cannot become one of the type {kind}.")


def _note(call: Call, volume: Volume, change: VolumeModification | None, wanted: Mapping[str, Any]) -> None:
    """Put what the volume was and is to be in place of what is known of its change before."""
    if change is None:
        change = VolumeModification(volume_id=volume.id)
        call.db.add(change)
    change.state, change.message, change.progress, change.begun = "modifying", "", 0, False
    change.started, change.ended = now(), ""
    change.original_size, change.original_type = volume.size, volume.volume_type
    change.original_iops, change.original_throughput = volume.iops, volume.throughput
    for name, value in wanted.items():
        setattr(change, f"target_{name}", value)

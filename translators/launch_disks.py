"""The volumes of a launch: the image's block devices with the request's changes to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select

from engine.disk_keys import new_key
from engine.state import Snapshot, Volume, VolumeAttachment
from engine.state.prepared import put
from translators import volume_quotas
from translators.catalogue import InstanceType
from translators.device_names import check_name, most_volumes, plain, slots
from translators.ebs_encryption import is_default, is_to_be_encrypted
from translators.errors import Ec2Error, refuse, unsupported
from translators.registry import Call
from translators.volume_types import check_volume, performance, volume_type
from translators.volumes import size_of_new, usable_snapshot

_HONOURED = {
    "DeleteOnTermination",
    "SnapshotId",
    "VolumeSize",
    "VolumeType",
    "Iops",
    "Throughput",
    "Encrypted",
    "KmsKeyId",
}


@dataclass(frozen=True)
class Device:
    """A volume to make. ``iops`` and ``throughput`` (MiB/s) are those that were asked for, or the image's."""

    name: str
    size: int
    snapshot_id: str = ""
    volume_type: str = "gp2"
    iops: int | None = None
    throughput: int | None = None
    delete: bool = True
    encrypted: bool = False
    key: str = field(default="", repr=False)
    """The sealed key of an encrypted snapshot; a volume that has none of such gets its own."""


def devices(call: Call, image: Sequence[Any], root: str, mappings: Sequence[Mapping[str, Any]] | None) -> list[Device]:
    """Return the volumes of each instance, the root first; refuse what EC2 refuses."""
    _check_names([mapping.get("DeviceName") or "" for mapping in mappings or ()])
    found = {d.device: _of_image(d) for d in image}
    for mapping in mappings or ():
        name = mapping.get("DeviceName") or ""
        if mapping.get("NoDevice") is not None:
            if name == root:
                raise _bad("The root device cannot be left out.")
            found.pop(name, None)
        elif not str(mapping.get("VirtualName", "")).startswith("ephemeral"):
            if name not in found:
                check_name(name, root)
            found[name] = _changed(call, found.get(name), name, mapping.get("Ebs") or {})
    if root not in found:
        raise _bad(f"The image has no snapshot for its root device '{root}'.")
    if not volume_type(found[root].volume_type).boots:
        raise _bad(f"A volume of the type {found[root].volume_type} cannot be the root device.")
    return sorted(_with_keys(call, found.values()), key=lambda d: (d.name != root, d.name))


def _with_keys(call: Call, found: Iterable[Device]) -> list[Device]:
    """Return the volumes, encrypted where that is the default, or where their snapshots are, whose keys they have."""
    default, named = is_default(call), {device.snapshot_id for device in found}
    rows = select(Snapshot.id, Snapshot.key).where(Snapshot.id.in_(named - {""}), Snapshot.encrypted.is_(True))
    keys = dict(call.db.execute(rows).tuples().all())
    return [
        replace(d, encrypted=default or d.encrypted or d.snapshot_id in keys, key=keys.get(d.snapshot_id, ""))
        for d in found
    ]


def sources(wanted: Iterable[Device]) -> list[str]:
    """Return the snapshots that volumes are made of."""
    return [device.snapshot_id for device in wanted if device.snapshot_id]


def any_encrypted(wanted: Iterable[Device]) -> bool:
    return any(device.encrypted for device in wanted)


def _check_names(names: Sequence[str]) -> None:
    if "" in names:
        raise _bad("No device name")
    meant = [plain(name) for name in names]
    for name in names:
        if meant.count(plain(name)) > 1:
            raise _bad(f"The device '{name}' is used in more than one block-device mapping")


def _of_image(row: Any) -> Device:
    kind = volume_type(row.volume_type)
    iops, throughput = row.iops if kind.iops else None, row.throughput if kind.throughput else None
    return Device(
        row.device, row.size, row.snapshot_id, row.volume_type, iops, throughput, row.delete_on_termination,
        row.encrypted,
    )  # fmt: skip


def _changed(call: Call, device: Device | None, name: str, ebs: Mapping[str, Any]) -> Device:
    """Return the image's device as the request changes it. Its speed goes with its type: another has its own."""
    _refuse_what_is_not_honoured(ebs)
    snapshot_id = ebs.get("SnapshotId") or (device.snapshot_id if device else "")
    if device and device.snapshot_id and snapshot_id != device.snapshot_id:
        raise _bad(f"The snapshotId of the device '{name}' cannot be changed.")
    size = _size(call, device, snapshot_id, ebs.get("VolumeSize"))
    kind = ebs.get("VolumeType") or (device.volume_type if device else "gp2")
    kept = device if device and device.volume_type == kind else Device(name, size)
    iops, throughput = ebs.get("Iops") or kept.iops, ebs.get("Throughput") or kept.throughput
    check_volume(kind, size, iops, throughput)
    delete = ebs.get("DeleteOnTermination", device.delete if device else True)
    asked = bool(ebs.get("Encrypted")) or bool(device and device.encrypted)
    encrypted = is_to_be_encrypted(call, asked, ebs.get("KmsKeyId"))
    return Device(name, size, snapshot_id, kind, iops, throughput, delete, encrypted)


def _size(call: Call, device: Device | None, snapshot_id: str, asked: int | None) -> int:
    if device is None or device.snapshot_id != snapshot_id:
        snapshot = usable_snapshot(call, snapshot_id) if snapshot_id else None
        return size_of_new(asked, snapshot, "InvalidBlockDeviceMapping")
    if asked and snapshot_id and asked < device.size:
        return size_of_new(asked, call.db.get(Snapshot, snapshot_id), "InvalidBlockDeviceMapping")
    return asked or device.size


def _refuse_what_is_not_honoured(ebs: Mapping[str, Any]) -> None:
    for key, value in ebs.items():
        if key not in _HONOURED and value not in (None, ""):
            raise unsupported(f"BlockDeviceMapping.Ebs.{key}")


def _bad(message: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", message)


def check_limits(call: Call, kind: InstanceType, interfaces: int, wanted: Sequence[Device], instances: int) -> None:
    """Refuse more volumes than an instance of this type, or the account, can have."""
    if len(wanted) > most_volumes(kind, interfaces):
        refuse("AttachmentLimitExceeded", f"{kind.name} cannot have {len(wanted)} volumes.")
    volume_quotas.check_new(call, [(d.volume_type, d.size, d.iops) for d in wanted] * instances)


def attach_new(call: Call, instance_id: str, zone: str, moment: str, wanted: Sequence[Device]) -> list[str]:
    """Add the volumes of a new instance as they will be attached; return their ids."""
    ids = []
    for device, slot in zip(wanted, slots(len(wanted)), strict=True):
        id = Volume.new_id()
        iops, throughput = performance(device.volume_type, device.size, device.iops, device.throughput)
        put(
            call.db, Volume, id=id, **call.owner, zone=zone, size=device.size, snapshot_id=device.snapshot_id,
            volume_type=device.volume_type, iops=iops, throughput=throughput, state="in-use",
            encrypted=device.encrypted, key=device.key or (new_key(call.settings) if device.encrypted else ""),
        )  # fmt: skip
        put(
            call.db, VolumeAttachment, volume_id=id, instance_id=instance_id, device=device.name, guest_device=slot,
            state="attaching", delete_on_termination=device.delete, attach_time=moment,
        )  # fmt: skip
        ids.append(id)
    return ids

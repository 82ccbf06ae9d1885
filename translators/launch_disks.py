"""The volumes of a launch: the image's block devices with the request's changes to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.state import Snapshot
from translators.errors import Ec2Error, not_found, unsupported
from translators.find import check_ids
from translators.registry import Call

_TYPES = {"gp2": (1, 16384), "gp3": (1, 65536), "standard": (1, 1024), "st1": (125, 16384), "sc1": (125, 16384)}
"""Smallest and largest size in GiB of each volume type: "Amazon EBS volume types". io1 and io2 promise IOPS."""
_HONOURED = {"DeleteOnTermination", "SnapshotId", "VolumeSize", "VolumeType", "Encrypted"}


@dataclass(frozen=True)
class Device:
    """A volume to make. ``iops`` and ``throughput`` (MiB/s) are what the type has by default."""

    name: str
    size: int
    snapshot_id: str = ""
    volume_type: str = "gp2"
    delete: bool = True

    @property
    def iops(self) -> int | None:
        """What "Amazon EBS volume types" gives by default: gp2 has 3 IOPS a GiB, between 100 and 16,000."""
        return {"gp3": 3000, "gp2": min(max(100, 3 * self.size), 16000)}.get(self.volume_type)

    @property
    def throughput(self) -> int | None:
        return 125 if self.volume_type == "gp3" else None


def devices(call: Call, image: Sequence[Any], root: str, mappings: Sequence[Mapping[str, Any]] | None) -> list[Device]:
    """Return the volumes of each instance, the root first; refuse what EC2 refuses."""
    found = {d.device: Device(d.device, d.size, d.snapshot_id, d.volume_type, d.delete_on_termination) for d in image}
    named: set[str] = set()
    for mapping in mappings or ():
        name = mapping.get("DeviceName") or ""
        if not name or name in named:
            raise _bad(
                f"The device '{name}' is used in more than one block-device mapping" if name else "No device name"
            )
        named.add(name)
        if mapping.get("NoDevice") is not None:
            if name == root:
                raise _bad("The root device cannot be left out.")
            found.pop(name, None)
        elif not str(mapping.get("VirtualName", "")).startswith("ephemeral"):
            found[name] = _changed(call, found.get(name), name, mapping.get("Ebs") or {})
    if root not in found:
        raise _bad(f"The image has no snapshot for its root device '{root}'.")
    return sorted(found.values(), key=lambda d: (d.name != root, d.name))


def _changed(call: Call, device: Device | None, name: str, ebs: Mapping[str, Any]) -> Device:
    _refuse_what_is_not_honoured(ebs)
    snapshot_id = ebs.get("SnapshotId") or (device.snapshot_id if device else "")
    if device and device.snapshot_id and snapshot_id != device.snapshot_id:
        raise _bad(f"The snapshotId of the device '{name}' cannot be changed.")
    least = device.size if device else _size_of(call, snapshot_id) if snapshot_id else 0
    size = ebs.get("VolumeSize") or (device.size if device else least)
    if not size:
        raise Ec2Error("MissingParameter", "The request must contain the parameter size or snapshotId")
    if snapshot_id and size < least:
        raise _bad(f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= {least}GB")
    kind = ebs.get("VolumeType") or (device.volume_type if device else "gp2")
    _check_type(kind, size)
    delete = ebs.get("DeleteOnTermination", device.delete if device else True)
    return replace(Device(name, size), snapshot_id=snapshot_id, volume_type=kind, delete=delete)


def _check_type(kind: str, size: int) -> None:
    if kind not in _TYPES:
        raise unsupported("BlockDeviceMapping.Ebs.VolumeType", f"'{kind}' needs provisioned IOPS.")
    low, high = _TYPES[kind]
    if not low <= size <= high:
        raise _bad(f"Volume of size {size}GB is outside of {low}-{high}GB, the range of volume type {kind}")


def _refuse_what_is_not_honoured(ebs: Mapping[str, Any]) -> None:
    for key, value in ebs.items():
        if key not in _HONOURED and value not in (None, ""):
            raise unsupported(f"BlockDeviceMapping.Ebs.{key}")
    if ebs.get("Encrypted"):
        raise unsupported("BlockDeviceMapping.Ebs.Encrypted", "Encrypted volumes are not available yet.")


def _size_of(call: Call, snapshot_id: str) -> int:
    check_ids(Snapshot, [snapshot_id])
    row = call.db.get(Snapshot, snapshot_id)
    if row is None or row.region != call.region or row.account != call.account:
        raise not_found(Snapshot, snapshot_id)
    return row.volume_size


def _bad(message: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", message)


def guest_names(count: int) -> list[str]:
    """Return what the machine calls its disks: vda (which boots), vdb ... vdz."""
    if count > 26:
        raise _bad("More than 26 volumes cannot be attached to an instance.")
    return [f"vd{chr(ord('a') + n)}" for n in range(count)]

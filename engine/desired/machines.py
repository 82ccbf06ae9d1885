"""What an instance's machine should be: its place, disks and cards."""

import hashlib
import uuid
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from engine.disk_keys import open_key
from engine.drivers import base
from engine.state import Instance, NetworkInterface, Volume, VolumeAttachment, VolumeModification
from engine.state.prepared import Prepared
from settings import Settings


def interfaces(db: Session, instance_id: str) -> list[NetworkInterface]:
    """Return an instance's interfaces as objects, to be changed."""
    rows = select(NetworkInterface).filter_by(instance_id=instance_id).order_by(NetworkInterface.device_index)
    return list(db.scalars(rows))


_CARDS = Prepared(
    select(NetworkInterface.id, NetworkInterface.mac, NetworkInterface.vpc_id)
    .where(NetworkInterface.instance_id == bindparam("id"), NetworkInterface.attachment_status != "detaching")
    .order_by(NetworkInterface.device_index)
)


def cards(db: Session, instance_id: str) -> list[Any]:
    """Return id, mac and vpc_id of each interface that an instance is to keep, the primary one first."""
    return _CARDS.rows(db, id=instance_id)


_PLACE = Prepared(
    select(
        Instance.id, Instance.region, Instance.zone, Instance.host, Instance.instance_type, Instance.vcpus,
        Instance.memory_mib,
    ).where(Instance.id == bindparam("id"))
)  # fmt: skip


def place(db: Session, instance_id: str) -> Any:
    """Return what of an instance its machine is made of, and where it is: its zone and, if it holds one, its host."""
    return _PLACE.first(db, id=instance_id)


_growing = select(VolumeModification.target_size).where(
    VolumeModification.volume_id == Volume.id,
    VolumeModification.state == "modifying",
    VolumeModification.begun.is_(True),
)
_size = func.coalesce(_growing.scalar_subquery(), Volume.size).label("size")
"""GiB of the disk: a volume that grows is shown with its new size when it has it, but its disk never shrinks again."""

_DISK = Prepared(
    select(Volume.id, _size, Volume.snapshot_id, Volume.key, Volume.zone).where(Volume.id == bindparam("id"))
)


def disk(db: Session, settings: Settings, volume_id: str) -> tuple[base.Disk, str] | None:
    """Return the disk that a volume should be, and the zone it is in; None where there is no such volume."""
    row = _DISK.first(db, id=volume_id)
    return (_disk(row, settings), row.zone) if row else None


def _disk(row: Any, settings: Settings) -> base.Disk:
    return base.Disk(row.id, row.size, row.snapshot_id or None, open_key(settings, row.key))


_DISKS = Prepared(
    select(
        Volume.id, _size, Volume.snapshot_id, Volume.key, Volume.size.label("volume_size"), Volume.volume_type,
        Volume.iops, Volume.throughput, VolumeAttachment.guest_device, VolumeAttachment.state,
    )
    .join(VolumeAttachment, VolumeAttachment.volume_id == Volume.id)
    .where(VolumeAttachment.instance_id == bindparam("id"))
    .order_by(VolumeAttachment.guest_device)
)  # fmt: skip


def disks(db: Session, settings: Settings, instance_id: str) -> list[tuple[base.Disk, Any]]:
    """Return an instance's disks, the boot disk first, each with a row that says how it is attached and how fast."""
    rows = _DISKS.rows(db, id=instance_id)
    return [(_disk(row, settings), row) for row in rows]


def machine_uuid(instance_id: str) -> str:
    """Return the UUID a guest sees: it begins with ``ec2``, by which software knows that it is on EC2."""
    return str(uuid.UUID("ec2" + hashlib.sha256(instance_id.encode()).hexdigest()[:29]))


def machine(instance: Any, attached: tuple[base.AttachedDisk, ...], cards: list[Any], mtu: int) -> base.Machine:
    """Return the machine of an instance (as ``place`` gives it) with its disks and cards."""
    identity = machine_uuid(instance.id)
    return base.Machine(
        id=instance.id,
        uuid=identity,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        disks=attached,
        nics=tuple(base.Nic(card.id, card.mac, mtu) for card in cards),
        smbios={
            "manufacturer": "Amazon EC2",
            "product": instance.instance_type,
            "version": "Not Specified",
            "serial": identity,
            "uuid": identity,
            "asset": instance.id,
        },
    )

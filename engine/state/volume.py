"""Volumes, their attachments and their changes."""

import secrets

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Resource

LEAVING = ("detaching", "busy")
"""States of an attachment that is to end; it is busy while its guest does not let go."""


class Volume(Resource, Base):
    __tablename__ = "volume"
    prefix = "vol"
    zone: Mapped[str] = mapped_column(String(32))
    size: Mapped[int]
    """GiB."""
    snapshot_id: Mapped[str] = mapped_column(String(40), default="")
    volume_type: Mapped[str] = mapped_column(String(16), default="gp2")
    iops: Mapped[int | None]
    throughput: Mapped[int | None]
    encrypted: Mapped[bool] = mapped_column(default=False)
    key: Mapped[str] = mapped_column(String(512), default="")
    """What an encrypted disk is opened with, sealed under the deployment's key; that of its snapshot, if it has one."""
    multi_attach: Mapped[bool] = mapped_column(default=False)
    auto_enable_io: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16))


def _new_attachment_id() -> str:
    return f"vol-attach-{secrets.token_hex(9)[:17]}"


class VolumeAttachment(Base):
    __tablename__ = "volume_attachment"
    __table_args__ = (UniqueConstraint("instance_id", "device"), UniqueConstraint("instance_id", "guest_device"))
    id: Mapped[str] = mapped_column(String(40), unique=True, default=_new_attachment_id)
    """Whose tasks plug the disk in and out; EC2 has no such id."""
    volume_id: Mapped[str] = mapped_column(ForeignKey("volume.id"), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    device: Mapped[str] = mapped_column(String(32))
    """As the user names it: /dev/xvda, /dev/sdf."""
    guest_device: Mapped[str] = mapped_column(String(16))
    """As the machine has it: vda, vdb; vda boots."""
    state: Mapped[str] = mapped_column(String(16))
    delete_on_termination: Mapped[bool] = mapped_column(default=False)
    attach_time: Mapped[str] = mapped_column(String(24))


class VolumeModification(Base):
    """The last change that was asked for of a volume: what it was, and what it is to be."""

    __tablename__ = "volume_modification"
    volume_id: Mapped[str] = mapped_column(ForeignKey("volume.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default="modifying")
    begun: Mapped[bool] = mapped_column(default=False)
    """Whether the disk may have its new size already: from then on there is no way back."""
    message: Mapped[str] = mapped_column(Long, default="")
    progress: Mapped[int] = mapped_column(default=0)
    """Percent."""
    started: Mapped[str] = mapped_column(String(24))
    ended: Mapped[str] = mapped_column(String(24), default="")
    original_size: Mapped[int]
    original_type: Mapped[str] = mapped_column(String(16))
    original_iops: Mapped[int | None]
    original_throughput: Mapped[int | None]
    target_size: Mapped[int]
    target_type: Mapped[str] = mapped_column(String(16))
    target_iops: Mapped[int | None]
    target_throughput: Mapped[int | None]

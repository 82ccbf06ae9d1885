"""Volumes and their attachments."""

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


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
    multi_attach: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16))


class VolumeAttachment(Base):
    __tablename__ = "volume_attachment"
    __table_args__ = (UniqueConstraint("instance_id", "device"), UniqueConstraint("instance_id", "guest_device"))
    volume_id: Mapped[str] = mapped_column(ForeignKey("volume.id"), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    device: Mapped[str] = mapped_column(String(32))
    """As the user names it: /dev/xvda, /dev/sdf."""
    guest_device: Mapped[str] = mapped_column(String(16))
    """As the machine has it: vda, vdb; vda boots."""
    state: Mapped[str] = mapped_column(String(16))
    delete_on_termination: Mapped[bool] = mapped_column(default=False)
    attach_time: Mapped[str] = mapped_column(String(24))

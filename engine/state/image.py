"""Machine images: a row that names snapshots."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


class Image(Resource, Base):
    __tablename__ = "image"
    prefix = "ami"
    __table_args__ = (
        Index("ix_image_name", "account", "region", "name", unique=True),
        Index("ix_image_public", "region", "public"),
    )
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Name, default="")
    location: Mapped[str] = mapped_column(Name)
    owner_alias: Mapped[str] = mapped_column(String(32), default="")
    """``amazon`` for what the operator provides to everyone."""
    architecture: Mapped[str] = mapped_column(String(16), default="x86_64")
    platform: Mapped[str] = mapped_column(String(16), default="")
    boot_mode: Mapped[str] = mapped_column(String(16), default="")
    root_device_name: Mapped[str] = mapped_column(String(32), default="/dev/xvda")
    virtualization_type: Mapped[str] = mapped_column(String(16), default="hvm")
    ena_support: Mapped[bool] = mapped_column(default=True)
    sriov_net_support: Mapped[str] = mapped_column(String(16), default="")
    imds_support: Mapped[str] = mapped_column(String(16), default="")
    tpm_support: Mapped[str] = mapped_column(String(16), default="")
    public: Mapped[bool] = mapped_column(default=False)
    deprecation_time: Mapped[str] = mapped_column(String(24), default="")
    state: Mapped[str] = mapped_column(String(16), default="available")
    state_reason_code: Mapped[str] = mapped_column(String(64), default="")
    state_reason: Mapped[str] = mapped_column(Name, default="")
    source_instance_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    source_image_id: Mapped[str] = mapped_column(String(40), default="")
    source_image_region: Mapped[str] = mapped_column(String(32), default="")
    restarts_instance: Mapped[bool] = mapped_column(default=False)
    """Whether the instance that it is made of is off for as long as that takes."""
    deregistration_protection: Mapped[str] = mapped_column(String(32), default="disabled")
    """``disabled``, ``enabled-without-cooldown`` or ``enabled-with-cooldown``."""
    protected_until: Mapped[str] = mapped_column(String(24), default="")
    """When the cooldown ends of a protection that was disabled."""


class ImageBlockDevice(Base):
    __tablename__ = "image_block_device"
    image_id: Mapped[str] = mapped_column(ForeignKey("image.id"), primary_key=True)
    device: Mapped[str] = mapped_column(String(32), primary_key=True)
    snapshot_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    virtual_name: Mapped[str] = mapped_column(String(32), default="")
    """An instance store volume (``ephemeral0``), which the instance types here do not have: it is only said."""
    size: Mapped[int]
    volume_type: Mapped[str] = mapped_column(String(16), default="gp2")
    iops: Mapped[int | None]
    throughput: Mapped[int | None]
    delete_on_termination: Mapped[bool] = mapped_column(default=True)
    encrypted: Mapped[bool] = mapped_column(default=False)


class LaunchPermission(Base):
    """Another account that may launch from an image."""

    __tablename__ = "launch_permission"
    image_id: Mapped[str] = mapped_column(ForeignKey("image.id"), primary_key=True)
    account: Mapped[str] = mapped_column(String(12), primary_key=True)

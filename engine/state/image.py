"""Machine images: a row that names snapshots."""

import re
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource

_BUILD = re.compile(r"[-_. ](v?\d+\.\d+\.\d+|v\d+|20\d{6})(?![A-Za-z0-9]).*", re.ASCII)
FAMILY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
"""What the name of a family may be: it is a part of the names of parameters."""


def family_of(name: str) -> str:
    """Return an image's name up to what tells its build: a date, a number of three parts or more, or v and a number.

    ``debian-12-20250101-1200`` is of ``debian-12``: the release belongs to the family.
    """
    family = re.sub(r"[^A-Za-z0-9_./-]", "-", _BUILD.sub("", name))
    return re.sub(r"/{2,}", "/", family).strip("/") or "-"


def _default_family(context: Any) -> str:
    return family_of(context.get_current_parameters()["name"])


class Image(Resource, Base):
    __tablename__ = "image"
    prefix = "ami"
    __table_args__ = (
        Index("ix_image_name", "account", "region", "name", unique=True),
        Index("ix_image_public", "region", "public"),
        Index("ix_image_family", "region", "family"),
    )
    name: Mapped[str] = mapped_column(Name)
    family: Mapped[str] = mapped_column(Name, default=_default_family)
    """What its newer and older builds have in common: parameters name the newest of a family."""
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

"""Exports of disks to a store of buckets: what was asked for, how far it got, and what became of it."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class ExportTask(Resource):
    """``status`` is that of EC2's exports of images: active, completed, deleting, deleted.

    A failed one is deleted, and its message says why.
    """

    status: Mapped[str] = mapped_column(String(16), default="active")
    message: Mapped[str] = mapped_column(Long, default="pending")
    progress: Mapped[int] = mapped_column(default=0)
    """Percent."""
    description: Mapped[str] = mapped_column(Name, default="")
    bucket: Mapped[str] = mapped_column(Name)
    key: Mapped[str] = mapped_column(Long)
    """The name of the object."""
    format: Mapped[str] = mapped_column(String(8), default="")
    """Of the disk, or of each disk in a container: RAW, VMDK, VHD."""
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What a container says beside its disks."""


class ExportImageTask(ExportTask, Base):
    __tablename__ = "export_image_task"
    prefix = "export-ami"
    image_id: Mapped[str] = mapped_column(String(40))
    s3_prefix: Mapped[str] = mapped_column(Long, default="")
    """As it was given."""


class ExportInstanceTask(ExportTask, Base):
    """Its disks are snapshots of its own, taken for it and deleted with its end."""

    __tablename__ = "export_instance_task"
    prefix = "export-i"
    instance_id: Mapped[str] = mapped_column(String(40))
    environment: Mapped[str] = mapped_column(String(16))
    container: Mapped[str] = mapped_column(String(8), default="")
    """``ova``; empty: the disk alone."""


class StoreImageTask(ExportTask, Base):
    """``about`` is the image's description. EC2 has no ids for such tasks, so nobody sees these."""

    __tablename__ = "store_image_task"
    prefix = "store-ami"
    image_id: Mapped[str] = mapped_column(String(40), index=True)
    object_tags: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ExportDisk(Base):
    """A snapshot that an export under way reads: as long as the row is there, its data stays."""

    __tablename__ = "export_disk"
    task_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 0, in the order in which the disks are written."""
    snapshot_id: Mapped[str] = mapped_column(String(40), index=True)

"""Imports of disk images from outside: what was asked for, how far it got, and what became of it."""

from typing import Any

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class ImportTask(Resource):
    """``status`` is EC2's: active, completed, deleting, deleted. A failed one is deleted, and its message says why."""

    status: Mapped[str] = mapped_column(String(16), default="active")
    message: Mapped[str] = mapped_column(Long, default="pending")
    progress: Mapped[int] = mapped_column(default=0)
    """Percent."""
    description: Mapped[str] = mapped_column(Name, default="")
    encrypted: Mapped[bool] = mapped_column(default=False)
    key: Mapped[str] = mapped_column(String(512), default="")
    """What its disks are encrypted with, sealed under the deployment's key, until they are snapshots."""


class ImportSnapshotTask(ImportTask, Base):
    __tablename__ = "import_snapshot_task"
    prefix = "import-snap"


class ImportImageTask(ImportTask, Base):
    __tablename__ = "import_image_task"
    prefix = "import-ami"
    architecture: Mapped[str] = mapped_column(String(16))
    platform: Mapped[str] = mapped_column(String(16), default="")
    boot_mode: Mapped[str] = mapped_column(String(16), default="")
    image_id: Mapped[str] = mapped_column(String(40), default="")


class RestoreImageTask(ImportTask, Base):
    """The making of an image of what was stored of one. EC2 has no ids for such tasks, so nobody sees these."""

    __tablename__ = "restore_image_task"
    prefix = "restore-ami"
    image_id: Mapped[str] = mapped_column(String(40))
    named: Mapped[bool]
    """Whether the request gave a name; if not, the image is called as the one that was stored."""
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was stored of the image, once that is read."""
    snapshot_tags: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ImportDisk(Base):
    """A file that an import reads; once that is read, one row for each disk that was in it."""

    __tablename__ = "import_disk"
    task_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 0, in the order in which the disks are an image's."""
    url: Mapped[str] = mapped_column(Long, default="")
    bucket: Mapped[str] = mapped_column(Name, default="")
    key: Mapped[str] = mapped_column(Long, default="")
    format: Mapped[str] = mapped_column(String(8), default="")
    """As asked for, then as found: RAW, QCOW2, VMDK, VHD, VHDX, VDI; OVA and STORED only as asked for."""
    description: Mapped[str] = mapped_column(Name, default="")
    device: Mapped[str] = mapped_column(String(32), default="")
    file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """How large the disk's file was; None before it is read."""
    snapshot_id: Mapped[str] = mapped_column(String(40), default="")

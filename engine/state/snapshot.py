"""Snapshots: what a volume held at one moment, who else may make volumes of it, and until when it must be kept."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


class Snapshot(Resource, Base):
    """``state`` is EC2's, or ``deleted``: such a one is shown to nobody, and its data is needed for a moment more."""

    __tablename__ = "snapshot"
    prefix = "snap"
    __table_args__ = (
        Index("ix_snapshot_owner", "account", "region", "id"),
        Index("ix_snapshot_public", "region", "public"),
        Index("ix_snapshot_state", "region", "state"),
        Index("ix_snapshot_taken_by", "taken_by"),
        Index("ix_snapshot_volume", "volume_id"),
    )
    volume_id: Mapped[str] = mapped_column(String(40), default="vol-ffffffff")
    volume_size: Mapped[int]
    """GiB."""
    description: Mapped[str] = mapped_column(Name, default="")
    encrypted: Mapped[bool] = mapped_column(default=False)
    key: Mapped[str] = mapped_column(String(512), default="")
    """What an encrypted one is opened with, sealed under the deployment's key; that of its volume."""
    state: Mapped[str] = mapped_column(String(16))
    state_message: Mapped[str] = mapped_column(Name, default="")
    progress: Mapped[str] = mapped_column(String(8), default="")
    completed: Mapped[str] = mapped_column(String(24), default="")
    public: Mapped[bool] = mapped_column(default=False)
    storage: Mapped[str] = mapped_column(String(128), default="")
    """The store of disks that it lies in, as zones name theirs; empty: every one of its region."""
    source_id: Mapped[str] = mapped_column(String(40), default="")
    """The snapshot that it is a copy of."""
    taken_by: Mapped[str] = mapped_column(String(40), default="")
    """What the task that makes it is called: those that are made at one moment have one, and an image's have its id."""
    being_taken: Mapped[bool] = mapped_column(default=False)
    """Whether its volume's disk may just be changing its place: who starts or plugs that disk waits."""


class SnapshotPermission(Base):
    """Another account that may make volumes of a snapshot."""

    __tablename__ = "snapshot_permission"
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    account: Mapped[str] = mapped_column(String(12), primary_key=True)


class SnapshotDraft(Base):
    """A pending snapshot that its owner writes block by block."""

    __tablename__ = "snapshot_draft"
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    parent_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    """The snapshot that it is written upon, if there is one."""
    timeout: Mapped[int]
    """Minutes for which another block, or the end, is waited for."""
    expires: Mapped[str] = mapped_column(String(24), index=True)
    """When that time is over; empty: nothing is waited for any more."""
    sealed: Mapped[bool] = mapped_column(default=False)
    """Whether everything is written."""


class SnapshotLock(Base):
    """A promise that a snapshot is not deleted before ``expires``; a row whose time is over is still described."""

    __tablename__ = "snapshot_lock"
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    mode: Mapped[str] = mapped_column(String(16))
    """``governance`` or ``compliance``."""
    created: Mapped[str] = mapped_column(String(24))
    duration: Mapped[int]
    """Days."""
    starts: Mapped[str] = mapped_column(String(24))
    expires: Mapped[str] = mapped_column(String(24))
    cool_off: Mapped[int | None]
    """Hours in which a lock in compliance mode can still be changed and taken away."""
    cool_off_ends: Mapped[str] = mapped_column(String(24), default="")

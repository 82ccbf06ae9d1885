"""Regions, their zones, and the hosts that run machines."""

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base


class Region(Base):
    __tablename__ = "region"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    engine: Mapped[str] = mapped_column(String(16))


class Zone(Base):
    __tablename__ = "zone"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    region: Mapped[str] = mapped_column(ForeignKey("region.name"), index=True)
    zone_id: Mapped[str] = mapped_column(String(32))
    storage: Mapped[str] = mapped_column(String(128), default="default")
    """The store of its disks and snapshots: zones that name the same one share it, across regions too."""


class Host(Base):
    """A machine that runs guests. What it promised never exceeds what it has: the database is the allocator."""

    __tablename__ = "host"
    __table_args__ = (
        CheckConstraint("memory_used_mib <= memory_mib", "memory"),
        CheckConstraint("vcpus_used <= vcpus", "vcpus"),
        CheckConstraint("memory_used_mib >= 0 AND vcpus_used >= 0", "used"),
    )
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    region: Mapped[str] = mapped_column(ForeignKey("region.name"), index=True)
    vcpus: Mapped[int]
    memory_mib: Mapped[int]
    vcpus_used: Mapped[int] = mapped_column(default=0)
    memory_used_mib: Mapped[int] = mapped_column(default=0)
    boot_id: Mapped[str] = mapped_column(String(64), default="")
    """Which boot of the host was last seen; another one means that what ran must be started again."""

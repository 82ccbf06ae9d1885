"""Replacements of root volumes: which volume an instance is to boot from instead of the one it has."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class RootReplacement(Resource, Base):
    """``state`` is EC2's: pending, in-progress (the volumes have changed places), succeeded or failed."""

    __tablename__ = "root_replacement"
    prefix = "replacevol"
    __table_args__ = (
        Index("ix_root_replacement_owner", "account", "region", "id"),
        Index("ix_root_replacement_instance", "instance_id"),
    )
    instance_id: Mapped[str] = mapped_column(String(40))
    old_volume_id: Mapped[str] = mapped_column(String(40))
    new_volume_id: Mapped[str] = mapped_column(String(40))
    snapshot_id: Mapped[str] = mapped_column(String(40), default="")
    image_id: Mapped[str] = mapped_column(String(40), default="")
    is_made: Mapped[bool] = mapped_column(default=True)
    """Whether the new volume was made for this, and goes again if it fails."""
    deletes_old: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16), default="pending")
    completed: Mapped[str] = mapped_column(String(24), default="")

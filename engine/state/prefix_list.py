"""Managed prefix lists: named sets of ranges, with every version that there was."""

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class PrefixList(Resource, Base):
    __tablename__ = "prefix_list"
    prefix = "pl"
    name: Mapped[str] = mapped_column(Name)
    family: Mapped[str] = mapped_column(String(4))
    """``IPv4`` or ``IPv6``."""
    max_entries: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(String(24), default="create-complete")
    state_message: Mapped[str] = mapped_column(Long, default="")
    """Why the last change failed, in EC2's words; empty when it did not."""


class PrefixListEntry(Base):
    """A range that is in the list from version ``added`` on, up to but without version ``removed``."""

    __tablename__ = "prefix_list_entry"
    __table_args__ = (
        UniqueConstraint("prefix_list_id", "cidr", "added"),
        Index("ix_prefix_list_entry_versions", "prefix_list_id", "added", "removed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    prefix_list_id: Mapped[str] = mapped_column(ForeignKey("prefix_list.id"))
    cidr: Mapped[str] = mapped_column(String(43))
    description: Mapped[str] = mapped_column(Name, default="")
    added: Mapped[int]
    removed: Mapped[int | None]

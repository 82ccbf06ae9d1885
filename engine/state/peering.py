"""Peering connections between two VPCs, of one account or of two."""

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class Peering(Resource, Base):
    """``account`` is the requester's; both accounts see it."""

    __tablename__ = "vpc_peering_connection"
    __table_args__ = (
        Index("ix_peering_owner", "account", "region", "id"),
        Index("ix_peering_accepter", "accepter_account", "region", "id"),
    )
    prefix = "pcx"
    requester_vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    requester_cidrs: Mapped[list[str]]
    requester_dns: Mapped[bool] = mapped_column(default=False)
    accepter_account: Mapped[str] = mapped_column(String(12))
    accepter_vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    accepter_cidrs: Mapped[list[str]]
    accepter_dns: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text, default="")
    expires: Mapped[str] = mapped_column(String(24))
    ended: Mapped[str | None] = mapped_column(String(24))
    """When it was deleted, rejected, failed or ran out: it is described for a while after that."""
    link: Mapped[int | None] = mapped_column(unique=True)
    """Which pair of link-local addresses the two routers use, while it is active."""

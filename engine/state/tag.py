"""Tags of any resource."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base


class Tag(Base):
    """A tag belongs to the account that put it: a public image may carry one set for each account."""

    __tablename__ = "tag"
    __table_args__ = (Index("ix_tag_search", "account", "region", "key", "value"),)
    resource_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    account: Mapped[str] = mapped_column(String(12), primary_key=True)
    value: Mapped[str] = mapped_column(String(256))
    region: Mapped[str] = mapped_column(String(32))
    resource_type: Mapped[str] = mapped_column(String(40))

"""Key pairs: the public half only."""

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class KeyPair(Resource, Base):
    __tablename__ = "key_pair"
    prefix = "key"
    __table_args__ = (UniqueConstraint("account", "region", "name"),)
    name: Mapped[str] = mapped_column(Name)
    type: Mapped[str] = mapped_column(String(16))
    fingerprint: Mapped[str] = mapped_column(Name)
    public_key: Mapped[str] = mapped_column(Long)
    """OpenSSH form, with the key's name as comment."""

"""Public addresses: Elastic IPs, and those that an instance is lent while it runs."""

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class Address(Resource, Base):
    """``elastic`` false is lent to an interface at launch and goes when the instance stops."""

    __tablename__ = "address"
    prefix = "eipalloc"
    __table_args__ = (
        Index("ix_address_owner", "account", "region", "elastic", "id"),
        Index("ix_address_interface", "interface_id", "elastic"),
    )
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    """The address as a number: what keeps it from being given twice."""
    public_ip: Mapped[str] = mapped_column(String(45), unique=True)
    elastic: Mapped[bool] = mapped_column(default=True)
    association_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    interface_id: Mapped[str | None] = mapped_column(String(40))
    private_ip: Mapped[str | None] = mapped_column(String(45))

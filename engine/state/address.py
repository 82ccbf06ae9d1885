"""Public addresses: Elastic IPs, and those that an instance is lent while it runs; offers to give one away."""

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


class AddressTransfer(Base):
    """An offer of an Elastic IP to another account; it stays known to who made it for a while after it was accepted."""

    __tablename__ = "address_transfer"
    __table_args__ = (Index("ix_address_transfer_owner", "account", "region", "allocation_id"),)
    allocation_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(String(12), primary_key=True)
    """Who offers it. The address may go on to a third account while its first owner still sees the first offer."""
    region: Mapped[str] = mapped_column(String(32))
    public_ip: Mapped[str] = mapped_column(String(45))
    transfer_account: Mapped[str] = mapped_column(String(12))
    expires: Mapped[str] = mapped_column(String(24))
    """When the offer ends unless it is accepted."""
    accepted: Mapped[str] = mapped_column(String(24), default="")

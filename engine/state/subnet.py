"""Subnets and the private addresses given out in them."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class Subnet(Resource, Base):
    __tablename__ = "subnet"
    prefix = "subnet"
    __table_args__ = (
        Index("ix_subnet_owner", "account", "region", "id"),
        CheckConstraint("available_addresses >= 0", "available_addresses"),
    )
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)
    zone: Mapped[str] = mapped_column(String(32))
    cidr: Mapped[str] = mapped_column(String(43))
    state: Mapped[str] = mapped_column(String(16), default="available")
    default_for_az: Mapped[bool] = mapped_column(default=False)
    map_public_ip: Mapped[bool] = mapped_column(default=False)
    available_addresses: Mapped[int]
    hostname_type: Mapped[str] = mapped_column(String(16), default="ip-name")
    dns_a_record: Mapped[bool] = mapped_column(default=False)
    dns_aaaa_record: Mapped[bool] = mapped_column(default=False)


class PrivateAddress(Base):
    """An address of a subnet that is taken; the primary key is what keeps it from being given twice."""

    __tablename__ = "private_address"
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The address as a number, so that free ones are found by arithmetic."""
    address: Mapped[str] = mapped_column(String(45), index=True)
    interface_id: Mapped[str] = mapped_column(String(40), index=True)
    is_primary: Mapped[bool]

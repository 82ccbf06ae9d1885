"""Subnets and the private addresses given out in them."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


class Subnet(Resource, Base):
    __tablename__ = "subnet"
    prefix = "subnet"
    __table_args__ = (
        Index("ix_subnet_owner", "account", "region", "id"),
        CheckConstraint("available_addresses >= 0", "available_addresses"),
        UniqueConstraint("vpc_id", "mac_tag"),
    )
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)
    zone: Mapped[str] = mapped_column(String(32))
    cidr: Mapped[str] = mapped_column(String(43))
    mac_tag: Mapped[int]
    """The second and third byte of its cards' MAC addresses, by which the switch tells them from other subnets'."""
    state: Mapped[str] = mapped_column(String(16), default="available")
    default_for_az: Mapped[bool] = mapped_column(default=False)
    map_public_ip: Mapped[bool] = mapped_column(default=False)
    available_addresses: Mapped[int]
    hostname_type: Mapped[str] = mapped_column(String(16), default="ip-name")
    dns_a_record: Mapped[bool] = mapped_column(default=False)
    dns_aaaa_record: Mapped[bool] = mapped_column(default=False)
    assign_ipv6: Mapped[bool] = mapped_column(default=False)
    """Whether new interfaces get an IPv6 address."""


class SubnetCidrBlock(Base):
    """A subnet's range of IPv6: one at most."""

    __tablename__ = "subnet_cidr_block"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), unique=True)
    cidr: Mapped[str] = mapped_column(String(43))
    state: Mapped[str] = mapped_column(String(16), default="associated")


class CidrReservation(Resource, Base):
    """A part of a subnet's range that is not given out unless it is asked for."""

    __tablename__ = "subnet_cidr_reservation"
    prefix = "scr"
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), index=True)
    cidr: Mapped[str] = mapped_column(String(43))
    kind: Mapped[str] = mapped_column(String(16))
    """``prefix`` or ``explicit``."""
    description: Mapped[str] = mapped_column(Name, default="")


class PrivateAddress(Base):
    """An address of a subnet that is taken; the primary key is what keeps it from being given twice."""

    __tablename__ = "private_address"
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The address as a number, so that free ones are found by arithmetic."""
    address: Mapped[str] = mapped_column(String(45), index=True)
    interface_id: Mapped[str] = mapped_column(String(40), index=True)
    """Of an address that is part of a prefix, what ``engine.prefixes`` calls that prefix."""
    is_primary: Mapped[bool]


class Ipv6Address(Base):
    """An IPv6 address of a subnet that is taken."""

    __tablename__ = "ipv6_address"
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), primary_key=True)
    address: Mapped[str] = mapped_column(String(45), primary_key=True)
    """In the short form of RFC 5952."""
    interface_id: Mapped[str] = mapped_column(String(40), index=True)
    is_primary: Mapped[bool] = mapped_column(default=False)
    position: Mapped[int] = mapped_column(default=0)


class InterfacePrefix(Base):
    """A range of addresses that an interface has as a whole: a /28 of IPv4 or a /80 of IPv6."""

    __tablename__ = "interface_prefix"
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), primary_key=True)
    cidr: Mapped[str] = mapped_column(String(43), primary_key=True)
    interface_id: Mapped[str] = mapped_column(String(40), index=True)

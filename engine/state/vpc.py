"""VPCs, their address ranges, and the DHCP options they name."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class Vpc(Resource, Base):
    __tablename__ = "vpc"
    prefix = "vpc"
    cidr: Mapped[str] = mapped_column(String(43))
    state: Mapped[str] = mapped_column(String(16), default="available")
    is_default: Mapped[bool] = mapped_column(default=False)
    tenancy: Mapped[str] = mapped_column(String(16), default="default")
    dhcp_options_id: Mapped[str] = mapped_column(String(40), index=True)
    dns_support: Mapped[bool] = mapped_column(default=True)
    dns_hostnames: Mapped[bool] = mapped_column(default=False)
    usage_metrics: Mapped[bool] = mapped_column(default=False)
    vlan: Mapped[int | None] = mapped_column(unique=True)
    """Its VLAN id on the physical network; None is an overlay."""
    vlan_is_mapped: Mapped[bool] = mapped_column(default=False)
    """Whether the operator chose the VLAN id, that of a network which was there before."""
    uplink_address: Mapped[str | None] = mapped_column(String(45), unique=True)
    """Its router's address on the external network, while an internet gateway is attached."""


class VpcCidrBlock(Base):
    """Ranges of IPv4 are a VPC's own affair; those of IPv6 are one's alone."""

    __tablename__ = "vpc_cidr_block"
    __table_args__ = (
        Index(
            "ix_vpc_cidr_block_ipv6",
            "cidr",
            unique=True,
            sqlite_where=text("instr(cidr, ':') > 0"),
            postgresql_where=text("strpos(cidr, ':') > 0"),
        ),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)
    cidr: Mapped[str] = mapped_column(String(43))
    """Of either IP version."""
    state: Mapped[str] = mapped_column(String(16), default="associated")


class DhcpOptions(Resource, Base):
    __tablename__ = "dhcp_options"
    prefix = "dopt"
    is_default: Mapped[bool] = mapped_column(default=False)
    """Whether it came with the region."""
    options: Mapped[dict[str, Any]]
    """Name: values, as they were given. Example: {"domain-name-servers": ["AmazonProvidedDNS"]}"""

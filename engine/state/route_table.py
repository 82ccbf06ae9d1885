"""Route tables, routes, and which subnet uses which."""

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class RouteTable(Resource, Base):
    __tablename__ = "route_table"
    prefix = "rtb"
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)


class Route(Base):
    __tablename__ = "route"
    route_table_id: Mapped[str] = mapped_column(ForeignKey("route_table.id"), primary_key=True)
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(40))
    """``local``, or the id of the gateway, interface or peering connection; an instance's is that of its card."""
    interface_id: Mapped[str | None] = mapped_column(String(40), index=True)
    """The target that is an interface, or the interface of the NAT gateway that is one."""
    origin: Mapped[str] = mapped_column(String(32))


class RouteTableAssociation(Base):
    """``subnet_id`` and ``gateway_id`` empty is the VPC's main association."""

    __tablename__ = "route_table_association"
    __table_args__ = (UniqueConstraint("vpc_id", "subnet_id", "gateway_id"),)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    route_table_id: Mapped[str] = mapped_column(ForeignKey("route_table.id"), index=True)
    vpc_id: Mapped[str] = mapped_column(String(40))
    subnet_id: Mapped[str] = mapped_column(String(40), default="")
    gateway_id: Mapped[str] = mapped_column(String(40), default="")
    """The gateway whose arriving packets use the table, instead of a subnet."""

"""Services that the operator offers inside of VPCs, and the endpoints by which VPCs use them."""

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class EndpointService(Resource, Base):
    """What the operator registered. ``targets`` are, for a Gateway, CIDRs; for an Interface, ``host:port`` of servers.

    Everybody in the region sees it.
    """

    __tablename__ = "endpoint_service"
    __table_args__ = (UniqueConstraint("region", "name"),)
    prefix = "vpce-svc"
    name: Mapped[str] = mapped_column(Name)
    """``com.amazonaws.us-east-1.s3``."""
    kind: Mapped[str] = mapped_column(String(16))
    """``Gateway`` or ``Interface``."""
    targets: Mapped[list[str]]
    ports: Mapped[str] = mapped_column(Name, default="")
    """Of an Interface: the ports it listens at, comma-separated: 443."""
    private_dns_name: Mapped[str] = mapped_column(Name, default="")
    prefix_list_id: Mapped[str] = mapped_column(String(40), default="")
    """Of a Gateway: the list by which routes name it."""


class Endpoint(Resource, Base):
    """A Gateway has routes, an Interface has interfaces (``NetworkInterface.managed_by``)."""

    __tablename__ = "vpc_endpoint"
    prefix = "vpce"
    vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    service_id: Mapped[str] = mapped_column(ForeignKey("endpoint_service.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(24), default="pending")
    policy: Mapped[str] = mapped_column(Long, default="")
    private_dns: Mapped[bool] = mapped_column(default=False)
    dns_record_ip_type: Mapped[str] = mapped_column(String(24), default="ipv4")
    ended: Mapped[str] = mapped_column(String(24), default="")


class EndpointGroup(Base):
    """Which security groups an Interface's interfaces are in, and will be in while it has none yet."""

    __tablename__ = "vpc_endpoint_group"
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("vpc_endpoint.id"), primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(default=0)

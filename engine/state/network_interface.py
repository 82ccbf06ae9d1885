"""Network interfaces: where an instance meets a subnet."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


class NetworkInterface(Resource, Base):
    __tablename__ = "network_interface"
    prefix = "eni"
    __table_args__ = (
        Index("ix_network_interface_owner", "account", "region", "id"),
        Index("ix_network_interface_instance", "instance_id", "device_index"),
    )
    vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), index=True)
    zone: Mapped[str] = mapped_column(String(32))
    mac: Mapped[str] = mapped_column(String(17), unique=True)
    private_ip: Mapped[str] = mapped_column(String(45), index=True)
    description: Mapped[str] = mapped_column(Name, default="")
    status: Mapped[str] = mapped_column(String(16), default="available")
    source_dest_check: Mapped[bool] = mapped_column(default=True)

    kind: Mapped[str] = mapped_column(String(24), default="interface")
    """What EC2 calls its type: ``interface``, ``nat_gateway`` or ``vpc_endpoint``."""
    managed_by: Mapped[str] = mapped_column(String(40), default="", index=True)
    """The NAT gateway or the endpoint that it is a part of; empty for a user's own."""

    auto_public: Mapped[bool] = mapped_column(default=False)
    """Whether it is lent a public address whenever its instance starts."""

    attachment_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    instance_id: Mapped[str | None] = mapped_column(String(40))
    device_index: Mapped[int | None]
    attachment_status: Mapped[str | None] = mapped_column(String(16))
    """``attaching``, ``attached``, ``detaching``; ``detached`` for a while, when it has no instance any more."""
    attach_time: Mapped[str | None] = mapped_column(String(24))
    delete_on_termination: Mapped[bool] = mapped_column(default=False)
    detached: Mapped[str] = mapped_column(String(24), default="")
    """When it was detached: the attachment is described for a while after that."""
    detached_from: Mapped[str | None] = mapped_column(String(40))
    """The instance that it was detached from, for as long as that is described."""


class InterfaceGroup(Base):
    """Which security groups an interface is in; ``position`` keeps the order in which they were named."""

    __tablename__ = "interface_group"
    __table_args__ = (Index("ix_interface_group_order", "interface_id", "position", "group_id"),)
    interface_id: Mapped[str] = mapped_column(ForeignKey("network_interface.id"), primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(default=0)


class InterfacePermission(Resource, Base):
    """Another account that may attach an interface, or associate an address with it."""

    __tablename__ = "network_interface_permission"
    prefix = "eni-perm"
    interface_id: Mapped[str] = mapped_column(ForeignKey("network_interface.id"), index=True)
    grantee: Mapped[str] = mapped_column(String(12))
    permission: Mapped[str] = mapped_column(String(24))

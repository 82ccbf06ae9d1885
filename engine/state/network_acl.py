"""Network ACLs: stateless, ordered rules at a subnet's edge."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class NetworkAcl(Resource, Base):
    __tablename__ = "network_acl"
    prefix = "acl"
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)
    is_default: Mapped[bool] = mapped_column(default=False)


class NetworkAclEntry(Base):
    __tablename__ = "network_acl_entry"
    acl_id: Mapped[str] = mapped_column(ForeignKey("network_acl.id"), primary_key=True)
    egress: Mapped[bool] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    protocol: Mapped[str] = mapped_column(String(8))
    """``-1`` or a protocol's number."""
    action: Mapped[str] = mapped_column(String(8))
    cidr: Mapped[str] = mapped_column(String(43))
    """Of either IP version."""
    from_port: Mapped[int | None]
    to_port: Mapped[int | None]
    icmp_type: Mapped[int | None]
    icmp_code: Mapped[int | None]


class NetworkAclAssociation(Base):
    __tablename__ = "network_acl_association"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    acl_id: Mapped[str] = mapped_column(ForeignKey("network_acl.id"), index=True)
    subnet_id: Mapped[str] = mapped_column(String(40), unique=True)

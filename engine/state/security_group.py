"""Security groups and their rules."""

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, Resource


class SecurityGroup(Resource, Base):
    __tablename__ = "security_group"
    prefix = "sg"
    __table_args__ = (
        UniqueConstraint("vpc_id", "name"),
        Index("ix_security_group_owner", "account", "region", "id"),
    )
    vpc_id: Mapped[str] = mapped_column(ForeignKey("vpc.id"), index=True)
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Name)


class SecurityGroupRule(Resource, Base):
    """One peer, one protocol, one range of ports. ``identity`` is what makes two rules of a group the same."""

    __tablename__ = "security_group_rule"
    prefix = "sgr"
    __table_args__ = (
        UniqueConstraint("group_id", "identity"),
        Index("ix_security_group_rule_owner", "account", "region", "id"),
    )
    group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id"), index=True)
    identity: Mapped[str] = mapped_column(String(160))
    egress: Mapped[bool]
    protocol: Mapped[str] = mapped_column(String(8))
    """``-1``, ``tcp``, ``udp``, ``icmp``, ``icmpv6`` or a protocol's number."""
    from_port: Mapped[int] = mapped_column(default=-1)
    to_port: Mapped[int] = mapped_column(default=-1)
    cidr_ipv4: Mapped[str] = mapped_column(String(43), default="")
    cidr_ipv6: Mapped[str] = mapped_column(String(43), default="")
    prefix_list_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    peer_group_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    peer_account: Mapped[str] = mapped_column(String(12), default="")
    peer_vpc_id: Mapped[str] = mapped_column(String(40), default="")
    """The VPC of a peer group that is in another one than the rule's; otherwise empty."""
    peering_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    """The peering connection by which the rule names a group of that VPC: while it is not active, the rule is stale."""
    description: Mapped[str] = mapped_column(Name, default="")

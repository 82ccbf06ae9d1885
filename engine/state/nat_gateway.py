"""NAT gateways: a way out that nobody can come in by."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Resource


class NatGateway(Resource, Base):
    """Its addresses are held by its interface, of type ``nat_gateway``, until it ends."""

    __tablename__ = "nat_gateway"
    prefix = "nat"
    vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    subnet_id: Mapped[str] = mapped_column(String(40), index=True)
    connectivity: Mapped[str] = mapped_column(String(8))
    """``public`` or ``private``."""
    state: Mapped[str] = mapped_column(String(16), default="pending")
    interface_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    """None where there could not be one: such a gateway fails."""
    failure_code: Mapped[str] = mapped_column(String(64), default="")
    """Why it fails, known before it has failed."""
    failure: Mapped[str] = mapped_column(Long, default="")
    drain_seconds: Mapped[int] = mapped_column(default=0)
    """How long the addresses that are being taken away go on serving connections that are there."""
    ended: Mapped[str] = mapped_column(String(24), default="")
    """When it was deleted or failed; it is described for an hour after that."""


class NatGatewayAddress(Base):
    """An address of a NAT gateway as it is described, also after the gateway gave it back."""

    __tablename__ = "nat_gateway_address"
    nat_gateway_id: Mapped[str] = mapped_column(ForeignKey("nat_gateway.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The primary address is at 0."""
    private_ip: Mapped[str | None] = mapped_column(String(45))
    allocation_id: Mapped[str | None] = mapped_column(String(40))
    public_ip: Mapped[str | None] = mapped_column(String(45))
    association_id: Mapped[str | None] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(16))

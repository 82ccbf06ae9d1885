"""NAT gateways: a way out that nobody can come in by."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Resource


class NatGateway(Resource, Base):
    """Its addresses are those of its interface, of type ``nat_gateway``, and the Elastic IPs that lead there."""

    __tablename__ = "nat_gateway"
    prefix = "nat"
    vpc_id: Mapped[str] = mapped_column(String(40), index=True)
    subnet_id: Mapped[str] = mapped_column(String(40), index=True)
    connectivity: Mapped[str] = mapped_column(String(8))
    """``public`` or ``private``."""
    state: Mapped[str] = mapped_column(String(16), default="pending")
    interface_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    last_addresses: Mapped[str] = mapped_column(Long, default="[]")
    """What its addresses were when it ended, as JSON: it is described for a while after that."""
    failure_code: Mapped[str] = mapped_column(String(64), default="")
    failure: Mapped[str] = mapped_column(Long, default="")
    ended: Mapped[str] = mapped_column(String(24), default="")

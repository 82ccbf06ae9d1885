"""Egress-only internet gateways: a VPC's way out by IPv6 that nobody can come in by."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class EgressGateway(Resource, Base):
    __tablename__ = "egress_only_internet_gateway"
    prefix = "eigw"
    vpc_id: Mapped[str] = mapped_column(String(40), index=True)

"""Internet gateways: a VPC's way out."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Resource


class InternetGateway(Resource, Base):
    __tablename__ = "internet_gateway"
    prefix = "igw"
    vpc_id: Mapped[str | None] = mapped_column(String(40), unique=True)

"""Questions whether packets get from one place to another, and what was found."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class InsightsPath(Resource, Base):
    __tablename__ = "network_insights_path"
    prefix = "nip"
    source: Mapped[str] = mapped_column(String(40))
    destination: Mapped[str] = mapped_column(String(40), default="")
    source_ip: Mapped[str] = mapped_column(String(45), default="")
    destination_ip: Mapped[str] = mapped_column(String(45), default="")
    protocol: Mapped[str] = mapped_column(String(8))
    destination_port: Mapped[int | None]

    leaving_source: Mapped[str] = mapped_column(String(15), default="")
    """FilterAtSource: the packet's addresses and ports where it sets out. Ports are ``from-to``."""
    leaving_source_ports: Mapped[str] = mapped_column(String(11), default="")
    leaving_destination: Mapped[str] = mapped_column(String(15), default="")
    leaving_destination_ports: Mapped[str] = mapped_column(String(11), default="")

    arriving_source: Mapped[str] = mapped_column(String(15), default="")
    """FilterAtDestination: the same where it arrives."""
    arriving_source_ports: Mapped[str] = mapped_column(String(11), default="")
    arriving_destination: Mapped[str] = mapped_column(String(15), default="")
    arriving_destination_ports: Mapped[str] = mapped_column(String(11), default="")


class InsightsAnalysis(Resource, Base):
    __tablename__ = "network_insights_analysis"
    prefix = "nia"
    path_id: Mapped[str] = mapped_column(ForeignKey("network_insights_path.id"), index=True)
    status: Mapped[str] = mapped_column(String(16), default="running")
    message: Mapped[str] = mapped_column(Name, default="")
    found: Mapped[bool | None]
    report: Mapped[str] = mapped_column(Long, default="{}")
    """FilterInArns and FilterOutArns, and what was found: path components and Explanations, as JSON."""

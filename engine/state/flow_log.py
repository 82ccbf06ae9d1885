"""Flow logs: whose packets are written down, and where."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, Name, Resource


class FlowLog(Resource, Base):
    __tablename__ = "vpc_flow_log"
    prefix = "fl"
    resource_id: Mapped[str] = mapped_column(String(40), index=True)
    """A VPC, a subnet or an interface."""
    traffic_type: Mapped[str] = mapped_column(String(8))
    """``ACCEPT``, ``REJECT`` or ``ALL``."""
    destination_type: Mapped[str] = mapped_column(String(24))
    destination: Mapped[str] = mapped_column(Name, default="")
    """ARN of a bucket with or without a prefix, or of a log group."""
    log_group: Mapped[str] = mapped_column(Name, default="")
    role_arn: Mapped[str] = mapped_column(Name, default="")
    line_format: Mapped[str] = mapped_column(Long)
    interval: Mapped[int] = mapped_column(default=600)
    """Seconds over which packets are summed up: 60 or 600."""
    file_format: Mapped[str] = mapped_column(String(16), default="plain-text")
    hive_partitions: Mapped[bool] = mapped_column(default=False)
    hourly_partitions: Mapped[bool] = mapped_column(default=False)
    delivered: Mapped[str] = mapped_column(String(24), default="")
    """When lines were delivered last."""
    error: Mapped[str] = mapped_column(Name, default="")
    """Why the last delivery failed, in EC2's words; empty when it did not."""

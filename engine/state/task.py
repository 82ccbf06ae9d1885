"""What is under way: one task a resource; and what was already answered: one reply a client token."""

from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Long, now


class Task(Base):
    """At most one row per resource: the workflow now changing it. Times are seconds since 1970."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_due", "run_at"),)
    resource_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    region: Mapped[str] = mapped_column(String(32))
    workflow: Mapped[str] = mapped_column(String(64))
    step: Mapped[str] = mapped_column(String(64))
    generation: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    run_at: Mapped[float] = mapped_column(Float(53))
    since: Mapped[float] = mapped_column(Float(53))
    """When the step first became due: how long it has been waiting."""
    leased_until: Mapped[float | None] = mapped_column(Float(53))
    error: Mapped[str | None] = mapped_column(Long)


class Replay(Base):
    """The answer already given for a client token."""

    __tablename__ = "replay"
    account: Mapped[str] = mapped_column(String(12), primary_key=True)
    region: Mapped[str] = mapped_column(String(32), primary_key=True)
    action: Mapped[str] = mapped_column(String(80), primary_key=True)
    token: Mapped[str] = mapped_column(String(128), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the parameters."""
    result: Mapped[str] = mapped_column(Long)
    """JSON."""
    created: Mapped[str] = mapped_column(String(24), default=now)

"""What every table shares: ids, ownership, timestamps in EC2's own format."""

import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

RESOURCES: dict[str, type["Resource"]] = {}


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[str]: JSON}
    # A migration can change only what has a name: PostgreSQL's own names for constraints, on SQLite too.
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "ix_%(column_0_label)s",
        }
    )


def now() -> str:
    """Return this moment as EC2 writes it. Timestamps are kept as text: they sort, filter and render as they are."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Resource:
    """A row with an EC2 id, an account and a region. ``prefix`` is what its ids begin with."""

    prefix: ClassVar[str]
    __tablename__: str

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(String(12))
    region: Mapped[str] = mapped_column(String(32))
    created: Mapped[str] = mapped_column(String(24), default=now)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "prefix" in cls.__dict__:
            RESOURCES[cls.prefix] = cls

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        return (Index(f"ix_{cls.__tablename__}_owner", "account", "region", "id"),)

    @classmethod
    def new_id(cls) -> str:
        return f"{cls.prefix}-{secrets.token_hex(9)[:17]}"


Name = String(255)
Long = Text

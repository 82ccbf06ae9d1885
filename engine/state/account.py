"""Accounts, their access keys, and what they set for themselves."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.state.base import Base, Name, now


class Account(Base):
    """A tenant: twelve digits, as in AWS."""

    __tablename__ = "account"
    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    created: Mapped[str] = mapped_column(String(24), default=now)


class AccessKey(Base):
    """A key of an account's root. ``secret`` is encrypted under the deployment's key."""

    __tablename__ = "access_key"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.id"), index=True)
    secret: Mapped[str] = mapped_column(String(512))
    active: Mapped[bool] = mapped_column(default=True)
    created: Mapped[str] = mapped_column(String(24), default=now)


class AccountSettings(Base):
    """What an account set for itself in a region; without a row everything is as it is at first."""

    __tablename__ = "account_settings"
    account: Mapped[str] = mapped_column(ForeignKey("account.id"), primary_key=True)
    region: Mapped[str] = mapped_column(String(32), primary_key=True)
    snapshot_sharing: Mapped[str] = mapped_column(String(24), default="unblocked")
    """``unblocked``, ``block-new-sharing`` or ``block-all-sharing``: whether snapshots may be public."""
    image_sharing: Mapped[str] = mapped_column(String(24), default="unblocked")
    """``unblocked`` or ``block-new-sharing``."""
    encrypts_disks: Mapped[bool] = mapped_column(default=False)
    """Whether new volumes and copies of snapshots are encrypted where nothing is said of it."""
    disk_key: Mapped[str] = mapped_column(String(128), default="")
    """The ARN of the KMS key that was chosen for them; empty: the account's own for EBS, as at first."""

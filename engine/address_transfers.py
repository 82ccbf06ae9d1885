"""Offers of Elastic IPs to other accounts: how long each is open, and how long an accepted one is remembered.

Source: "Transfer an Elastic IP address between AWS accounts" of the EC2 user guide.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_

from engine.state import AddressTransfer, timestamp

_OPEN = timedelta(days=7)
_REMEMBERED = timedelta(days=14)


def expiry() -> str:
    """Return when an offer that is made now ends."""
    return timestamp(datetime.now(UTC) + _OPEN)


def is_open() -> ColumnElement[bool]:
    """Match the offers that may be accepted now."""
    return and_(AddressTransfer.accepted == "", AddressTransfer.expires > timestamp(datetime.now(UTC)))


def is_known() -> ColumnElement[bool]:
    """Match the offers that who made them sees."""
    since = timestamp(datetime.now(UTC) - _REMEMBERED)
    return or_(is_open(), and_(AddressTransfer.accepted != "", AddressTransfer.accepted > since))

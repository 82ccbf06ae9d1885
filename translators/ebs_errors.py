"""Errors of the EBS direct APIs, and the stores' words for what went wrong in these."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from engine.snapshot_blocks import Unavailable, Unfit
from translators.errors import Ec2Error

_BUSY = "The snapshot's data cannot be reached at the moment."


def bad(reason: str, message: str) -> Ec2Error:
    """Return the error for a request that can never be answered."""
    return Ec2Error("ValidationException", message[:256], Reason=reason)


def lost(snapshot_id: str) -> Ec2Error:
    text = f"The snapshot '{snapshot_id}' does not exist."
    return Ec2Error("ResourceNotFoundException", text, 404, Reason="SNAPSHOT_NOT_FOUND")


def full(message: str) -> Ec2Error:
    """Return the error for more than an account, or a store, can take."""
    reason = "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
    return Ec2Error("ServiceQuotaExceededException", message[:256], 402, Reason=reason)


@contextmanager
def told_by_store(unfit: str) -> Iterator[None]:
    """Say of what the store will never do that it is ``unfit``, a reason, or that the store is "full"."""
    try:
        yield
    except Unfit as error:
        raise full(str(error)) if unfit == "full" else bad(unfit, str(error)) from error
    except Unavailable as error:
        raise Ec2Error("InternalServerException", _BUSY, 500) from error


@contextmanager
def instead_of_ec2s(reason: str) -> Iterator[None]:
    """Put what parts shared with EC2 refuse into the words of this service."""
    try:
        yield
    except Ec2Error as error:
        _translate(error, reason)


def _translate(error: Ec2Error, reason: str) -> NoReturn:
    if error.code.endswith("LimitExceeded"):
        raise full(str(error)) from error
    raise bad(reason, str(error)) from error

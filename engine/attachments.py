"""What ties a network interface to an instance: begun, ended, and described for a while after that."""

from typing import Any

from sqlalchemy.orm import Session

from engine.default_vpc import new_id
from engine.interfaces import take_back_public
from engine.state import NetworkInterface, now

SHOWN_AFTER_END = 30.0
"""Seconds for which the attachment of a detached interface is described, so that who polls for its end sees it."""


def new_attachment(instance_id: str, device_index: int, status: str, delete_on_termination: bool) -> dict[str, Any]:
    """Return the columns of an interface that is attached to an instance now, or is about to be."""
    return {
        "attachment_id": new_id("eni-attach"),
        "instance_id": instance_id,
        "device_index": device_index,
        "attachment_status": status,
        "attach_time": now(),
        "delete_on_termination": delete_on_termination,
        "status": "in-use",
        "detached": "",
        "detached_from": None,
    }


def end_attachment(db: Session, interface: NetworkInterface) -> None:
    """Make an interface available again. Its attachment is described on, as detached.

    An address that it was lent goes, and it is lent no other: EC2 lends them to what an instance was launched with.
    """
    interface.status, interface.attachment_status = "available", "detached"
    interface.detached, interface.detached_from, interface.instance_id = now(), interface.instance_id, None
    interface.auto_public = False
    take_back_public(db, interface.id)


def forget_attachment(interface: NetworkInterface) -> None:
    """Describe the attachment of a detached interface no longer."""
    interface.attachment_id = interface.attachment_status = interface.attach_time = None
    interface.device_index, interface.detached_from, interface.detached = None, None, ""
    interface.delete_on_termination = False

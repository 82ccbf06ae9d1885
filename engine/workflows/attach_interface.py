"""Plug an interface into an instance, which may be running, and may be started, stopped or terminated meanwhile."""

from functools import partial
from typing import Any

from sqlalchemy import bindparam, select, update

from engine.drivers.base import DriverError
from engine.machines import sync_devices
from engine.state import Instance, NetworkInterface
from engine.state.prepared import Prepared
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.sync_port import settle_port

GIVE_UP = "abandon_attachment"

_PATIENCE = 60.0
"""Seconds in which a card that was plugged into a running machine must be reachable."""
_ATTACHMENT = Prepared(
    select(NetworkInterface.attachment_status, Instance.id, Instance.state)
    .join(Instance, Instance.id == NetworkInterface.instance_id)
    .where(NetworkInterface.id == bindparam("id"))
)


def the_attachment(job: Job) -> Any:
    """Return an interface's attachment_status, and the id and the state of its instance; None where it has none."""
    return job.look(partial(_ATTACHMENT.first, id=job.resource_id))


def plug_card(job: Job) -> None:
    """Change a running machine; one on its way up or down is left to its own task, which knows of the card too."""
    found = the_attachment(job)
    if found is not None and found.state == "running":
        sync_devices(job.engine, found.id)


def wait_until_attached(job: Job) -> Wait | None:
    found = the_attachment(job)
    if found is None or found.state == "stopped":
        settle_port(job)  # the instance's own task took its ports away, perhaps before this one was made
        return None
    if found.state == "running":
        if sync_devices(job.engine, found.id) and job.drivers.network.port_is_up(job.resource_id):
            return None
        settle_port(job)
        if job.waited > _PATIENCE:
            raise DriverError("the card did not come up")
    return Wait(0.05 if job.waited < 2 else 0.5)


_ATTACHED = Prepared(
    update(NetworkInterface)
    .where(NetworkInterface.id == bindparam("id"), NetworkInterface.attachment_status == "attaching")
    .values(attachment_status="attached")
)


@in_database
def mark_attached(job: Job) -> None:
    _ATTACHED.execute(job.writing, id=job.resource_id)


STEPS: list[Step] = [settle_port, plug_card, wait_until_attached, mark_attached]

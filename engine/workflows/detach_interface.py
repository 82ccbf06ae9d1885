"""Have a guest let go of an interface's card, then take its port away; the attachment is shown for a while after."""

from engine.attachments import SHOWN_AFTER_END, end_attachment, forget_attachment
from engine.machines import sync_devices
from engine.state import NetworkInterface
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.attach_interface import the_attachment
from engine.workflows.sync_port import settle_port


def wait_until_unplugged(job: Job) -> Wait | None:
    """Ask a running guest until it has let go, which may be never, as in EC2; what is off has let go of everything.

    An instance on its way up or down has a task of its own, which may have begun with the card: that one ends first.
    """
    found = the_attachment(job)
    if found is None or found.attachment_status != "detaching" or found.state == "stopped":
        return None
    if found.state == "running" and sync_devices(job.engine, found.id):
        return None
    return Wait(0.1 if job.waited < 3 else 1.0 if job.waited < 60 else 5.0)


@in_database
def mark_detached(job: Job) -> None:
    interface = job.writing.get(NetworkInterface, job.resource_id, with_for_update=True)
    if interface is not None and interface.attachment_status == "detaching":
        end_attachment(job.writing, interface)


def wait_until_seen(job: Job) -> Wait | None:
    """Who waits for the end of an attachment looks for one that is detached: let it be found."""
    interface = job.look(lambda db: db.get(NetworkInterface, job.resource_id))
    left = SHOWN_AFTER_END - job.waited
    shown = interface is not None and interface.attachment_status == "detached"
    return Wait(left) if shown and left > 0 else None


@in_database
def forget(job: Job) -> None:
    interface = job.writing.get(NetworkInterface, job.resource_id, with_for_update=True)
    if interface is not None and interface.attachment_status == "detached":
        forget_attachment(interface)


STEPS: list[Step] = [wait_until_unplugged, settle_port, mark_detached, wait_until_seen, forget]

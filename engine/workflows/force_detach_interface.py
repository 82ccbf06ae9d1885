"""Take an interface off the network at once, whatever its guest does, and then have the guest let go of its card."""

from engine.tasks import Job, Step
from engine.workflows.detach_interface import STEPS as DETACH
from engine.workflows.sync_port import settle_port


def cut_off(job: Job) -> None:
    settle_port(job)


STEPS: list[Step] = [cut_off, *DETACH]

"""Bring an interface's port to what the database says: its groups, its public addresses, or its absence."""

from engine.plugging import plug
from engine.tasks import Job, Step

PART_OF = ("attach_interface", "detach_interface", "force_detach_interface", "abandon_attachment")


def settle_port(job: Job) -> None:
    plug(job, lambda _: [job.resource_id])


STEPS: list[Step] = [settle_port]

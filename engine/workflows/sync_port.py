"""Bring an interface's port to what the database says: its groups, its public addresses, or its absence."""

from sqlalchemy.orm import Session

from engine import desired
from engine.drivers.base import Group, Port
from engine.tasks import Job, Step

PART_OF = ("attach_interface", "detach_interface", "force_detach_interface", "abandon_attachment")


def apply(job: Job) -> None:
    if job.resource_id in job.drivers.network.list_ports():
        settle_port(job)


def settle_port(job: Job) -> None:
    """Make the port and its groups so, or take the port away where it should not be. Its network is there."""
    network = job.drivers.network

    def wanted(db: Session) -> tuple[Port | None, tuple[Group | None, ...]]:
        port = desired.port(db, job.resource_id)
        return port, tuple(desired.group(db, id) for id in port.groups) if port else ()

    def ensure(value: tuple[Port | None, tuple[Group | None, ...]]) -> None:
        port, groups = value
        for group in filter(None, groups):
            network.ensure_group(group)
        if port is None:
            network.remove_port(job.resource_id)
        else:
            network.ensure_port(port)

    job.converge(wanted, ensure)


STEPS: list[Step] = [apply]

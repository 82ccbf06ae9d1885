"""Bring an instance to stopped at once: the power is cut."""

from engine.tasks import Job, Step
from engine.workflows.boot_instance import the_instance
from engine.workflows.stop_instance import mark_stopped, unplug_ports, wait_until_stopped


def cut_power(job: Job) -> None:
    host = job.look(lambda db: the_instance(db, job).host)
    if host:
        job.drivers.computes[host].stop_machine(job.resource_id, force=True)


STEPS: list[Step] = [cut_power, wait_until_stopped, unplug_ports, mark_stopped]

"""Restart a guest; its state stays running, as in EC2, which presses the reset button after four minutes."""

from engine.tasks import Job, Step, Wait
from engine.workflows.boot_instance import the_instance

PART_OF = ("pause_instance", "replace_root_volume", "fail_root_replacement")

_PATIENCE = 240.0
"""Seconds a guest is given to shut down ("Reboot your instance", EC2 user guide)."""


def ask_to_reboot(job: Job) -> None:
    host = job.look(lambda db: the_instance(db, job).host)
    if host:
        job.drivers.computes[host].reboot_machine(job.resource_id)


def wait_until_restarted(job: Job) -> Wait | None:
    host = job.look(lambda db: the_instance(db, job).host)
    if not host or not job.drivers.computes[host].is_rebooting(job.resource_id):
        return None
    if job.waited < _PATIENCE:
        return Wait(2.0)
    job.drivers.computes[host].reboot_machine(job.resource_id, force=True)
    return None


STEPS: list[Step] = [ask_to_reboot, wait_until_restarted]

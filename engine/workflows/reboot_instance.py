"""Ask a guest to restart; its state stays running, as in EC2."""

from engine.tasks import Job, Step
from engine.workflows.boot_instance import the_instance


def ask_to_reboot(job: Job) -> None:
    host = job.look(lambda db: the_instance(db, job).host)
    if host:
        job.drivers.computes[host].reboot_machine(job.resource_id)


STEPS: list[Step] = [ask_to_reboot]

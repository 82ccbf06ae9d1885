"""Have a guest shut down, so that its disks hold all that it wrote, and start it again when an image is made of them.

The instance is running all the while, as it is in EC2 while it reboots.
"""

from engine import snapshots
from engine.state import Instance
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.boot_instance import start_machine, wait_until_up
from engine.workflows.stop_instance import ask_to_stop, wait_until_stopped

GIVE_UP = "fail_start"


@in_database
def wait_until_imaged(job: Job) -> Wait | None:
    """This and engage() lock the instance, so that nobody has its disks to himself when the next step starts it."""
    job.writing.get(Instance, job.resource_id, with_for_update=True)
    wanted = snapshots.are_wanted_of(job.writing, snapshots.volumes_of(job.writing, job.resource_id))
    return Wait(0.05 if job.waited < 5 else 0.5) if wanted else None


STEPS: list[Step] = [ask_to_stop, wait_until_stopped, wait_until_imaged, start_machine, wait_until_up]

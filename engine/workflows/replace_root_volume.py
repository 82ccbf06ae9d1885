"""Have a running instance boot from another volume: its guest is shut down, and started from the new root.

The instance is running all the while, as it is in EC2 while it reboots. Begun anew at any step it comes to the same.
"""

from engine.drivers.base import Refused
from engine.root_replacements import end, exchange, under_way
from engine.state import RootReplacement, Volume
from engine.tasks import Job, Step, Wait, in_database
from engine.workflows.boot_instance import start_machine, wait_until_disks_stay, wait_until_up
from engine.workflows.stop_instance import ask_to_stop, wait_until_stopped

GIVE_UP = "fail_root_replacement"


def wait_until_the_new_root_is_made(job: Job) -> Wait | None:
    replacement = job.look(lambda db: under_way(db, job.resource_id))
    if replacement is None:
        return None
    volume = job.look(lambda db: db.get(Volume, replacement.new_volume_id))
    if volume is None or volume.state not in ("creating", "available", "in-use"):
        raise Refused(f"there is no volume to replace the root of {job.resource_id}")
    return Wait(0.05 if job.waited < 2 else 0.5) if volume.state == "creating" else None


@in_database
def change_roots(job: Job) -> None:
    replacement = under_way(job.writing, job.resource_id, lock=True)
    if replacement is None:
        return
    if not exchange(job.writing, replacement, replacement.old_volume_id, replacement.new_volume_id):
        raise Refused(f"the volume to replace the root of {job.resource_id} is not available any more")
    replacement.state = "in-progress"


@in_database
def mark_succeeded(job: Job) -> None:
    replacement: RootReplacement | None = under_way(job.writing, job.resource_id, lock=True)
    if replacement is not None:
        end(job.writing, replacement, "succeeded")


STEPS: list[Step] = [
    wait_until_the_new_root_is_made,
    wait_until_disks_stay,
    ask_to_stop,
    wait_until_stopped,
    change_roots,
    start_machine,
    wait_until_up,
    mark_succeeded,
]

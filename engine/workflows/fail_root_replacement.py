"""A root volume that could not be replaced is an instance's root again, and the instance runs as before."""

from engine.root_replacements import end, exchange, under_way
from engine.tasks import Job, Step, in_database
from engine.workflows.boot_instance import start_machine, wait_until_up
from engine.workflows.stop_instance import ask_to_stop, wait_until_stopped

GIVE_UP = "fail_start"


@in_database
def change_roots_back(job: Job) -> None:
    replacement = under_way(job.writing, job.resource_id, lock=True)
    if replacement is None:
        return
    back = exchange(job.writing, replacement, replacement.new_volume_id, replacement.old_volume_id)
    # The old root may have been given to another instance meanwhile: then the new one stays.
    end(job.writing, replacement, "failed" if back else "succeeded")


STEPS: list[Step] = [ask_to_stop, wait_until_stopped, change_roots_back, start_machine, wait_until_up]

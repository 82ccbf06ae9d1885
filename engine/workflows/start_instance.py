"""Bring a stopped instance, or one whose host restarted, to running again; stopped once more if that fails."""

from engine.tasks import Step
from engine.workflows.boot_instance import (
    create_disks,
    mark_running,
    plug_ports,
    start_machine,
    wait_until_disks_stay,
    wait_until_up,
)

GIVE_UP = "fail_start"

STEPS: list[Step] = [wait_until_disks_stay, create_disks, plug_ports, start_machine, wait_until_up, mark_running]

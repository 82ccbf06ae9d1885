"""Take an instance away without asking its guest to shut down first."""

from engine.tasks import Step
from engine.workflows.terminate_instance import mark_terminated, remove_disks, remove_machine, remove_ports

STEPS: list[Step] = [remove_machine, remove_ports, remove_disks, mark_terminated]

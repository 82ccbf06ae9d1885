"""Take an instance away without asking its guest to shut down first."""

from engine.tasks import Step
from engine.workflows.terminate_instance import STEPS as TERMINATE
from engine.workflows.terminate_instance import remove_machine

STEPS: list[Step] = TERMINATE[TERMINATE.index(remove_machine) :]

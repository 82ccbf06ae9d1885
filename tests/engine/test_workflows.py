"""Every workflow, killed at every step, repeated at every step, failing at every call, and cancelled at every step."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from engine import tasks
from engine.drivers.base import DriverError
from engine.state import Instance
from engine.tasks import Job
from tests.cloud import REGION, Cloud
from tests.engine import nat_gateways as nats
from tests.engine.scenarios import SCENARIOS, is_running, is_stopped, is_terminated
from tests.translators.test_instances import launch

WORKFLOWS = sorted(p.stem for p in (Path(tasks.__file__).parent / "workflows").glob("[a-z]*.py"))
VERBS = (
    "ensure_disk", "ensure_network", "ensure_group", "ensure_port", "ensure_machine", "ensure_devices", "stop_machine",
    "reboot_machine", "remove_machine", "remove_port", "remove_disk", "remove_group", "remove_network", "resize_disk",
    "trace", "ensure_snapshot", "copy_snapshot", "adopt_snapshot", "remove_snapshot", "move_disks",
    "complete_draft",
)  # fmt: skip


class Killed(Exception):
    """The worker was killed here."""


NAT_GATEWAYS = [name for name in SCENARIOS if name.endswith("nat_gateway")]
INSTANCES = [name for name in SCENARIOS if name.endswith(("instance", "launch", "start"))]


def test_every_workflow_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == WORKFLOWS


def kill(cloud: Cloud, id: str, workflow: str, count: int, inside: bool) -> None:
    """Let a worker lease the task, do ``count`` of its steps and die; ``inside`` the next one, after its effect."""
    now = time.time() + 1
    while (task := tasks._lease(cloud.database, now)) is not None and task.resource_id != id:
        pass
    assert task is not None and task.workflow == workflow
    for _ in range(count):
        if not tasks._run_step(cloud.engine, task, now):
            return
    if inside:
        step = {s.__name__: s for s in tasks.steps(workflow)}[task.step]
        if not getattr(step, "in_database", False):
            step(Job(cloud.engine, id, REGION, 0))
            return
        with suppress(Killed), cloud.database.write() as db:
            step(Job(cloud.engine, id, REGION, 0, db))
            raise Killed


@pytest.mark.parametrize("inside", [False, True], ids=["between-steps", "inside-a-step"])
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_worker_killed_at_any_step_is_succeeded_by_another(cloud: Cloud, workflow: str, inside: bool) -> None:
    scenario = SCENARIOS[workflow]
    for count in range(len(tasks.steps(workflow)) + (not inside)):
        id = scenario.begin(cloud)
        kill(cloud, id, workflow, count, inside)
        cloud.settle()
        assert scenario.done(cloud, id), f"killed after {count} steps"


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_call_that_failed_after_its_effect_is_made_again(cloud: Cloud, workflow: str) -> None:
    scenario, faults = SCENARIOS[workflow], cloud.backend.faults
    call = 0
    while True:
        call += 1
        id = scenario.begin(cloud)
        crash = faults.crash_after = faults.changes + call
        cloud.settle()
        assert scenario.done(cloud, id), f"after the failure of call {call}"
        if faults.changes < crash:
            break
    faults.crash_after = None


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_call_that_failed_without_effect_is_made_again(cloud: Cloud, workflow: str) -> None:
    scenario = SCENARIOS[workflow]
    for verb in VERBS:
        id = scenario.begin(cloud)
        cloud.backend.fail_next(verb, DriverError("not now"), 1)
        cloud.settle()
        cloud.backend.faults._failing.clear()
        assert scenario.done(cloud, id), f"after {verb} failed"


@pytest.mark.parametrize("workflow", INSTANCES)
def test_an_instance_can_be_terminated_at_any_step_of_anything(cloud: Cloud, workflow: str) -> None:
    for count in range(len(tasks.steps(workflow)) + 1):
        id = SCENARIOS[workflow].begin(cloud)
        cloud.run_single_steps(count)
        cloud.ec2.terminate_instances(InstanceIds=[id])
        cloud.settle()
        assert is_terminated(cloud, id), f"cancelled after {count} steps"
        used = cloud.ec2.describe_network_interfaces()["NetworkInterfaces"], cloud.ec2.describe_volumes()["Volumes"]
        assert used == ([], [])


@pytest.mark.parametrize("workflow", NAT_GATEWAYS)
def test_a_nat_gateway_can_be_deleted_at_any_step_of_anything(cloud: Cloud, workflow: str) -> None:
    for count in range(len(tasks.steps(workflow)) + 1):
        id = SCENARIOS[workflow].begin(cloud)
        cloud.run_single_steps(count)
        nats.delete(cloud, id)
        cloud.settle()
        assert nats.is_gone(cloud, id, "deleted"), f"cancelled after {count} steps"


def test_a_guest_that_ignores_a_reboot_is_reset_after_four_minutes(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    cloud.settle()
    guest = cloud.backend.computes[cloud.look(lambda db: db.get_one(Instance, id).host)]._guests[id]
    cloud.backend.deaf.add(id)
    boots, begun = guest.boots, time.time()
    cloud.ec2.reboot_instances(InstanceIds=[id])
    for now in (begun, begun + 100, begun + 230):
        tasks.run_one(cloud.engine, now)
        assert guest.boots == boots
    cloud.settle()
    assert guest.boots == boots + 1


@pytest.mark.parametrize("workflow", ["boot_instance", "start_instance", "reboot_instance"])
def test_an_instance_can_be_stopped_at_any_step_on_its_way_up(cloud: Cloud, workflow: str) -> None:
    for count in range(len(tasks.steps(workflow)) + 1):
        id = SCENARIOS[workflow].begin(cloud)
        cloud.run_single_steps(count)
        cloud.ec2.stop_instances(InstanceIds=[id])
        cloud.settle()
        assert is_stopped(cloud, id), f"cancelled after {count} steps"
        cloud.ec2.start_instances(InstanceIds=[id])
        cloud.settle()
        assert is_running(cloud, id)

"""Every workflow, killed at every step, repeated at every step, failing at every call, and cancelled at every step."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import desired, tasks
from engine.drivers.base import DriverError, Port
from engine.state import InsightsAnalysis, Instance
from engine.tasks import Job
from tests.cloud import REGION, Cloud
from tests.translators.test_instances import launch, leftovers, state

WORKFLOWS = sorted(p.stem for p in (Path(tasks.__file__).parent / "workflows").glob("[a-z]*.py"))
VERBS = (
    "ensure_disk", "ensure_network", "ensure_group", "ensure_port", "ensure_machine", "stop_machine", "reboot_machine",
    "remove_machine", "remove_port", "remove_disk", "remove_group", "remove_network", "trace",
)  # fmt: skip


class Killed(Exception):
    """The worker was killed here."""


@dataclass(frozen=True)
class Scenario:
    """``begin`` leaves a task of the workflow due and returns its resource; ``done`` says whether all came true."""

    begin: Callable[[Cloud], str]
    done: Callable[[Cloud, str], bool]


def running(cloud: Cloud) -> str:
    (id,) = launch(cloud)
    cloud.settle()
    return id


def stopped(cloud: Cloud) -> str:
    id = running(cloud)
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    return id


def calling(action: str, before: Callable[[Cloud], str] = running, **extra: Any) -> Callable[[Cloud], str]:
    def begin(cloud: Cloud) -> str:
        id = before(cloud)
        getattr(cloud.ec2, action)(InstanceIds=[id], **extra)
        return id

    return begin


def beginning(workflow: str, before: Callable[[Cloud], str]) -> Callable[[Cloud], str]:
    """Begin what no request begins: the workflows by which others give up."""

    def begin(cloud: Cloud) -> str:
        id = before(cloud)
        with cloud.database.write() as db:
            tasks.start(db, id, workflow, REGION)
        return id

    return begin


def is_running(cloud: Cloud, id: str) -> bool:
    (card,) = cloud.look(lambda db: desired.cards(db, id))
    return state(cloud, id) == "running" and machines(cloud).get(id) == "running" and network(cloud).port_is_up(card.id)


def is_stopped(cloud: Cloud, id: str) -> bool:
    (card,) = cloud.look(lambda db: desired.cards(db, id))
    host = cloud.look(lambda db: db.get_one(Instance, id).host)
    off = machines(cloud).get(id) in (None, "stopped") and card.id not in network(cloud).list_ports()
    return state(cloud, id) == "stopped" and off and host == ""


def is_terminated(cloud: Cloud, id: str) -> bool:
    return state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]


def machines(cloud: Cloud) -> dict[str, str]:
    return {id: power for c in cloud.backend.computes.values() for id, power in c.list_machines().items()}


def network(cloud: Cloud) -> Any:
    return cloud.drivers[REGION].network


def new_vpc(cloud: Cloud) -> str:
    """A VPC that is on the network, as after a guest was in it."""
    id = str(cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"])
    cloud.settle()
    wanted = cloud.look(lambda db: desired.network(db, cloud.settings, id))
    network(cloud).ensure_network(wanted)
    return id


def change_network(cloud: Cloud) -> str:
    id = new_vpc(cloud)
    cloud.ec2.create_subnet(VpcId=id, CidrBlock="10.1.1.0/24")
    return id


def remove_network(cloud: Cloud) -> str:
    id = new_vpc(cloud)
    cloud.ec2.delete_vpc(VpcId=id)
    return id


def new_group(cloud: Cloud) -> str:
    vpc = new_vpc(cloud)
    id = str(cloud.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="g")["GroupId"])
    network(cloud).ensure_group(cloud.look(lambda db: desired.group(db, id)))
    return id


def change_group(cloud: Cloud) -> str:
    id = new_group(cloud)
    cloud.ec2.authorize_security_group_ingress(
        GroupId=id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )  # fmt: skip
    return id


def remove_group(cloud: Cloud) -> str:
    id = new_group(cloud)
    cloud.ec2.delete_security_group(GroupId=id)
    return id


def change_port(cloud: Cloud) -> str:
    instance = running(cloud)
    (card,) = cloud.look(lambda db: desired.cards(db, instance))
    cloud.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    return str(card.id)


def remove_port(cloud: Cloud) -> str:
    """An interface that was left on the network, as by a worker killed between two lines."""
    running(cloud)
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = cloud.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    id, groups = str(made["NetworkInterfaceId"]), tuple(group["GroupId"] for group in made["Groups"])
    network(cloud).ensure_port(
        Port(id, made["VpcId"], subnet, made["MacAddress"], (made["PrivateIpAddress"],), groups)
    )  # fmt: skip
    cloud.ec2.delete_network_interface(NetworkInterfaceId=id)
    return id


def start_analysis(cloud: Cloud) -> str:
    """Ask whether a new guest reaches the internet."""
    instance = running(cloud)
    gateway = cloud.ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"]
    path = cloud.ec2.create_network_insights_path(Source=instance, Destination=gateway, Protocol="tcp")
    id = path["NetworkInsightsPath"]["NetworkInsightsPathId"]
    begun = cloud.ec2.start_network_insights_analysis(NetworkInsightsPathId=id)["NetworkInsightsAnalysis"]
    return str(begun["NetworkInsightsAnalysisId"])


def analysis(cloud: Cloud, id: str) -> tuple[str, bool | None]:
    row = cloud.look(lambda db: db.get_one(InsightsAnalysis, id))
    return row.status, row.found


SCENARIOS = {
    "boot_instance": Scenario(lambda cloud: launch(cloud)[0], is_running),
    "start_instance": Scenario(calling("start_instances", stopped), is_running),
    "stop_instance": Scenario(calling("stop_instances"), is_stopped),
    "force_stop_instance": Scenario(calling("stop_instances", Force=True), is_stopped),
    "reboot_instance": Scenario(calling("reboot_instances"), is_running),
    "terminate_instance": Scenario(calling("terminate_instances"), is_terminated),
    "force_terminate_instance": Scenario(calling("terminate_instances", Force=True), is_terminated),
    "abandon_launch": Scenario(beginning("abandon_launch", lambda cloud: launch(cloud)[0]), is_terminated),
    "fail_start": Scenario(beginning("fail_start", calling("start_instances", stopped)), is_stopped),
    "sync_network": Scenario(
        change_network, lambda cloud, id: [s.cidr for s in network(cloud)._networks[id].subnets] == ["10.1.1.0/24"]
    ),
    "sync_group": Scenario(
        change_group, lambda cloud, id: 22 in [rule.from_port for rule in network(cloud)._groups[id].rules]
    ),
    "sync_port": Scenario(change_port, lambda cloud, id: network(cloud)._ports[id].forwarding is True),
    "analyze_path": Scenario(start_analysis, lambda cloud, id: analysis(cloud, id) == ("succeeded", True)),
    "fail_analysis": Scenario(
        beginning("fail_analysis", start_analysis), lambda cloud, id: analysis(cloud, id) == ("failed", None)
    ),
    "remove_network": Scenario(remove_network, lambda cloud, id: id not in network(cloud).list_networks()),
    "remove_group": Scenario(remove_group, lambda cloud, id: id not in network(cloud).list_groups()),
    "remove_port": Scenario(remove_port, lambda cloud, id: id not in network(cloud).list_ports()),
}
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

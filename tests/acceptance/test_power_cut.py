"""Processes and hosts that end at any moment: nothing is lost and nothing is left."""

import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import demo_image, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

LAUNCHES, AT_ONCE = 50, 5


def described(ec2: Any, ids: list[str]) -> list[dict[str, Any]]:
    return [i for r in ec2.describe_instances(InstanceIds=ids)["Reservations"] for i in r["Instances"]]


def test_fifty_launches_and_terminations_survive_a_worker_that_is_killed_again_and_again(
    deployment: Deployment,
) -> None:
    ec2, image = deployment.ec2, demo_image(deployment.ec2)
    chance = random.Random(7)
    seen: list[dict[str, Any]] = []
    for _ in range(LAUNCHES // AT_ONCE):
        # The ends of one round go on in the next, and the worker dies amid both.
        eventually(lambda seen=seen: living(ec2, seen) <= AT_ONCE, "room for more")
        eventually(lambda: deployment.pid("worker"), "worker that runs again")
        answer = ec2.run_instances(ImageId=image, InstanceType="g1.tiny", MinCount=AT_ONCE, MaxCount=AT_ONCE)
        ids = [i["InstanceId"] for i in answer["Instances"]]
        seen = [*seen, *answer["Instances"]]
        time.sleep(chance.uniform(0, 4))
        ec2.terminate_instances(InstanceIds=ids[:2])
        time.sleep(chance.uniform(0, 1))
        deployment.kill("worker")
        wait_for(ec2, ids[2:], "running")
        ec2.terminate_instances(InstanceIds=ids)
    assert len(seen) == LAUNCHES
    for number in range(0, LAUNCHES, AT_ONCE):
        wait_for(ec2, [i["InstanceId"] for i in seen[number : number + AT_ONCE]], "terminated")
    gone(deployment, seen)


def living(ec2: Any, launched: list[dict[str, Any]]) -> int:
    """Return how many are not terminated yet, and take up room on this host."""
    ids = [i["InstanceId"] for i in launched]
    return sum(i["State"]["Name"] != "terminated" for i in described(ec2, ids)) if ids else 0


def gone(deployment: Deployment, instances: list[dict[str, Any]]) -> None:
    deadline = time.monotonic() + 90
    while left := deployment.left_of(instances):
        assert time.monotonic() < deadline, f"this host still has {left}"
        time.sleep(1)


def wait_for(ec2: Any, ids: list[str], *states: str) -> None:
    def reached() -> bool:
        return all(i["State"]["Name"] in states for i in described(ec2, ids))

    eventually(reached, f"{' or '.join(states)}: {ids}", seconds=300)


def test_what_ran_runs_again_with_its_disk_after_everything_was_down(deployment: Deployment, tmp_path: Path) -> None:
    ec2 = deployment.create_account("outage")
    key = make_key(ec2, "outage", tmp_path)
    let_in(ec2, 22)
    guest = launch(ec2, key)
    guest.wait_until("running")
    guest.ssh("echo kept > /root/file && sync")
    deployment.down()
    domains = subprocess.run(["virsh", "list", "--name"], capture_output=True, text=True, check=True).stdout
    assert guest.id not in domains
    deployment.up()
    assert guest.ssh("cat /root/file") == "kept"
    assert guest.state == "running"
    terminate(guest)


def test_a_guest_whose_power_failed_is_stopped_and_can_be_started(deployment: Deployment, tmp_path: Path) -> None:
    ec2 = deployment.create_account("cut")
    guest = launch(ec2, make_key(ec2, "cut", tmp_path))
    guest.wait_until("running")
    subprocess.run(["virsh", "destroy", guest.id], check=True, capture_output=True)
    guest.wait_until("stopped")
    ec2.start_instances(InstanceIds=[guest.id])
    guest.wait_until("running")
    terminate(guest)


def test_acknowledged_launches_survive_an_api_that_is_killed(deployment: Deployment) -> None:
    ec2, image = deployment.ec2, demo_image(deployment.ec2)
    answer = ec2.run_instances(ImageId=image, InstanceType="g1.tiny", MinCount=2, MaxCount=2)
    killed = deployment.kill("api")
    ids = [i["InstanceId"] for i in answer["Instances"]]
    eventually(lambda: deployment.pid("api") not in (0, killed), "API that runs again")
    wait_for(ec2, ids, "running")
    ec2.terminate_instances(InstanceIds=ids)
    wait_for(ec2, ids, "terminated")

"""Daemons of the network killed in the middle of a change: the change comes true, and others notice nothing."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.host.daemons import OPEN_VSWITCH, OVN, Daemon, process_of
from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, answers, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

BY_NAME = {str(daemon): daemon for daemon in (*OPEN_VSWITCH, *OVN)}
VICTIMS = ["ovn-northd", "ovn-controller", "ovs-vswitchd", "ovnnb_db", "worker"]


@pytest.fixture(scope="module")
def ec2(deployment: Deployment) -> Any:
    return deployment.create_account("control")


@pytest.fixture(scope="module")
def guests(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guest, Guest]]:
    """One that is changed, and one that nobody touches; each in a group of its own."""
    key = make_key(ec2, "control", Path(tmp_path_factory.mktemp("key")))
    let_in(ec2, 22)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="changed", Description="changed", VpcId=vpc)["GroupId"]
    let_in(ec2, 22, group)
    changed, other = launch(ec2, key, SecurityGroupIds=[group]), launch(ec2, key)
    for guest in (changed, other):
        guest.wait_until("running")
        guest.ssh("for n in 0 1 2 3 4; do nc -lk -p 808$n > /dev/null 2>&1 < /dev/null & done")
    yield changed, other
    terminate(changed, other)


class Conversation:
    """A connection to a guest's SSH server on which something is said again and again."""

    def __init__(self, guest: Guest) -> None:
        words = ["ssh", "-F", "none", "-i", str(guest.key), "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                 "-o", "UserKnownHostsFile=/dev/null", f"root@{guest.public_ip}", "cat"]  # fmt: skip
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.heard = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.heard = line.strip()

    def goes_on(self) -> bool:
        """Say something, and whether it is heard again on the same connection."""
        word = str(time.monotonic())
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return bool(eventually(lambda: self.heard == word or self._process.poll() is not None, f"echo of {word}")) and (
            self._process.poll() is None
        )

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def kill(daemon: Daemon) -> None:
    pid = process_of(daemon)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", VICTIMS)
def test_a_change_comes_true_though_a_daemon_is_killed_in_its_middle(
    deployment: Deployment, ec2: Any, guests: tuple[Guest, Guest], name: str
) -> None:
    changed, other = guests
    (group,) = [g["GroupId"] for g in changed.describe()["SecurityGroups"]]
    conversation, address = Conversation(other), changed.public_ip
    port = 8080 + VICTIMS.index(name)
    rule = {"GroupId": group, "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "0.0.0.0/0"}
    try:
        assert conversation.goes_on() and not answers(address, port)
        ec2.authorize_security_group_ingress(**rule)
        _end(deployment, name)
        eventually(lambda: answers(address, port), f"open port after {name} was killed")
        ec2.revoke_security_group_ingress(**rule)
        _end(deployment, name)
        eventually(lambda: not answers(address, port), f"closed port after {name} was killed")
        assert conversation.goes_on(), "a connection of another guest"
    finally:
        conversation.end()


def _end(deployment: Deployment, name: str) -> None:
    if name == "worker":
        deployment.kill("worker")
        return
    before = process_of(BY_NAME[name])
    kill(BY_NAME[name])
    eventually(lambda: process_of(BY_NAME[name]) not in (None, before), f"{name} again", every=0.1)


def test_what_is_lost_in_the_networks_database_is_brought_back(
    deployment: Deployment, ec2: Any, guests: tuple[Guest, Guest]
) -> None:
    """The northbound database forgets the VPC: switch, routers, ports and groups."""
    changed, other = guests
    vpc = other.describe()["VpcId"]
    assert answers(other.public_ip, 22)
    said("ovn-nbctl", "--timeout=20", "ls-del", vpc, "--", "lr-del", vpc, "--", "lr-del", f"border-{vpc}")
    eventually(lambda: vpc in said("ovn-nbctl", "--timeout=20", "ls-list"), "switch again")
    eventually(lambda: answers(other.public_ip, 22) and answers(changed.public_ip, 22), "network that is back")
    for guest in (changed, other):
        guest.ssh("true")


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

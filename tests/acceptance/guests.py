"""What a test does with a real guest: launch it, wait for it, and work in it over SSH."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.deployment import PATIENCE, eventually

_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes",
            "ConnectTimeout=20", "IdentitiesOnly=yes")  # fmt: skip


@dataclass(frozen=True)
class Guest:
    """An instance, its account's client and the file of its private key."""

    ec2: Any
    id: str
    key: Path

    def describe(self) -> dict[str, Any]:
        (reservation,) = self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"]
        return dict(reservation["Instances"][0])

    @property
    def state(self) -> str:
        return str(self.describe()["State"]["Name"])

    @property
    def public_ip(self) -> str:
        return str(self.describe()["PublicIpAddress"])

    def wait_until(self, *states: str) -> dict[str, Any]:
        return dict(eventually(lambda: self._in(states), f"{self.id} in {' or '.join(states)}"))

    def ssh(self, command: str, user: str = "root", address: str = "") -> str:
        """Run a command in the guest and return what it printed, once its SSH server answers.

        ``address`` is that of another interface than the primary one.
        """
        address = address or self.public_ip
        eventually(lambda: greets(address), f"SSH banner of {self.id} at {address}")
        done = self._ssh(f"{user}@{address}", command)
        assert done.returncode == 0, f"{command}: exit status {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def told(self, command: str) -> str:
        """Run a command that may end the connection, or whose failure is an answer; return what it printed."""
        return self._ssh(f"root@{self.public_ip}", command).stdout.strip()

    @contextmanager
    def working(self, command: str, output: Path) -> Iterator[None]:
        """Have a command run in the guest meanwhile; what it prints is in a file of this host as soon as it is said."""
        with output.open("wb") as file:
            words = [*self._words(), f"root@{self.public_ip}", command]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def told_through(self, jump: "Guest", command: str) -> str:
        """Run a command in a guest that is reached by its private address, from ``jump``; return what it printed."""
        proxy = f"ProxyCommand={' '.join(self._words())} -W %h:%p root@{jump.public_ip}"
        return self._ssh(f"root@{self.describe()['PrivateIpAddress']}", command, "-o", proxy).stdout.strip()

    def _words(self) -> list[str]:
        return ["ssh", "-F", "none", "-i", str(self.key), *(word for one in _OPTIONS for word in ("-o", one))]

    def _ssh(self, destination: str, command: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._words(), *options, destination, command], capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip

    def _in(self, states: tuple[str, ...]) -> dict[str, Any] | None:
        found = self.describe()
        return found if found["State"]["Name"] in states else None


def demo_image(ec2: Any) -> str:
    """Return the id of the image that ``groundfog up`` made."""
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["groundfog-demo"]}])["Images"]
    return str(image["ImageId"])


def make_key(ec2: Any, name: str, directory: Path) -> Path:
    """Have the account make a key pair; return the file of the private key."""
    file = directory / f"{name}.pem"
    file.touch(mode=0o600)
    file.write_text(ec2.create_key_pair(KeyName=name, KeyType="ed25519")["KeyMaterial"])
    return file


def default_group(ec2: Any) -> str:
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    return str(group["GroupId"])


def let_in(ec2: Any, port: int, group: str = "") -> None:
    """Let everybody reach a TCP port of a group's members; the default group's where none is named."""
    ec2.authorize_security_group_ingress(
        GroupId=group or default_group(ec2), IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
    )


def launch(ec2: Any, key: Path, **options: Any) -> Guest:
    """Run one instance of the demo image."""
    asked = {"InstanceType": "g1.tiny", "ImageId": demo_image(ec2), "KeyName": key.stem, **options}
    (instance,) = ec2.run_instances(MinCount=1, MaxCount=1, **asked)["Instances"]
    return Guest(ec2, instance["InstanceId"], key)


def terminate(*guests: Guest) -> None:
    """Terminate instances of one account, and wait until they are gone."""
    if guests:
        guests[0].ec2.terminate_instances(InstanceIds=[guest.id for guest in guests])
    for guest in guests:
        guest.wait_until("terminated")


def answers(address: str, port: int, seconds: float = 1.0) -> bool:
    """Say whether a TCP connection from this host succeeds."""
    with suppress(OSError), socket.create_connection((address, port), timeout=seconds):
        return True
    return False


def greets(address: str) -> bool:
    """Say whether an SSH server introduces itself."""
    with suppress(OSError), socket.create_connection((address, 22), timeout=5) as connection:
        return connection.recv(4) == b"SSH-"
    return False

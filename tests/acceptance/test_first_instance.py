"""The first instance as its user meets it: the aws CLI, SSH, metadata, power, and nothing left at the end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import REPOSITORY, Deployment, eventually
from tests.acceptance.guests import Guest, demo_image, launch, make_key, terminate

pytestmark = pytest.mark.acceptance

USER_DATA = "#!/bin/sh\necho written by user data > /var/tmp/marker\n"
DISPLAY_NAME = "first instance"


@dataclass(frozen=True)
class Cli:
    """The aws command line, in a shell that has sourced the deployment's environment."""

    environment: dict[str, str]

    def __call__(self, *words: str) -> str:
        command = [sys.executable, str(Path(sys.executable).with_name("aws")), "ec2", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"aws ec2 {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def aws(deployment: Deployment) -> Cli:
    if not Path(sys.executable).with_name("aws").exists():
        pytest.skip("the aws CLI is not installed beside this Python: pip install awscli")
    return Cli(deployment.environment)


@pytest.fixture(scope="module")
def guest(deployment: Deployment, aws: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """Launched with the words of the quick start, and terminated by the last test that uses it."""
    directory = tmp_path_factory.mktemp("first")
    key, data = directory / "first.pem", directory / "user-data"
    data.write_text(USER_DATA)
    key.touch(mode=0o600)
    key.write_text(aws("create-key-pair", "--key-name", "first", "--query", "KeyMaterial", "--output", "text") + "\n")
    aws("authorize-security-group-ingress", "--group-name", "default", "--protocol", "tcp", "--port", "22",
        "--cidr", "0.0.0.0/0")  # fmt: skip
    id = aws("run-instances", "--image-id", demo_image(deployment.ec2), "--instance-type", "t2.nano",
             "--key-name", "first", "--user-data", f"file://{data}",
             "--metadata-options", "HttpTokens=required,InstanceMetadataTags=enabled",
             "--tag-specifications", f"ResourceType=instance,Tags=[{{Key=Name,Value={DISPLAY_NAME}}}]",
             "--query", "Instances[0].InstanceId", "--output", "text")  # fmt: skip
    aws("wait", "instance-running", "--instance-ids", id)
    guest = Guest(deployment.ec2, id, key)
    yield guest
    terminate(guest)
    aws("delete-key-pair", "--key-name", "first")
    aws("revoke-security-group-ingress", "--group-name", "default", "--protocol", "tcp", "--port", "22",
        "--cidr", "0.0.0.0/0")  # fmt: skip


BOOT = "cat /proc/sys/kernel/random/boot_id"


def imds(guest: Guest, path: str) -> str:
    """Ask the metadata service from within the guest, by version 2 of its protocol."""
    ask = "curl -sf http://169.254.169.254/latest"
    token = f"$({ask}/api/token -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')"
    return guest.ssh(f'{ask}/{path} -H "X-aws-ec2-metadata-token: {token}"')


def test_both_users_log_in_by_the_public_address_and_find_what_user_data_wrote(guest: Guest) -> None:
    eventually(lambda: guest.ssh("cat /var/tmp/marker || true"), "file written by user data")
    assert guest.ssh("cat /var/tmp/marker; id -un", user="ec2-user").splitlines() == [
        "written by user data",
        "ec2-user",
    ]
    assert guest.ssh("id -un", user="root") == "root"


def test_the_console_output_shows_the_kernel_and_the_end_of_the_boot(guest: Guest, aws: Cli) -> None:
    def output() -> str:
        return aws("get-console-output", "--instance-id", guest.id, "--query", "Output", "--output", "text")

    shown = eventually(lambda: "demo-init: finished" in (text := output()) and text, "end of the boot on the console")
    assert "Linux version" in shown
    assert f"demo-init: instance {guest.id}" in shown
    assert "BEGIN SSH HOST KEY FINGERPRINTS" in shown


def test_a_trace_and_an_analysis_say_by_which_rule_it_is_reached(deployment: Deployment, guest: Guest) -> None:
    told = deployment.groundfog("trace", guest.id, ":22", "--from-outside")
    assert "(tcp 22 from 0.0.0.0/0)" in told
    assert told.rstrip().endswith("It arrives, and so does the answer.")
    ec2 = deployment.ec2
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    for port, is_found in ((22, True), (23, False)):
        ends = {"Source": gateway["InternetGatewayId"], "Destination": guest.id}
        made = ec2.create_network_insights_path(**ends, Protocol="tcp", DestinationPort=port)["NetworkInsightsPath"]
        begun = ec2.start_network_insights_analysis(NetworkInsightsPathId=made["NetworkInsightsPathId"])
        id = begun["NetworkInsightsAnalysis"]["NetworkInsightsAnalysisId"]

        def done(id: str = id) -> Any:
            (found,) = ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=[id])[
                "NetworkInsightsAnalyses"
            ]
            return found if found["Status"] != "running" else None

        found = eventually(done, "end of the analysis")
        assert (found["Status"], found["NetworkPathFound"]) == ("succeeded", is_found)
        ec2.delete_network_insights_analysis(NetworkInsightsAnalysisId=id)
        ec2.delete_network_insights_path(NetworkInsightsPathId=made["NetworkInsightsPathId"])


def test_metadata_wants_a_token_and_tells_the_guest_who_it_is(guest: Guest) -> None:
    refused = "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert guest.ssh(refused) == "401"
    instance = guest.describe()
    assert imds(guest, "meta-data/instance-id") == guest.id
    assert imds(guest, "meta-data/public-ipv4") == instance["PublicIpAddress"]
    assert imds(guest, "meta-data/public-keys/0/openssh-key").startswith("ssh-rsa ")
    assert imds(guest, "meta-data/tags/instance/Name") == DISPLAY_NAME
    assert imds(guest, "user-data") == USER_DATA.strip()
    document = json.loads(imds(guest, "dynamic/instance-identity/document"))
    assert document["instanceId"] == guest.id
    assert document["imageId"] == instance["ImageId"]
    assert document["privateIp"] == instance["PrivateIpAddress"]
    assert document["availabilityZone"] == instance["Placement"]["AvailabilityZone"]


def test_the_machine_says_it_is_amazon_ec2s_and_is_as_large_as_its_type(guest: Guest) -> None:
    identity = guest.ssh("cd /sys/class/dmi/id; cat product_uuid sys_vendor product_name chassis_asset_tag").split("\n")
    assert identity[0].lower().startswith("ec2")
    assert identity[1:3] == ["Amazon EC2", "t2.nano"]
    assert guest.ssh("nproc") == "1"
    (total,) = [line for line in guest.ssh("cat /proc/meminfo").splitlines() if line.startswith("MemTotal")]
    # The kernel keeps some of it for itself.
    assert 420 <= int(total.split()[1]) // 1024 <= 512


@pytest.fixture
def outside() -> Iterator[str]:
    """A machine beyond this host, which knows no way to the guests: it greets who connects by the address it sees."""
    name, listen = "gf-outside", (
        "import socket\n"
        "server = socket.create_server(('203.0.113.10', 80))\n"
        "while True:\n"
        "    client, address = server.accept()\n"
        "    client.sendall(address[0].encode())\n"
        "    client.close()\n"
    )  # fmt: skip
    ip(f"netns add {name}")
    server = None
    try:
        ip(f"link add {name} type veth peer name eth0 netns {name}")
        for command in (f"link set {name} up", f"address add 203.0.113.9/30 dev {name}", f"-n {name} link set eth0 up",
                        f"-n {name} address add 203.0.113.10/30 dev eth0"):  # fmt: skip
            ip(command)
        server = subprocess.Popen(["ip", "netns", "exec", name, sys.executable, "-c", listen])
        yield "203.0.113.10"
    finally:
        if server:
            server.kill()
            server.wait()
        ip(f"netns delete {name}")


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, timeout=20)


def test_the_guest_reaches_the_outside_in_the_name_of_its_host(guest: Guest, outside: str) -> None:
    ask = f"nc -w 10 {outside} 80 < /dev/null || true"
    assert eventually(lambda: guest.ssh(ask), "answer from the outside") == "203.0.113.9"


def test_a_reboot_starts_the_guest_again_and_the_instance_runs_on(guest: Guest) -> None:
    before, boot = guest.describe(), guest.ssh(BOOT)
    guest.ec2.reboot_instances(InstanceIds=[guest.id])
    eventually(lambda: guest.told(BOOT) not in ("", boot), "reboot", every=1.0)
    after = guest.describe()
    assert after["State"]["Name"] == "running"
    assert after["PublicIpAddress"] == before["PublicIpAddress"]
    assert guest.ssh("cat /var/tmp/marker") == "written by user data"


def test_a_stop_and_a_start_keep_the_disk_and_the_private_address(guest: Guest) -> None:
    guest.ssh("echo kept > /home/ec2-user/file; sync")
    before = guest.describe()
    guest.ec2.stop_instances(InstanceIds=[guest.id])
    stopped = guest.wait_until("stopped")
    assert "PublicIpAddress" not in stopped
    assert stopped["PrivateIpAddress"] == before["PrivateIpAddress"]
    guest.ec2.start_instances(InstanceIds=[guest.id])
    after = guest.wait_until("running")
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert after["PublicIpAddress"] != before["PublicIpAddress"]
    assert guest.ssh("cat /home/ec2-user/file") == "kept"
    assert before["PrivateIpAddress"] in guest.ssh("ip -4 address show dev eth0")


def test_a_guest_that_powers_itself_off_is_stopped(guest: Guest) -> None:
    guest.ssh("true")
    guest.told("poweroff")
    stopped = guest.wait_until("stopped")
    assert stopped["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    guest.ec2.start_instances(InstanceIds=[guest.id])
    guest.wait_until("running")


def test_a_guest_that_powers_itself_off_is_terminated_where_its_launch_said_so(
    deployment: Deployment, guest: Guest, tmp_path: Path
) -> None:
    key = make_key(guest.ec2, "short", tmp_path)
    other = launch(guest.ec2, key, InstanceInitiatedShutdownBehavior="terminate")
    running = other.wait_until("running")
    other.ssh("true")
    other.told("poweroff")
    gone = other.wait_until("terminated")
    assert gone["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert deployment.left_of([running]) == []
    guest.ec2.delete_key_pair(KeyName="short")


def test_a_terminated_instance_leaves_nothing(deployment: Deployment, guest: Guest, aws: Cli) -> None:
    running = guest.wait_until("running")
    assert deployment.left_of([running]) != [] and deployment.namespaces() != []
    aws("terminate-instances", "--instance-ids", guest.id)
    aws("wait", "instance-terminated", "--instance-ids", guest.id)
    assert deployment.left_of([running]) == []
    eventually(lambda: not deployment.namespaces(), "end of the namespace of the VPC's metadata")
    assert deployment.disks() == set()
    assert rows_of(guest.ec2) == []


def rows_of(ec2: Any) -> list[Any]:
    """Return what the API still shows of what instances are made of."""
    addresses = ec2.describe_addresses()["Addresses"]
    return [*ec2.describe_volumes()["Volumes"], *ec2.describe_network_interfaces()["NetworkInterfaces"], *addresses]

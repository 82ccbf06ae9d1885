"""A launch beside a bare QEMU boot of the same image: from the call, or the command, to the guest's SSH banner."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from benchmarks import changes
from benchmarks.api import free_port
from benchmarks.banner import banner

ROUNDS = 3
MEMORY_MIB = 512


@contextmanager
def deployment(data: Path) -> Iterator[Any]:
    """Run a real deployment of its own; yield a client of it."""
    port = free_port()
    groundfog = [sys.executable, "-m", "cli"]
    place = {
        "GROUNDFOG_DATA": str(data),
        "GROUNDFOG_PORT": str(port),
        "GROUNDFOG_VLAN_RANGE": "[3000,3099]",
        "GROUNDFOG_EXTERNAL_POOL": '["198.18.255.0","198.18.255.99"]',
    }
    environment = {**os.environ, **place}
    subprocess.run([*groundfog, "up", "--detach"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        keys = dict(
            line.removeprefix("export ").strip().split("=", 1)
            for line in (data / "env").read_text().splitlines()
            if line.startswith("export ")
        )
        yield boto3.client(
            "ec2",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"].strip("'\""),
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"].strip("'\""),
        )
    finally:
        subprocess.run([*groundfog, "down"], env=environment, check=False, stdout=subprocess.DEVNULL)


def launched(ec2: Any, image: str, key: str, group: str) -> float:
    """Launch an instance; return the seconds from the call to its banner at its public address."""
    since = time.monotonic()
    answer = ec2.run_instances(
        ImageId=image, InstanceType="t2.nano", KeyName=key, SecurityGroupIds=[group], MinCount=1, MaxCount=1
    )
    id = answer["Instances"][0]["InstanceId"]
    address = answer["Instances"][0]["PublicIpAddress"]
    try:
        return banner(address, 22, since)
    finally:
        ec2.terminate_instances(InstanceIds=[id])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def bare(image: Path, directory: Path) -> float:
    """Boot a thin clone of the image with QEMU's user network; return the seconds from the command to the banner.

    The guest finds no metadata service: its sshd is up as soon as it has an address and has given up asking, so the
    command line names a metadata server that refuses at once.
    """
    disk, port = directory / "bare.qcow2", free_port()
    since = time.monotonic()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, disk], check=True)
    guest = subprocess.Popen(_command(disk, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return banner("127.0.0.1", port, since)
    finally:
        guest.kill()
        guest.wait()
        disk.unlink()


def _command(disk: Path, port: int) -> list[str]:
    metadata = Path(__file__).with_name("metadata.sh")
    network = (
        f"user,id=n,net=169.254.0.0/16,dhcpstart=169.254.0.15,host=169.254.0.2,dns=169.254.0.3,"
        f"hostfwd=tcp:127.0.0.1:{port}-:22,guestfwd=tcp:169.254.169.254:80-cmd:/bin/sh {metadata}"
    )
    return [
        "qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "max", "-m", str(MEMORY_MIB), "-display", "none",
        "-nodefaults", "-serial", "null", "-drive", f"if=none,id=d,format=qcow2,file={disk}",
        "-device", "virtio-blk-pci,drive=d", "-netdev", network, "-device", "virtio-net-pci,netdev=n,romfile=",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def beside_bare_qemu() -> None:
    data = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="groundfog-bench-"))
    data.chmod(0o711)
    try:
        with deployment(data) as ec2:
            image = ec2.describe_images(Owners=["amazon"])["Images"][0]
            snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
            ec2.create_key_pair(KeyName="bench", KeyType="ed25519")
            (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
            ec2.authorize_security_group_ingress(
                GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
            )
            ours = [launched(ec2, image["ImageId"], "bench", group["GroupId"]) for _ in range(ROUNDS)]
            changes.measure(ec2, image["ImageId"], "bench", group["GroupId"])
            floor = [bare(data / "snapshots" / f"{snapshot}.qcow2", data) for _ in range(ROUNDS)]
    finally:
        shutil.rmtree(data, ignore_errors=True)
    mine, least = sorted(ours)[ROUNDS // 2], sorted(floor)[ROUNDS // 2]
    print(f"\n{'seconds to the SSH banner':28}{'groundfog':>12}{'bare QEMU':>12}{'more':>8}{'target':>8}")
    print(f"{'median of ' + str(ROUNDS):28}{mine:12.2f}{least:12.2f}{mine - least:8.2f}{'< 1.5':>8}")

"""How soon a change of a VPC is true for a running guest's packets, beside OVN's own time for an empty change."""

import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from benchmarks.banner import banner

ROUNDS = 5


def seconds_until(holds: Callable[[], bool], limit: float = 60) -> float:
    since = time.monotonic()
    while time.monotonic() - since < limit:
        if holds():
            return time.monotonic() - since
        time.sleep(0.005)
    raise TimeoutError("the change never came true")


def connects(address: str) -> bool:
    try:
        socket.create_connection((address, 22), timeout=0.1).close()
    except OSError:
        return False
    return True


def measure(ec2: Any, image: str, key: str, group: str) -> None:
    """Print the medians for one guest, which is launched for this. ``group`` lets everybody in at port 22."""
    (made,) = ec2.run_instances(
        ImageId=image, InstanceType="t2.nano", KeyName=key, SecurityGroupIds=[group], MinCount=1, MaxCount=1
    )["Instances"]
    id, address = made["InstanceId"], made["PublicIpAddress"]
    try:
        banner(address, 22, time.monotonic())
        rows = {
            "a rule opens a port": [_opened(ec2, group, address) for _ in range(ROUNDS)],
            "a new port passes traffic": [_plugged(ec2, id, made["SubnetId"], group) for _ in range(ROUNDS)],
        }
        floor = sorted(_empty() for _ in range(ROUNDS))[ROUNDS // 2]
    finally:
        ec2.terminate_instances(InstanceIds=[id])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    print(f"\n{'seconds until a change is true':32}{'groundfog':>12}{'bare OVN':>12}{'more':>8}{'target':>8}")
    for name, found in rows.items():
        mine = sorted(found)[ROUNDS // 2]
        print(f"{name:32}{mine:12.2f}{floor:12.2f}{mine - floor:8.2f}{'< 1':>8}")


def _empty() -> float:
    """Return how long OVN takes to have every host do what its database says."""
    since = time.monotonic()
    subprocess.run(["ovn-nbctl", "--timeout=30", "--wait=hv", "sync"], check=True)
    return time.monotonic() - since


def _opened(ec2: Any, group: str, address: str) -> float:
    rule = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    ec2.revoke_security_group_ingress(**rule)
    seconds_until(lambda: not connects(address))
    since = time.monotonic()
    ec2.authorize_security_group_ingress(**rule)
    seconds_until(lambda: connects(address))
    return time.monotonic() - since


def _plugged(ec2: Any, instance: str, subnet: str, group: str) -> float:
    """Return the seconds from the attachment of an interface until its host forwards for it."""
    card = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
    id = card["NetworkInterfaceId"]
    before = _bindings()
    since = time.monotonic()
    attachment = ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=instance, DeviceIndex=1)
    try:
        seconds_until(lambda: len(_bindings() - before) > 0)
        return time.monotonic() - since
    finally:
        ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
        ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[id], WaiterConfig={"Delay": 1})
        ec2.delete_network_interface(NetworkInterfaceId=id)


def _bindings() -> set[str]:
    """Return the ports for which a host forwards, as OVN's southbound database has them."""
    command = ["ovn-sbctl", "--timeout=30", "--bare", "--columns=logical_port", "find", "Port_Binding", "up=true"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

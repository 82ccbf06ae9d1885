"""Microseconds of parse, check, render and verify, beside botocore's own serializer, parser and signer."""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent.parent))

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from gateway import model, validate, wire
from gateway.render import fragments
from gateway.signature import verify
from translators.memo import Memo

OPERATION = model.operation("ec2", "DescribeInstances")
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REQUEST = {
    "InstanceIds": ["i-0123456789abcdef0", "i-0123456789abcdef1"],
    "Filters": [
        {"Name": "instance-state-name", "Values": ["running", "pending"]},
        {"Name": "vpc-id", "Values": ["vpc-0123456789abcdef0"]},
    ],
}
INTERFACE = {
    "Attachment": {
        "AttachTime": "2024-01-02T03:04:05.000Z",
        "AttachmentId": "eni-attach-0123456789abcdef0",
        "DeleteOnTermination": True,
        "DeviceIndex": 0,
        "Status": "attached",
    },
    "Description": "",
    "Groups": [{"GroupId": "sg-0123456789abcdef0", "GroupName": "default"}],
    "MacAddress": "02:00:00:00:00:01",
    "NetworkInterfaceId": "eni-0123456789abcdef0",
    "OwnerId": "000000000001",
    "PrivateDnsName": "ip-10-0-0-5.dc-1.compute.internal",
    "PrivateIpAddress": "10.0.0.5",
    "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": "10.0.0.5"}],
    "SourceDestCheck": True,
    "Status": "in-use",
    "SubnetId": "subnet-0123456789abcdef0",
    "VpcId": "vpc-0123456789abcdef0",
}
INSTANCE = {
    "AmiLaunchIndex": 0,
    "Architecture": "x86_64",
    "BlockDeviceMappings": [
        {
            "DeviceName": "/dev/sda1",
            "Ebs": {
                "AttachTime": "2024-01-02T03:04:05.000Z",
                "DeleteOnTermination": True,
                "Status": "attached",
                "VolumeId": "vol-0123456789abcdef0",
            },
        }
    ],
    "ClientToken": "5f7e3f5c-96d2-4b3b-8f3b-0d4b8f1c2a3e",
    "EbsOptimized": False,
    "EnaSupport": True,
    "Hypervisor": "xen",
    "ImageId": "ami-0123456789abcdef0",
    "InstanceId": "i-0123456789abcdef0",
    "InstanceType": "t3.micro",
    "KeyName": "operator",
    "LaunchTime": "2024-01-02T03:04:05.000Z",
    "Monitoring": {"State": "disabled"},
    "NetworkInterfaces": [INTERFACE],
    "Placement": {"AvailabilityZone": "dc-1a", "GroupName": "", "Tenancy": "default"},
    "PrivateDnsName": "ip-10-0-0-5.dc-1.compute.internal",
    "PrivateIpAddress": "10.0.0.5",
    "RootDeviceName": "/dev/sda1",
    "RootDeviceType": "ebs",
    "SecurityGroups": [{"GroupId": "sg-0123456789abcdef0", "GroupName": "default"}],
    "SourceDestCheck": True,
    "State": {"Code": 16, "Name": "running"},
    "StateTransitionReason": "",
    "SubnetId": "subnet-0123456789abcdef0",
    "Tags": [{"Key": "Name", "Value": "web-1"}, {"Key": "team", "Value": "r&d"}],
    "VirtualizationType": "hvm",
    "VpcId": "vpc-0123456789abcdef0",
}


def reply(instances: list[Any]) -> dict[str, Any]:
    return {"Reservations": [{"ReservationId": "r-0123456789abcdef0", "OwnerId": "1", "Instances": instances}]}


def microseconds(call: Callable[[], object], times: int = 300) -> float:
    """Return the best of five rounds, per call."""
    call()
    rounds = []
    for _ in range(5):
        start = perf_counter()
        for _ in range(times):
            call()
        rounds.append(perf_counter() - start)
    return min(rounds) / times * 1e6


def show(name: str, ours: float, theirs: float | None = None) -> None:
    peer = f"{theirs:10.1f} {theirs / ours:7.1f}x" if theirs is not None else ""
    print(f"{name:34}{ours:10.1f}{peer}")


def requests() -> None:
    assert OPERATION is not None
    serializer = create_serializer("ec2")
    fields = serializer.serialize_to_request(REQUEST, OPERATION)["body"]
    parsed = wire.parse(OPERATION, fields)
    serialized = microseconds(lambda: serializer.serialize_to_request(REQUEST, OPERATION))
    show("parse DescribeInstances", microseconds(lambda: wire.parse(OPERATION, fields)), serialized)
    raw = urlencode(fields).encode()
    show("decode its form body", microseconds(lambda: wire.decode(raw)))
    show("check DescribeInstances", microseconds(lambda: validate.check(OPERATION, parsed)))


def replies() -> None:
    assert OPERATION is not None
    parser, shape = create_parser("ec2"), OPERATION.output_shape
    for count, times in ((1, 300), (1000, 3)):
        document = wire.render(OPERATION, reply([INSTANCE] * count), "r")
        answer = {"body": document, "status_code": 200, "headers": {}}
        ours = microseconds(lambda: wire.render(OPERATION, reply([INSTANCE] * count), "r"), times)  # noqa: B023
        show(f"render {count} instances", ours, microseconds(lambda: parser.parse(answer, shape), times))  # noqa: B023
    fragments.clear()
    memos = [Memo(("i", number), lambda: INSTANCE) for number in range(1000)]
    show("render 1000 remembered instances", microseconds(lambda: wire.render(OPERATION, reply(memos), "r"), 20))


def signatures() -> None:
    signer = SigV4Auth(Credentials("AKID", SECRET), "ec2", "dc-1")
    body = urlencode({"Action": "DescribeInstances", "Version": "2016-11-15", "InstanceId.1": "i-0123456789abcdef0"})

    def sign() -> AWSRequest:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": "localhost:8000"}
        request = AWSRequest("POST", "http://localhost:8000/", headers=headers, data=body.encode())
        signer.add_auth(request)
        return request

    headers: Mapping[str, str] = dict(sign().headers.items())
    now, raw = datetime.now(UTC), body.encode()
    ours = microseconds(lambda: verify("POST", "/", "", headers, raw, lambda _: SECRET, now))
    show("verify a small POST", ours, microseconds(sign))


if __name__ == "__main__":
    print(f"{'microseconds':34}{'ours':>10}{'botocore':>10}")
    requests()
    replies()
    signatures()

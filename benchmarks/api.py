"""The API against moto_server in the same run: pre-signed requests from wrk, one server process each."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
_VERSION = {"Version": "2016-11-15"}
SECONDS, CONNECTIONS = 6, 8


@dataclass
class Server:
    """A server under test. ``image`` is one that it can launch."""

    name: str
    url: str
    pid: int
    image: str

    @property
    def ec2(self) -> Any:
        return boto3.client(
            "ec2", endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def memory_mib(self) -> int:
        """Return the resident memory of the largest process of the server, in MiB."""
        pids = [self.pid, *_children(self.pid)]
        return max(int(_status(pid, "VmRSS").split()[0]) for pid in pids) // 1024


def _children(pid: int) -> list[int]:
    found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in _children(child)]


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, health: str, **environment: str) -> Iterator[int]:
    """Run a server until the block ends; yield its process id once it answers."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                urlopen(url + health, timeout=2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@contextmanager
def groundfog() -> Iterator[Server]:
    port, data = free_port(), tempfile.mkdtemp(dir="/var/tmp")
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "cli", "up", "--engine", "simulated", "--port", str(port), "--data", data]
    try:
        with running(command, url, "/_groundfog/health") as pid:
            yield Server("groundfog", url, pid, "ami-00000000000000001")
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def moto() -> Iterator[Server]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", "moto.server", "-p", str(port)], url, "/moto-api/") as pid:
        server = Server("moto_server", url, pid, "")
        server.image = server.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        yield server


def throughput(server: Server, seconds: int = SECONDS, **fields: str) -> float:
    """Return how many such requests a second the server answers with 200."""
    body = urlencode({**fields, **_VERSION})
    request = AWSRequest("POST", server.url + "/", data=body, headers={"Content-Type": _FORM})
    SigV4Auth(Credentials("test", "test"), "ec2", REGION).add_auth(request)
    headers = "\n".join(f'wrk.headers["{k}"] = "{_text(v)}"' for k, v in request.headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = "{body}"\n{headers}\n{_REPORT}')
        script.flush()
        said = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--timeout", "30s", "-s", script.name, server.url + "/"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    good, bad, micros = (int(n) for n in said.rsplit("RESULT ", 1)[1].split())
    if bad:
        raise RuntimeError(f"{server.name} refused {bad} of {good + bad} requests: {fields}")
    return good / (micros / 1e6)


_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_REPORT = """
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d\\n", summary.requests - bad, bad, summary.duration))
end
"""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def launch(server: Server, count: int) -> str:
    """Have that many more instances; return the id of one."""
    ec2, id = server.ec2, ""
    while count > 0:
        batch = min(count, 500)
        answer = ec2.run_instances(ImageId=server.image, InstanceType="t2.micro", MinCount=batch, MaxCount=batch)
        id, count = answer["Instances"][0]["InstanceId"], count - batch
    return str(id)


def settled(server: Server, id: str) -> None:
    """Wait until the worker has nothing to do: what is measured is the API."""
    filters = [{"Name": "instance-state-name", "Values": ["pending"]}]
    while server.ec2.describe_instances(Filters=filters, MaxResults=5)["Reservations"]:
        time.sleep(0.5)
    assert server.ec2.describe_instances(InstanceIds=[id])["Reservations"]


def measure(server: Server) -> dict[str, float]:
    """Return requests a second by what is asked; the last one, memory in MiB."""
    found = {"DescribeVpcs": throughput(server, Action="DescribeVpcs")}
    one = launch(server, 1)
    settled(server, one)
    found["DescribeInstances of 1"] = throughput(server, Action="DescribeInstances")
    launch(server, 999)
    settled(server, one)
    # moto takes more than a second for one answer.
    found["DescribeInstances of 1,000"] = throughput(server, seconds=20, Action="DescribeInstances")
    found["API memory, MiB"] = server.memory_mib()
    return found


def launches(server: Server) -> float:
    """Return launches a second on a fresh server, each durable on disk where the server keeps anything at all."""
    fields = {"ImageId": server.image, "InstanceType": "t2.micro", "MinCount": "1", "MaxCount": "1"}
    return throughput(server, Action="RunInstances", **fields)


TARGETS = {"DescribeVpcs": 5, "DescribeInstances of 1": 5, "DescribeInstances of 1,000": 30, "RunInstances": 3}


def against_moto() -> None:
    results = []
    for start in (groundfog, moto):
        with start() as server:
            found = measure(server)
        with start() as server:
            found["RunInstances"] = launches(server)
        results.append(found)
    ours, theirs = results
    print(f"{'requests a second':28}{'groundfog':>12}{'moto_server':>12}{'ratio':>8}{'target':>8}")
    for name, least in TARGETS.items():
        print(f"{name:28}{ours[name]:12.1f}{theirs[name]:12.1f}{ours[name] / theirs[name]:8.1f}{least:8}")
    memory = "API memory, MiB"
    print(f"{memory:28}{ours[memory]:12.0f}{theirs[memory]:12.0f}{'':8}{'< 150':>8}")


def _latency(server: Server, **fields: str) -> float:
    """Return milliseconds a request with one connection's worth of load, by throughput."""
    return 1000 / throughput(server, seconds=4, **fields)


def by_size() -> None:
    """What a page and one instance cost among 100 and among 10,000 instances."""
    results: list[dict[str, float]] = []
    with groundfog() as server:
        one, held = launch(server, 1), 1
        for size in (100, 10_000):
            launch(server, size - held)
            held = size
            settled(server, one)
            wanted = {"Filter.1.Name": "private-ip-address", "Filter.1.Value.1": _address(server, one)}
            results.append(
                {
                    "a page of 100": _latency(server, Action="DescribeInstances", MaxResults="100"),
                    "one by id": _latency(server, **{"Action": "DescribeInstances", "InstanceId.1": one}),
                    "one by filter": _latency(server, Action="DescribeInstances", **wanted),
                }
            )
    print(f"\n{'ms a request':28}{'of 100':>12}{'of 10,000':>12}{'ratio':>8}{'target':>8}")
    for name in results[0]:
        few, many = results[0][name], results[1][name]
        print(f"{name:28}{few:12.2f}{many:12.2f}{many / few:8.2f}{'< 1.5':>8}")


def _address(server: Server, id: str) -> str:
    (reservation,) = server.ec2.describe_instances(InstanceIds=[id])["Reservations"]
    return str(reservation["Instances"][0]["PrivateIpAddress"])

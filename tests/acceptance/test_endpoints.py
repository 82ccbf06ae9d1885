"""Endpoints of VPCs as guests without any other way out use them: by a route, and by an address of their own subnet."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

STORE, REGISTRY, NAME = "com.example.store", "com.example.registry", "registry.example"
WORD = "wordoftheoperator"


@pytest.fixture(scope="module")
def ec2(deployment: Deployment) -> Any:
    return deployment.create_account("endpoints")


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """A web server of the operator, at all addresses of this host; yields its port."""
    command = [sys.executable, "-u", "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


SERVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"wordoftheoperator"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("0.0.0.0", 0), Hello)
print(server.server_address[1])
server.serve_forever()
"""


@pytest.fixture(scope="module")
def guest(ec2: Any, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One that is reached by its public address, and has no way out but to this host."""
    key = make_key(ec2, "endpoints", Path(tmp_path_factory.mktemp("key")))
    let_in(ec2, 22)
    made = launch(ec2, key)
    made.wait_until("running")
    made.ssh("true")
    yield made
    terminate(made)


@pytest.fixture(scope="module")
def services(deployment: Deployment, server: int) -> Iterator[None]:
    outside = str(deployment.settings.external_gateway)
    deployment.groundfog("services", "add", STORE, "--gateway", f"{outside}/32")
    deployment.groundfog(
        "services", "add", REGISTRY, "--server", f"127.0.0.1:{server}", "--port", "80", "--private-name", NAME
    )
    yield
    for name in (STORE, REGISTRY):
        deployment.groundfog("services", "remove", name)


def asking(address: str, port: int) -> str:
    """Return the command by which a guest asks a web server, and prints what the operator's one says of itself."""
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port} | grep ^{WORD}"


def test_an_interface_endpoint_answers_inside_of_the_vpc(ec2: Any, guest: Guest, services: None) -> None:
    instance = guest.describe()
    vpc, subnet = instance["VpcId"], instance["SubnetId"]
    group = ec2.create_security_group(GroupName="endpoint", Description="endpoint", VpcId=vpc)["GroupId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=REGISTRY, VpcEndpointType="Interface", SubnetIds=[subnet], SecurityGroupIds=[group],
        PrivateDnsEnabled=True,
    )["VpcEndpoint"]  # fmt: skip
    id = made["VpcEndpointId"]

    def see() -> dict[str, Any]:
        return dict(ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"][0])

    eventually(lambda: see()["State"] == "available", "endpoint")
    (card,) = ec2.describe_network_interfaces(NetworkInterfaceIds=see()["NetworkInterfaceIds"])["NetworkInterfaces"]
    address = card["PrivateIpAddress"]
    assert guest.told(asking(address, 80)) == "", "its security group lets nobody in"
    let_in(ec2, 80, group)
    eventually(lambda: guest.told(asking(address, 80)) == WORD, "answer of the server")
    for name in (NAME, see()["DnsEntries"][0]["DnsName"]):
        assert address in guest.told(f"nslookup {name} 2>&1"), name
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    eventually(lambda: guest.told(asking(address, 80)) == "", "end of the endpoint")
    eventually(lambda: not ec2.describe_vpc_endpoints()["VpcEndpoints"], "end of its description")
    ec2.delete_security_group(GroupId=group)


def test_a_gateway_endpoint_leads_to_its_service_and_to_nobody_else(
    ec2: Any, deployment: Deployment, guest: Guest, services: None, server: int
) -> None:
    """Behind a table whose only way out is the endpoint: what the service answers arrives, others do not."""
    vpc = guest.describe()["VpcId"]
    ask = asking(str(deployment.settings.external_gateway), server)
    eventually(lambda: guest.told(ask) == WORD, "answer by the internet gateway")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.200.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    inner = launch(ec2, guest.key, SubnetId=subnet)
    try:
        inner.wait_until("running")

        def asked() -> str:
            return inner.told_through(guest, f"({ask}) || echo nothing")

        eventually(lambda: asked() == "nothing", "guest inside")
        made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=STORE, RouteTableIds=[table])["VpcEndpoint"]
        eventually(lambda: asked() == WORD, "answer by the endpoint")
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
        eventually(lambda: asked() == "nothing", "end of the endpoint")
    finally:
        terminate(inner)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)

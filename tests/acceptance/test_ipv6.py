"""IPv6 between real guests, out of their VPC and into it; and secondary addresses that a running guest takes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine import tasks
from engine.state import EgressGateway, Route, Vpc
from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate
from tests.acceptance.wire import Host, plugged, run

pytestmark = pytest.mark.acceptance

ANY_6 = "::/0"
HOST = "fd00:c612::1"
FAR, FAR_ROUTER = "fd00:d0c::2", "fd00:d0c::1"
"""A network beyond this host, which knows no way back to guests."""
LOOK_AGAIN = "/usr/lib/demo-init/addresses.sh eth0"
"""What a guest does once a minute."""


@dataclass
class Lab:
    """A VPC with IPv6; ``web`` is reached from outside, ``app`` goes out by an egress-only gateway."""

    ec2: Any
    vpc: str
    group: str
    web: Guest
    app: Guest

    def rule(self, act: str) -> None:
        """Let SSH in from everywhere by IPv6 (``authorize``), or no more (``revoke``)."""
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": ANY_6}]}
        getattr(self.ec2, f"{act}_security_group_ingress")(GroupId=self.group, IpPermissions=[ssh])


def six(guest: Guest) -> str:
    return str(guest.describe()["Ipv6Address"])


@pytest.fixture(scope="module")
def lab(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    ec2 = deployment.create_account("six")
    vpc = ec2.create_vpc(CidrBlock="10.66.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    id, cidr6 = vpc["VpcId"], vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    head = cidr6.partition("::")[0]
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=id)
    eigw = egress_gateway(deployment, ec2, id)
    subnets = []
    for number, target in enumerate((igw, eigw), 1):
        cidr = {"CidrBlock": f"10.66.{number}.0/24", "Ipv6CidrBlock": f"{ranges(cidr6, head, number)}::/64"}
        subnet = ec2.create_subnet(VpcId=id, AvailabilityZone="us-east-1a", **cidr)["Subnet"]["SubnetId"]
        for name in ("MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation"):
            ec2.modify_subnet_attribute(SubnetId=subnet, **{name: {"Value": True}})
        table = ec2.create_route_table(VpcId=id)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
        route6(deployment, ec2, table, target)
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        subnets.append(subnet)
    group = ec2.create_security_group(VpcId=id, GroupName="six", Description="six")["GroupId"]
    let_in(ec2, 22, group)
    key = make_key(ec2, "six", tmp_path_factory.mktemp("six"))
    web, app = (launch(ec2, key, SubnetId=subnet, SecurityGroupIds=[group]) for subnet in subnets)
    yield Lab(ec2, id, group, web, app)
    terminate(web, app)


def ranges(cidr6: str, head: str, number: int) -> str:
    """Return the first 64 bits of the VPC's subnet of that number."""
    words = head.split(":")
    words += ["0"] * (4 - len(words))
    return ":".join([*words[:3], f"{int(words[3], 16) + number:x}"])


def egress_gateway(deployment: Deployment, ec2: Any, vpc: str) -> str:
    if hasattr(ec2, "create_egress_only_internet_gateway"):
        with suppress(ClientError):
            made = ec2.create_egress_only_internet_gateway(VpcId=vpc)
            return str(made["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"])
    with deployment.database() as database, database.write() as db:
        row = db.get_one(Vpc, vpc)
        gateway = EgressGateway(id=EgressGateway.new_id(), account=row.account, region=row.region, vpc_id=vpc)
        db.add(gateway)
        return str(gateway.id)


def route6(deployment: Deployment, ec2: Any, table: str, target: str) -> None:
    """Have a route table lead everything else of IPv6 to a gateway."""
    name = "EgressOnlyInternetGatewayId" if target.startswith("eigw-") else "GatewayId"
    with suppress(ClientError):
        ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock=ANY_6, **{name: target})
        return
    with deployment.database() as database, database.write() as db:
        db.add(Route(route_table_id=table, destination=ANY_6, target=target, origin="CreateRoute"))
        (vpc,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        tasks.start(db, vpc["VpcId"], "sync_network", "us-east-1")


@pytest.fixture(scope="module")
def served() -> Iterator[int]:
    """A port at which this host answers, by IPv6, with the address that it is asked from."""
    with socket.create_server((HOST, 0), family=socket.AF_INET6) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def answer(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, peer = server.accept()
            with connection, suppress(OSError):
                connection.sendall(f"asked by {peer[0]}\n".encode())


@contextmanager
def far_away() -> Iterator[Host]:
    """A machine on a network behind this host, which nobody told of guests."""
    with plugged("br-phys", "02:ee:00:00:00:66") as host:
        run("ip", "-6", "address", "replace", f"{FAR_ROUTER}/64", "dev", "br-phys", "nodad")
        run("ip", "link", "set", "br-phys", "up")
        try:
            host.ip("address", "add", f"{FAR}/64", "dev", host.device, "nodad")
            host.serve(80)
            yield host
        finally:
            run("ip", "-6", "address", "delete", f"{FAR_ROUTER}/64", "dev", "br-phys")
            run("ip", "link", "set", "br-phys", "down")


def heard(guest: Guest, address: str, port: int) -> str:
    """Return what a guest is told by a TCP server; nothing where it cannot be reached within seconds."""
    return guest.ssh(f"nc -w 3 {address} {port} < /dev/null 2> /dev/null | head -n 1; true")


def greeted(address: str) -> bool:
    """Say whether this host is greeted by an SSH server."""
    with suppress(OSError), socket.create_connection((address, 22), timeout=3) as connection:
        return connection.recv(4) == b"SSH-"
    return False


def test_guests_have_what_they_are_described_with(lab: Lab) -> None:
    for guest in (lab.web, lab.app):
        eventually(lambda guest=guest: six(guest) in guest.ssh("ip -6 addr show dev eth0"), "address of IPv6")
        eventually(lambda guest=guest: "default" in guest.ssh("ip -6 route"), "way out by IPv6")


def test_guests_reach_each_other_where_their_group_lets_them(lab: Lab) -> None:
    assert heard(lab.app, six(lab.web), 22) == ""
    lab.rule("authorize")
    eventually(lambda: heard(lab.app, six(lab.web), 22).startswith("SSH-2.0"), "greeting by IPv6", seconds=30)
    eventually(lambda: heard(lab.web, six(lab.app), 22).startswith("SSH-2.0"), "greeting by IPv6", seconds=30)
    lab.rule("revoke")
    eventually(lambda: heard(lab.app, six(lab.web), 22) == "", "silence by IPv6", seconds=30)


def test_an_internet_gateway_leads_out_and_in(lab: Lab, served: int) -> None:
    eventually(lambda: heard(lab.web, HOST, served) == f"asked by {six(lab.web)}", "answer from outside", seconds=30)
    assert not greeted(six(lab.web))
    lab.rule("authorize")
    eventually(lambda: greeted(six(lab.web)), "greeting to outside", seconds=30)


def test_an_egress_only_gateway_leads_out_alone(lab: Lab, served: int) -> None:
    eventually(lambda: heard(lab.app, HOST, served) == f"asked by {six(lab.app)}", "answer from outside", seconds=30)
    assert greeted(six(lab.web)) and not greeted(six(lab.app))
    assert heard(lab.web, six(lab.app), 22).startswith("SSH-2.0"), "from inside"


def test_beyond_this_host_it_stands_for_guests(lab: Lab) -> None:
    with far_away() as host:
        told = eventually(lambda: heard(lab.web, FAR, 80), "answer from far away", seconds=30)
        assert told == f"{host.name} {FAR_ROUTER}"


def test_a_running_guest_takes_what_it_is_assigned_and_leaves_what_is_taken(lab: Lab) -> None:
    card = lab.web.describe()["NetworkInterfaces"][0]["NetworkInterfaceId"]
    given = lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=card, SecondaryPrivateIpAddressCount=1)
    private = given["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    sixth = lab.ec2.assign_ipv6_addresses(NetworkInterfaceId=card, Ipv6AddressCount=1)["AssignedIpv6Addresses"][0]
    lab.web.ssh(LOOK_AGAIN)
    for address in (private, sixth):
        eventually(lambda address=address: heard(lab.app, address, 22).startswith("SSH-2.0"), f"answer of {address}")
    lab.ec2.unassign_private_ip_addresses(NetworkInterfaceId=card, PrivateIpAddresses=[private])
    lab.ec2.unassign_ipv6_addresses(NetworkInterfaceId=card, Ipv6Addresses=[sixth])
    lab.web.ssh(LOOK_AGAIN)
    shown = lab.web.ssh("ip addr")
    assert private not in shown and sixth not in shown
    assert heard(lab.app, six(lab.web), 22).startswith("SSH-2.0")

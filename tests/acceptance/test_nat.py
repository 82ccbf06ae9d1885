"""A NAT gateway as its user meets it: guests without a public address go out by its own, and nobody comes in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, greets, launch, let_in, make_key, terminate
from tests.acceptance.wire import Host, plugged, run

pytestmark = pytest.mark.acceptance

OUTSIDER = "198.18.255.220"
"""Beyond the pool of the deployment, and apart from what tests of packets take."""


@dataclass
class Stack:
    """A VPC with a public and a private subnet, a guest in each, and a NAT gateway with an Elastic IP."""

    ec2: Any
    vpc: str
    way_out: str
    subnets: list[str]
    gateway: str
    allocation: str
    elastic_ip: str
    jump: Guest
    inner: Guest

    def ask(self, address: str) -> list[str]:
        """Return the words with which a server at port 80 of an address answers the private guest."""
        return self.inner.told_through(self.jump, f"nc -w 3 {address} 80 < /dev/null").split()


def make_subnet(ec2: Any, vpc: str, cidr: str, **way: str) -> str:
    """Return a subnet from which everything goes one way."""
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return str(subnet)


@pytest.fixture(scope="module")
def stack(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ec2 = deployment.create_account("nat")
    key = make_key(ec2, "nat", tmp_path_factory.mktemp("nat"))
    vpc = ec2.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
    way_out = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=way_out, VpcId=vpc)
    public = make_subnet(ec2, vpc, "10.60.1.0/24", GatewayId=way_out)
    elastic = ec2.allocate_address()
    made = ec2.create_nat_gateway(SubnetId=public, AllocationId=elastic["AllocationId"])["NatGateway"]
    gateway = made["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    private = make_subnet(ec2, vpc, "10.60.2.0/24", NatGatewayId=gateway)
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    let_in(ec2, 22, group["GroupId"])
    card = {"DeviceIndex": 0, "SubnetId": public, "AssociatePublicIpAddress": True}
    guests = [launch(ec2, key, NetworkInterfaces=[card]), launch(ec2, key, SubnetId=private)]
    allocation, address = elastic["AllocationId"], elastic["PublicIp"]
    yield Stack(ec2, vpc, way_out, [public, private], gateway, allocation, address, *guests)
    terminate(*guests)


@pytest.fixture(scope="module")
def outsider() -> Iterator[Host]:
    with plugged("br-ext", "02:ee:00:00:00:22") as host:
        host.take(f"{OUTSIDER}/16")
        host.serve(80)
        yield host


def northbound() -> str:
    tables = ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "NAT")
    return "\n".join(run("ovn-nbctl", "--timeout=20", "list", table) for table in tables)


def test_a_guest_without_a_public_address_goes_out_by_the_gateways(stack: Stack, outsider: Host) -> None:
    stack.jump.ssh("true")
    assert "PublicIpAddress" not in stack.inner.wait_until("running")
    seen = eventually(lambda: stack.ask(OUTSIDER), "answer from the outside")
    assert seen == [outsider.name, stack.elastic_ip]


def test_nobody_comes_in_by_the_gateway(stack: Stack, outsider: Host) -> None:
    address = stack.jump.public_ip
    assert outsider.inside(lambda: greets(address)), "a guest with a public address is there for the outside"
    assert not outsider.inside(lambda: greets(stack.elastic_ip))
    assert not outsider.ping(stack.elastic_ip)


def test_a_deleted_gateway_is_no_way_out_and_leaves_nothing(stack: Stack, outsider: Host) -> None:
    assert stack.gateway in northbound() and stack.elastic_ip in northbound()
    stack.ec2.delete_nat_gateway(NatGatewayId=stack.gateway)
    stack.ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[stack.gateway], WaiterConfig={"Delay": 1})
    assert stack.ask(OUTSIDER) == []
    assert stack.inner.told_through(stack.jump, "echo here") == "here"
    assert stack.gateway not in northbound() and stack.elastic_ip not in northbound()
    stack.ec2.release_address(AllocationId=stack.allocation)


def test_nothing_is_left_of_the_vpc(stack: Stack) -> None:
    ec2 = stack.ec2
    terminate(stack.jump, stack.inner)
    ec2.detach_internet_gateway(InternetGatewayId=stack.way_out, VpcId=stack.vpc)
    ec2.delete_internet_gateway(InternetGatewayId=stack.way_out)
    for subnet in stack.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    for table in ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [stack.vpc]}])["RouteTables"]:
        if not any(association["Main"] for association in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    ec2.delete_vpc(VpcId=stack.vpc)
    left = [stack.vpc, *stack.subnets, stack.gateway]
    eventually(lambda: not any(id in northbound() for id in left), "end of the VPC on the network")

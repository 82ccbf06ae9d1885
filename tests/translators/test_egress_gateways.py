"""Egress-only internet gateways through a real client."""

from typing import Any

import pytest

from engine import desired
from engine.drivers.networking import Uplink
from tests.cloud import Cloud


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def make(ec2: Any, vpc: str) -> str:
    made = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    return str(made["EgressOnlyInternetGatewayId"])


def uplink(cloud: Cloud, vpc: str) -> Uplink | None:
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None
    return network.uplink


def test_a_gateway_is_attached_from_the_beginning(ec2: Any, vpc: str, refused: Any) -> None:
    tags = [{"Key": "Name", "Value": "out"}]
    specification = {"ResourceType": "egress-only-internet-gateway", "Tags": tags}
    answer = ec2.create_egress_only_internet_gateway(VpcId=vpc, TagSpecifications=[specification], ClientToken="once")
    gateway = answer["EgressOnlyInternetGateway"]
    id = gateway["EgressOnlyInternetGatewayId"]
    assert answer["ClientToken"] == "once" and gateway == {
        "EgressOnlyInternetGatewayId": id,
        "Attachments": [{"State": "attached", "VpcId": vpc}],
        "Tags": tags,
    }
    found = ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[id])
    assert found["EgressOnlyInternetGateways"] == [gateway]
    with refused("InvalidParameterValue", "already has an egress-only internet gateway"):
        make(ec2, vpc)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    assert ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=id)["ReturnCode"] is True
    for act in (
        lambda: ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[id]),
        lambda: ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=id),
    ):
        with refused("InvalidGatewayID.NotFound", id):
            act()
    ec2.delete_vpc(VpcId=vpc)


def test_a_vpc_has_an_uplink_while_either_gateway_needs_it(cloud: Cloud, ec2: Any, vpc: str) -> None:
    id = make(ec2, vpc)
    alone = uplink(cloud, vpc)
    assert alone and alone.only_out
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    assert uplink(cloud, vpc) == Uplink(alone.address)
    ec2.detach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    assert uplink(cloud, vpc) == alone
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=id)
    assert uplink(cloud, vpc) is None
    cloud.settle()


def test_without_a_free_address_no_gateway_is_made(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(external_pool=("198.18.1.0", "198.18.1.0"))
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with refused("InsufficientAddressCapacity"):
        make(cloud.ec2, vpc)
    assert not cloud.ec2.describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"]


def test_gateways_are_filtered_and_paged(cloud: Cloud, ec2: Any) -> None:
    made = sorted(make(ec2, ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"]) for n in range(7))
    ec2.create_tags(Resources=made[:1], Tags=[{"Key": "Name", "Value": "first"}])

    def ids(**asked: Any) -> list[str]:
        paginator = ec2.get_paginator("describe_egress_only_internet_gateways")
        pages = paginator.paginate(PaginationConfig={"PageSize": 5}, **asked)
        return [g["EgressOnlyInternetGatewayId"] for page in pages for g in page["EgressOnlyInternetGateways"]]

    assert ids() == made
    assert ids(Filters=[{"Name": "tag:Name", "Values": ["fir*"]}]) == made[:1]
    assert not cloud.another_account().describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"]


def test_another_accounts_gateway_is_not_found(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    id, other = make(ec2, vpc), cloud.another_account()
    with refused("InvalidGatewayID.NotFound"):
        other.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=id)
    with refused("InvalidVpcID.NotFound"):
        other.create_egress_only_internet_gateway(VpcId=vpc)

"""Internet gateways through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine.state import Task, Vpc
from tests.cloud import OPERATOR, Cloud


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def gateway(ec2: Any) -> str:
    return str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])


def uplink(cloud: Cloud, vpc: str) -> str | None:
    with cloud.database.read() as db:
        return db.get_one(Vpc, vpc).uplink_address


def test_a_gateway_is_made_unattached(ec2: Any) -> None:
    tags = [{"Key": "Name", "Value": "out"}]
    made = ec2.create_internet_gateway(TagSpecifications=[{"ResourceType": "internet-gateway", "Tags": tags}])
    gateway = made["InternetGateway"]
    assert gateway == {
        "InternetGatewayId": gateway["InternetGatewayId"], "OwnerId": OPERATOR, "Attachments": [], "Tags": tags
    }  # fmt: skip
    found = ec2.describe_internet_gateways(InternetGatewayIds=[gateway["InternetGatewayId"]])
    assert found["InternetGateways"] == [gateway]


def test_an_attached_gateway_gives_the_vpc_an_uplink(cloud: Cloud, ec2: Any, vpc: str, gateway: str) -> None:
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (found,) = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert found["Attachments"] == [{"State": "available", "VpcId": vpc}]
    assert uplink(cloud, vpc)
    with cloud.database.read() as db:
        assert db.scalars(select(Task.workflow).where(Task.resource_id == vpc)).all() == ["sync_network"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert uplink(cloud, vpc) is None
    (found,) = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert found["Attachments"] == []
    cloud.settle()


def test_a_vpc_has_one_gateway_and_a_gateway_one_vpc(ec2: Any, vpc: str, gateway: str, refused: Any) -> None:
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    second = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("Resource.AlreadyAssociated", f"already attached to network {vpc}"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=other)
    with refused("InvalidParameterValue", "already has an internet gateway attached"):
        ec2.attach_internet_gateway(InternetGatewayId=second, VpcId=vpc)
    with refused("Gateway.NotAttached"):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=other)
    with refused("Gateway.NotAttached"):
        ec2.detach_internet_gateway(InternetGatewayId=second, VpcId=vpc)


def test_things_are_deleted_in_the_right_order(ec2: Any, vpc: str, gateway: str, refused: Any) -> None:
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    address = ec2.allocate_address()["AllocationId"]
    association = ec2.associate_address(AllocationId=address, NetworkInterfaceId=eni)["AssociationId"]
    with refused("DependencyViolation", "mapped public address(es)"):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("DependencyViolation"):
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.disassociate_address(AssociationId=association)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    with refused("InvalidInternetGatewayID.NotFound"):
        ec2.describe_internet_gateways(InternetGatewayIds=[gateway])


def test_gateways_are_filtered_and_paged(ec2: Any, vpc: str, gateway: str) -> None:
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    for _ in range(6):
        ec2.create_internet_gateway()

    def ids(**asked: Any) -> list[str]:
        pages = ec2.get_paginator("describe_internet_gateways").paginate(PaginationConfig={"PageSize": 5}, **asked)
        return [g["InternetGatewayId"] for page in pages for g in page["InternetGateways"]]

    assert len(ids()) == 8 and ids() == sorted(ids())
    assert ids(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}]) == [gateway]
    assert len(ids(Filters=[{"Name": "attachment.state", "Values": ["available"]}])) == 2
    assert ids(Filters=[{"Name": "attachment.state", "Values": ["detached"]}]) == []
    assert len(ids(Filters=[{"Name": "owner-id", "Values": [OPERATOR]}])) == 8


def test_another_accounts_gateway_is_not_found(cloud: Cloud, ec2: Any, vpc: str, gateway: str, refused: Any) -> None:
    other = cloud.another_account()
    theirs = other.describe_vpcs()["Vpcs"][0]["VpcId"]
    for act in (
        lambda: other.describe_internet_gateways(InternetGatewayIds=[gateway]),
        lambda: other.attach_internet_gateway(InternetGatewayId=gateway, VpcId=theirs),
        lambda: other.delete_internet_gateway(InternetGatewayId=gateway),
    ):
        with refused("InvalidInternetGatewayID.NotFound"):
            act()
    own = other.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidVpcID.NotFound"):
        other.attach_internet_gateway(InternetGatewayId=own, VpcId=vpc)


def test_a_dry_run_attaches_nothing(cloud: Cloud, ec2: Any, vpc: str, gateway: str, refused: Any) -> None:
    with refused("DryRunOperation"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc, DryRun=True)
    assert uplink(cloud, vpc) is None


def test_without_a_free_address_no_gateway_is_attached(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(external_pool=("198.18.1.0", "198.18.1.0"))
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = cloud.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InsufficientAddressCapacity"):
        cloud.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)

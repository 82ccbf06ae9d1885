"""Routes through a real client."""

from typing import Any

import pytest

from tests.cloud import Cloud

ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def table(ec2: Any, vpc: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])


@pytest.fixture
def gateway(ec2: Any, vpc: str) -> str:
    id = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc)
    return id


def routes(ec2: Any, table: str) -> dict[str, tuple[str, str]]:
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {r["DestinationCidrBlock"]: (r["GatewayId"], r["State"]) for r in found["Routes"]}


LOCAL = {"10.0.0.0/16": ("local", "active")}


def test_a_route_leads_out_until_its_gateway_is_detached(
    cloud: Cloud, ec2: Any, vpc: str, table: str, gateway: str
) -> None:
    made = ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    assert made["Return"] and routes(ec2, table) == LOCAL | {ANYWHERE: (gateway, "active")}
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert routes(ec2, table)[ANYWHERE] == (gateway, "blackhole")
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert routes(ec2, table)[ANYWHERE] == (gateway, "active")
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    assert routes(ec2, table) == LOCAL
    cloud.settle()


def test_a_destination_is_made_canonical_and_exists_once(ec2: Any, table: str, gateway: str, refused: Any) -> None:
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="100.68.0.18/18", GatewayId=gateway)
    assert "100.68.0.0/18" in routes(ec2, table)
    with refused("RouteAlreadyExists", "100.68.0.0/18"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="100.68.0.0/18", GatewayId=gateway)
    for cidr in ("10.0.0.0/16", "10.0.3.0/24"):
        with refused("InvalidParameterValue", "equal to or more specific"):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, GatewayId=gateway)
    with refused("InvalidParameterValue"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="anywhere", GatewayId=gateway)


def test_a_route_needs_a_destination_and_a_target(ec2: Any, table: str, gateway: str, refused: Any) -> None:
    with refused("MissingParameter"):
        ec2.create_route(RouteTableId=table, GatewayId=gateway)
    with refused("MissingParameter"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    for name, value in (
        ("NatGatewayId", "nat-1"), ("InstanceId", "i-1"), ("NetworkInterfaceId", "eni-1"),
        ("VpcPeeringConnectionId", "pcx-1"), ("TransitGatewayId", "tgw-1"), ("VpcEndpointId", "vpce-1"),
    ):  # fmt: skip
        with refused("UnsupportedOperation", name):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **{name: value})
    with refused("UnsupportedOperation", "vgw-1"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId="vgw-1")
    with refused("UnsupportedOperation", "DestinationIpv6CidrBlock"):
        ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=gateway)
    assert routes(ec2, table) == LOCAL


def test_the_gateway_must_be_the_vpcs_own(ec2: Any, table: str, refused: Any) -> None:
    loose = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    foreign = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.state", "Values": ["available"]}])
    for id in (loose, foreign["InternetGateways"][0]["InternetGatewayId"]):
        with refused("InvalidParameterValue", "belong to different networks"):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=id)
    with refused("InvalidInternetGatewayID.NotFound"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId="igw-00000000000000000")


def test_a_route_that_is_not_there_is_neither_replaced_nor_deleted(
    ec2: Any, table: str, gateway: str, refused: Any
) -> None:
    with refused("InvalidParameterValue", "Use CreateRoute instead"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    with refused("InvalidRoute.NotFound", ANYWHERE):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    with refused("InvalidParameterValue", "cannot remove local route"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16")


def test_a_route_is_given_another_gateway(ec2: Any, vpc: str, table: str, gateway: str, refused: Any) -> None:
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    second = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=second, VpcId=vpc)
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=second)
    assert routes(ec2, table)[ANYWHERE] == (second, "active")
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", LocalTarget=True)
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", GatewayId="local")
    with refused("InvalidParameterValue"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, LocalTarget=True)
    with refused("InvalidParameterCombination"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", LocalTarget=True, GatewayId=second)
    with refused("InvalidParameterValue"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", GatewayId=second)
    assert routes(ec2, table) == LOCAL | {ANYWHERE: (second, "active")}

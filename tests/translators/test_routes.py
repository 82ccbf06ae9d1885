"""Routes through a real client."""

from typing import Any

import pytest

from engine.state import PrefixList
from tests.cloud import OPERATOR, REGION, Cloud

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
    return {r["DestinationCidrBlock"]: (r["GatewayId"], r["State"]) for r in found["Routes"] if "GatewayId" in r}


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


def test_a_destination_is_made_canonical_and_exists_once(
    ec2: Any, vpc: str, table: str, gateway: str, refused: Any
) -> None:
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="100.68.0.18/18", GatewayId=gateway)
    assert "100.68.0.0/18" in routes(ec2, table)
    again = ec2.create_route(RouteTableId=table, DestinationCidrBlock="100.68.0.0/18", GatewayId=gateway)
    assert again["Return"], "to the same target"
    eigw = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    other = {"EgressOnlyInternetGatewayId": eigw["EgressOnlyInternetGatewayId"]}
    ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="fd00:0::1/16", GatewayId=gateway)
    with refused("RouteAlreadyExists", "fd00::/16"):
        ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="fd00::/16", **other)
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
    with refused("InvalidParameterCombination"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway, InstanceId="i-1")
    with refused("InvalidParameterCombination"):
        both = {"DestinationCidrBlock": ANYWHERE, "DestinationIpv6CidrBlock": "::/0"}
        ec2.create_route(RouteTableId=table, GatewayId=gateway, **both)
    for name in ("TransitGatewayId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn", "VpcEndpointId"):
        with refused("UnsupportedOperation", name):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **{name: "x-1"})
    with refused("InvalidParameterValue", "VPC endpoint"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId="vpce-00000000000000000")
    assert routes(ec2, table) == LOCAL


def test_nothing_leads_to_where_services_of_the_cloud_are(ec2: Any, table: str, gateway: str, refused: Any) -> None:
    for destination in ({"DestinationCidrBlock": "169.254.169.0/24"}, {"DestinationIpv6CidrBlock": "fd00:ec2::/64"}):
        with refused("InvalidParameterValue", "reserved"):
            ec2.create_route(RouteTableId=table, GatewayId=gateway, **destination)
    ec2.create_route(RouteTableId=table, GatewayId=gateway, DestinationCidrBlock="169.254.0.0/16")


def test_there_are_only_so_many_routes_of_an_ip_version(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(quotas={"routes per route table": 3})
    ec2, (vpc,) = cloud.ec2, cloud.ec2.describe_vpcs()["Vpcs"]
    (igw,) = ec2.describe_internet_gateways()["InternetGateways"]
    table = ec2.create_route_table(VpcId=vpc["VpcId"])["RouteTable"]["RouteTableId"]
    to = {"RouteTableId": table, "GatewayId": igw["InternetGatewayId"]}
    with cloud.database.write() as db:
        db.add(PrefixList(id="pl-00000000000000001", account=OPERATOR, region=REGION, name="a", family="IPv4",
                          max_entries=2))  # fmt: skip
    ec2.create_route(**to, DestinationPrefixListId="pl-00000000000000001")
    ec2.create_route(**to, DestinationCidrBlock="11.0.0.0/8")
    with refused("RouteLimitExceeded"):
        ec2.create_route(**to, DestinationCidrBlock="12.0.0.0/8")
    for n in range(3):
        ec2.create_route(**to, DestinationIpv6CidrBlock=f"fd{n}0::/16")
    with refused("RouteLimitExceeded"):
        ec2.create_route(**to, DestinationIpv6CidrBlock="::/0")


def test_the_gateway_must_be_the_vpcs_own(ec2: Any, table: str, refused: Any) -> None:
    loose = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    foreign = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.state", "Values": ["available"]}])
    for id in (loose, foreign["InternetGateways"][0]["InternetGatewayId"]):
        with refused("InvalidParameterValue", "belong to different networks"):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=id)
    for id in ("igw-00000000000000000", "vgw-00000000000000000", "local"):
        with refused("InvalidGatewayID.NotFound", id):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=id)


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

"""Route tables of internet gateways through a real client."""

from typing import Any

import pytest

from engine import desired
from engine.drivers.networking import Route, Uplink
from engine.state import PrefixList
from tests.cloud import OPERATOR, REGION, Cloud

BLOCK, INNER = "10.0.0.0/16", "10.0.1.0/24"


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock=BLOCK)["Vpc"]["VpcId"])


@pytest.fixture
def table(ec2: Any, vpc: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])


@pytest.fixture
def gateway(ec2: Any, vpc: str) -> str:
    id = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc)
    return id


@pytest.fixture
def firewall(ec2: Any, vpc: str) -> Any:
    """An interface through which a route may lead what is for the subnet INNER."""
    ec2.create_subnet(VpcId=vpc, CidrBlock=INNER)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    return ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]


def uplink(cloud: Cloud, vpc: str) -> Uplink:
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None and network.uplink is not None
    return network.uplink


def test_a_gateway_uses_a_table_for_what_arrives(
    cloud: Cloud, ec2: Any, vpc: str, table: str, gateway: str, firewall: Any
) -> None:
    eni = firewall["NetworkInterfaceId"]
    id = ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)["AssociationId"]
    (found,) = ec2.describe_route_tables(Filters=[{"Name": "association.gateway-id", "Values": [gateway]}])[
        "RouteTables"
    ]
    assert found["RouteTableId"] == table and found["Associations"] == [
        {
            "RouteTableAssociationId": id,
            "RouteTableId": table,
            "Main": False,
            "GatewayId": gateway,
            "AssociationState": {"State": "associated"},
        }
    ]
    main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    assert table not in [t["RouteTableId"] for t in ec2.describe_route_tables(Filters=main)["RouteTables"]]
    assert ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)["AssociationId"] == id
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=INNER, NetworkInterfaceId=eni)
    assert uplink(cloud, vpc).arriving == (Route(INNER, firewall["PrivateIpAddress"]),)
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock=BLOCK, NetworkInterfaceId=eni)
    assert {route.destination for route in uplink(cloud, vpc).arriving} == {BLOCK, INNER}
    ec2.disassociate_route_table(AssociationId=id)
    assert uplink(cloud, vpc).arriving == ()
    cloud.settle()


def test_such_a_table_leads_through_interfaces_to_the_vpc_alone(
    cloud: Cloud, ec2: Any, table: str, gateway: str, firewall: Any, refused: Any
) -> None:
    eni = firewall["NetworkInterfaceId"]
    ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)
    for target in ({"GatewayId": gateway}, {"NetworkInterfaceId": eni}):
        with refused("RouteConflict", gateway):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    list_id = "pl-00000000000000001"
    with cloud.database.write() as db:
        db.add(PrefixList(id=list_id, account=OPERATOR, region=REGION, name="a", family="IPv4", max_entries=1))
    with refused("RouteConflict", gateway):
        ec2.create_route(RouteTableId=table, DestinationPrefixListId=list_id, NetworkInterfaceId=eni)


def test_a_table_with_other_routes_cannot_become_a_gateways(
    ec2: Any, vpc: str, table: str, gateway: str, firewall: Any, refused: Any
) -> None:
    elsewhere = {"RouteTableId": table, "DestinationCidrBlock": "192.168.0.0/16"}
    for target in ({"GatewayId": gateway}, {"NetworkInterfaceId": firewall["NetworkInterfaceId"]}):
        ec2.create_route(**elsewhere, **target)
        with refused("RouteConflict", "192.168.0.0/16"):
            ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)
        ec2.delete_route(**elsewhere)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=INNER, NetworkInterfaceId=firewall["NetworkInterfaceId"])
    ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)


def test_a_main_table_is_no_gateways_and_the_other_way_round(
    ec2: Any, vpc: str, table: str, gateway: str, refused: Any
) -> None:
    main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    (found,) = ec2.describe_route_tables(Filters=main)["RouteTables"]
    with refused("InvalidParameterValue", "main"):
        ec2.associate_route_table(RouteTableId=found["RouteTableId"], GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)
    (association,) = found["Associations"]
    with refused("InvalidParameterValue", gateway):
        ec2.replace_route_table_association(AssociationId=association["RouteTableAssociationId"], RouteTableId=table)


def test_a_gateway_is_given_another_table(ec2: Any, vpc: str, table: str, gateway: str, refused: Any) -> None:
    id = ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)["AssociationId"]
    second = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=second, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    with refused("Resource.AlreadyAssociated"):
        ec2.delete_route(RouteTableId=second, DestinationCidrBlock="0.0.0.0/0")
        ec2.associate_route_table(RouteTableId=second, GatewayId=gateway)
    new = ec2.replace_route_table_association(AssociationId=id, RouteTableId=second)["NewAssociationId"]
    (found,) = ec2.describe_route_tables(RouteTableIds=[second])["RouteTables"]
    assert [a["RouteTableAssociationId"] for a in found["Associations"]] == [new] and new != id
    ec2.delete_route_table(RouteTableId=table)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=second)


def test_a_table_is_associated_with_one_thing_of_its_vpc(
    cloud: Cloud, ec2: Any, vpc: str, table: str, gateway: str, refused: Any
) -> None:
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/24")["Subnet"]["SubnetId"]
    with refused("InvalidParameterCombination"):
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet, GatewayId=gateway)
    with refused("UnsupportedOperation", "vgw-1"):
        ec2.associate_route_table(RouteTableId=table, GatewayId="vgw-1")
    loose = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.associate_route_table(RouteTableId=table, GatewayId=loose)
    theirs = cloud.another_account().create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidInternetGatewayID.NotFound"):
        cloud.client().associate_route_table(RouteTableId=table, GatewayId=theirs)


def test_a_gateway_that_is_detached_uses_no_table(ec2: Any, vpc: str, table: str, gateway: str) -> None:
    ec2.associate_route_table(RouteTableId=table, GatewayId=gateway)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert found["Associations"] == []

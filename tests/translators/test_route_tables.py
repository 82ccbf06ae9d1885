"""Route tables and their associations through a real client."""

from typing import Any

import pytest

from engine.default_vpc import new_id
from engine.routes import add_local_routes, remove_local_routes
from engine.state import VpcCidrBlock
from tests.cloud import OPERATOR, Cloud


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def table(ec2: Any, vpc: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


def chosen(ec2: Any, name: str, *values: str) -> list[Any]:
    return list(ec2.describe_route_tables(Filters=[{"Name": name, "Values": list(values)}])["RouteTables"])


def main(ec2: Any, vpc: str) -> Any:
    found = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )
    (table,) = found["RouteTables"]
    return table


def test_a_new_table_has_the_local_route(ec2: Any, vpc: str) -> None:
    tags = [{"Key": "Name", "Value": "public"}]
    answer = ec2.create_route_table(
        VpcId=vpc, ClientToken="once", TagSpecifications=[{"ResourceType": "route-table", "Tags": tags}]
    )
    table = answer["RouteTable"]
    local = {
        "DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"
    }  # fmt: skip
    assert answer["ClientToken"] == "once" and table == {
        "RouteTableId": table["RouteTableId"],
        "VpcId": vpc,
        "OwnerId": OPERATOR,
        "Associations": [],
        "PropagatingVgws": [],
        "Routes": [local],
        "Tags": tags,
    }
    assert ec2.describe_route_tables(RouteTableIds=[table["RouteTableId"]])["RouteTables"] == [table]


def test_a_client_token_makes_one_table(ec2: Any, vpc: str, refused: Any) -> None:
    first = ec2.create_route_table(VpcId=vpc, ClientToken="once")["RouteTable"]
    assert ec2.create_route_table(VpcId=vpc, ClientToken="once")["RouteTable"] == first
    assert len(chosen(ec2, "vpc-id", vpc)) == 2
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    with refused("IdempotentParameterMismatch"):
        ec2.create_route_table(VpcId=other, ClientToken="once")


def test_a_subnet_is_associated_with_one_table(cloud: Cloud, ec2: Any, table: str, subnet: str, refused: Any) -> None:
    answer = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    id = answer["AssociationId"]
    assert answer["AssociationState"] == {"State": "associated"}
    (found,) = chosen(ec2, "association.route-table-association-id", id)
    assert found["Associations"] == [
        {
            "RouteTableAssociationId": id,
            "RouteTableId": table,
            "Main": False,
            "SubnetId": subnet,
            "AssociationState": {"State": "associated"},
        }
    ]
    assert ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"] == id
    second = ec2.create_route_table(VpcId=found["VpcId"])["RouteTable"]["RouteTableId"]
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_route_table(RouteTableId=second, SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=table)
    new = ec2.replace_route_table_association(AssociationId=id, RouteTableId=second)["NewAssociationId"]
    assert new != id and chosen(ec2, "association.route-table-association-id", id) == []
    ec2.delete_route_table(RouteTableId=table)
    ec2.disassociate_route_table(AssociationId=new)
    for gone in (id, new, "nonsense"):
        with refused("InvalidAssociationID.NotFound"):
            ec2.disassociate_route_table(AssociationId=gone)
    ec2.delete_route_table(RouteTableId=second)
    with refused("InvalidRouteTableID.NotFound"):
        ec2.describe_route_tables(RouteTableIds=[second])
    cloud.settle()


def test_another_table_can_become_the_main_one(ec2: Any, vpc: str, table: str, refused: Any) -> None:
    old = main(ec2, vpc)
    (association,) = old["Associations"]
    id = association["RouteTableAssociationId"]
    assert association["Main"] and "SubnetId" not in association
    with refused("InvalidParameterValue", "main"):
        ec2.disassociate_route_table(AssociationId=id)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=old["RouteTableId"])
    ec2.replace_route_table_association(AssociationId=id, RouteTableId=table)
    assert main(ec2, vpc)["RouteTableId"] == table
    ec2.delete_route_table(RouteTableId=old["RouteTableId"])


def test_table_and_subnet_must_be_of_one_vpc(ec2: Any, table: str, subnet: str, refused: Any) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_route_table(VpcId=other)["RouteTable"]["RouteTableId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.associate_route_table(RouteTableId=foreign, SubnetId=subnet)
    id = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.replace_route_table_association(AssociationId=id, RouteTableId=foreign)
    with refused("MissingParameter"):
        ec2.associate_route_table(RouteTableId=table)


def test_tables_are_filtered_and_paged(ec2: Any, vpc: str, table: str, subnet: str) -> None:
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    for name, value in (
        ("association.subnet-id", subnet),
        ("association.subnet-id", "subnet-*"),
        ("association.route-table-id", table),
        ("route.gateway-id", gateway),
        ("route-table-id", table),
    ):
        assert [t["RouteTableId"] for t in chosen(ec2, name, value)] == [table]
    assert len(chosen(ec2, "route.destination-cidr-block", "0.0.0.0/0")) == 2
    assert len(chosen(ec2, "route.origin", "CreateRoute")) == 2 and len(chosen(ec2, "route.state", "active")) == 3
    assert chosen(ec2, "route.nat-gateway-id", "nat-1") == []
    assert len(chosen(ec2, "route.gateway-id", "local")) == 3 and len(chosen(ec2, "route.gateway-id", "igw-*")) == 2
    assert [t["RouteTableId"] for t in chosen(ec2, "association.main", "false")] == [table]
    for _ in range(5):
        ec2.create_route_table(VpcId=vpc)
    pages = ec2.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 5})
    ids = [t["RouteTableId"] for page in pages for t in page["RouteTables"]]
    assert len(ids) == 8 and ids == sorted(ids)


def test_another_accounts_table_is_not_found(
    cloud: Cloud, ec2: Any, vpc: str, table: str, subnet: str, refused: Any
) -> None:
    id = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    other = cloud.another_account()
    for act in (
        lambda: other.describe_route_tables(RouteTableIds=[table]),
        lambda: other.delete_route_table(RouteTableId=table),
        lambda: other.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16"),
    ):
        with refused("InvalidRouteTableID.NotFound"):
            act()
    with refused("InvalidAssociationID.NotFound"):
        other.disassociate_route_table(AssociationId=id)
    with refused("InvalidVpcID.NotFound"):
        other.create_route_table(VpcId=vpc)


def test_a_dry_run_makes_no_table(ec2: Any, vpc: str, refused: Any) -> None:
    with refused("DryRunOperation"):
        ec2.create_route_table(VpcId=vpc, DryRun=True)
    assert len(chosen(ec2, "vpc-id", vpc)) == 1


def test_there_are_only_so_many_tables(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(quotas={"route tables per VPC": 2}).ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_route_table(VpcId=vpc)
    with refused("RouteTableLimitExceeded"):
        ec2.create_route_table(VpcId=vpc)


def test_every_table_has_a_route_to_each_range_of_its_vpc(cloud: Cloud, ec2: Any, vpc: str, table: str) -> None:
    def ranges() -> list[list[tuple[str, str, str]]]:
        found = chosen(ec2, "vpc-id", vpc)
        return [
            [
                (r.get("DestinationCidrBlock") or r["DestinationIpv6CidrBlock"], r["GatewayId"], r["State"])
                for r in t["Routes"]
            ]
            for t in found
        ]

    first, second, third = "10.0.0.0/16", "10.7.0.0/16", "fd6f:6700::/56"
    with cloud.database.write() as db:
        for cidr in (second, third):
            db.add(VpcCidrBlock(id=new_id("vpc-cidr-assoc"), vpc_id=vpc, cidr=cidr))
            add_local_routes(db, vpc, cidr)
    ec2.create_route_table(VpcId=vpc)
    assert ranges() == [[(cidr, "local", "active") for cidr in (first, second, third)]] * 3
    with cloud.database.write() as db:
        remove_local_routes(db, vpc, second)
    assert ranges() == [[(cidr, "local", "active") for cidr in (first, third)]] * 3


def test_no_vpn_gateway_ever_propagates_routes(cloud: Cloud, ec2: Any, table: str, refused: Any) -> None:
    other = cloud.another_account()
    for name in ("enable_vgw_route_propagation", "disable_vgw_route_propagation"):
        with refused("InvalidVpnGatewayID.NotFound", "vgw-1"):
            getattr(ec2, name)(RouteTableId=table, GatewayId="vgw-1")
        with refused("InvalidRouteTableID.NotFound"):
            getattr(other, name)(RouteTableId=table, GatewayId="vgw-1")

"""The ranges of a VPC through a real client."""

from ipaddress import IPv6Network
from typing import Any

import pytest
from sqlalchemy import select

from engine import desired
from engine.state import (
    NetworkAcl,
    NetworkAclEntry,
    Peering,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    Task,
    Vpc,
)
from tests.cloud import OPERATOR, REGION, Cloud

OWNER = {"account": OPERATOR, "region": REGION}
ANY_6 = "::/0"


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def see(ec2: Any, vpc: str) -> Any:
    (found,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return found


def associate6(ec2: Any, vpc: str) -> dict[str, Any]:
    return dict(ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"])


def peer(cloud: Cloud, requester: str, accepter: str) -> None:
    with cloud.database.write() as db:
        db.add(Peering(
            id=Peering.new_id(), **OWNER, requester_vpc_id=requester, requester_cidrs=[], accepter_account=OPERATOR,
            accepter_vpc_id=accepter, accepter_cidrs=[], status="active", expires="", link=1,
        ))  # fmt: skip


def routes(cloud: Cloud, vpc: str) -> list[tuple[str, str, str]]:
    asked = select(Route.route_table_id, Route.destination, Route.target).join(RouteTable).filter_by(vpc_id=vpc)
    return cloud.look(lambda db: sorted(tuple(row) for row in db.execute(asked)))


def entries6(cloud: Cloud, vpc: str) -> list[tuple[int, bool, str]]:
    entry = NetworkAclEntry
    asked = select(entry.number, entry.egress, entry.action).join(NetworkAcl).where(
        NetworkAcl.vpc_id == vpc, entry.cidr == ANY_6
    )  # fmt: skip
    return cloud.look(lambda db: sorted(tuple(row) for row in db.execute(asked)))


def egress6(cloud: Cloud, vpc: str) -> list[str]:
    """Return the names of the groups that let all out by IPv6."""
    rule = SecurityGroupRule
    asked = select(SecurityGroup.name).join(rule).where(
        SecurityGroup.vpc_id == vpc, rule.cidr_ipv6 == ANY_6, rule.egress.is_(True), rule.protocol == "-1"
    )  # fmt: skip
    return cloud.look(lambda db: sorted(db.scalars(asked)))


def synced(cloud: Cloud) -> set[str]:
    return cloud.look(lambda db: set(db.scalars(select(Task.resource_id))))


def test_a_secondary_range_is_associated_described_and_gone(cloud: Cloud, ec2: Any, vpc: str) -> None:
    custom = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    answer = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.7.0/16")
    association = answer["CidrBlockAssociation"]
    assert association["CidrBlockState"] == {"State": "associating"} and answer["VpcId"] == vpc
    shown = {**association, "CidrBlockState": {"State": "associated"}}
    assert see(ec2, vpc)["CidrBlockAssociationSet"][1] == shown and shown["CidrBlock"] == "10.1.0.0/16"
    assert [destination for table, destination, target in routes(cloud, vpc) if table == custom] == [
        "10.0.0.0/16", "10.1.0.0/16"
    ]  # fmt: skip
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None and network.cidrs == ("10.0.0.0/16", "10.1.0.0/16") and vpc in synced(cloud)
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.2.0/24")
    by_id = [{"Name": "cidr-block-association.association-id", "Values": [association["AssociationId"]]}]
    assert [found["VpcId"] for found in ec2.describe_vpcs(Filters=by_id)["Vpcs"]] == [vpc]
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    gone = ec2.disassociate_vpc_cidr_block(AssociationId=association["AssociationId"])
    assert gone["CidrBlockAssociation"] == {**association, "CidrBlockState": {"State": "disassociating"}}
    assert len(see(ec2, vpc)["CidrBlockAssociationSet"]) == 1 and ec2.describe_vpcs(Filters=by_id)["Vpcs"] == []
    assert {destination for _, destination, _ in routes(cloud, vpc)} == {"10.0.0.0/16"}
    cloud.settle()


def test_a_range_of_ipv6_is_one_of_the_pool_and_nobody_elses(ec2: Any, cloud: Cloud, vpc: str) -> None:
    association = associate6(ec2, vpc)
    cidr = IPv6Network(association["Ipv6CidrBlock"])
    assert cidr.prefixlen == 56 and cidr.subnet_of(cloud.settings.ipv6_pool)
    assert association["Ipv6CidrBlockState"] == {"State": "associating"}
    (shown,) = see(ec2, vpc)["Ipv6CidrBlockAssociationSet"]
    assert shown == {**association, "Ipv6CidrBlockState": {"State": "associated"}}
    assert (shown["Ipv6Pool"], shown["NetworkBorderGroup"]) == ("Amazon", "us-east-1")
    assert len(see(ec2, vpc)["CidrBlockAssociationSet"]) == 1
    for name, value, count in (("association-id", association["AssociationId"], 1), ("state", "associated", 1),
                               ("ipv6-cidr-block", association["Ipv6CidrBlock"], 1), ("ipv6-pool", "Amazon", 1),
                               ("ipv6-pool", "other", 0)):  # fmt: skip
        asked = [{"Name": f"ipv6-cidr-block-association.{name}", "Values": [value]}]
        assert len(ec2.describe_vpcs(Filters=asked)["Vpcs"]) == count, name
    by_v4 = [{"Name": "cidr-block-association.cidr-block", "Values": ["*:*"]}]
    assert ec2.describe_vpcs(Filters=by_v4)["Vpcs"] == []


def test_with_ipv6_come_routes_acl_entries_and_egress_rules(cloud: Cloud, ec2: Any, vpc: str) -> None:
    other = ec2.create_security_group(VpcId=vpc, GroupName="changed", Description="x")["GroupId"]
    ec2.revoke_security_group_egress(
        GroupId=other, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    cidr = associate6(ec2, vpc)["Ipv6CidrBlock"]
    assert cidr in {destination for _, destination, target in routes(cloud, vpc) if target == "local"}
    assert entries6(cloud, vpc) == [
        (101, False, "allow"), (101, True, "allow"), (32768, False, "deny"), (32768, True, "deny")
    ]  # fmt: skip
    assert egress6(cloud, vpc) == ["default"], "a changed group stays as it is"
    ec2.create_security_group(VpcId=vpc, GroupName="new", Description="x")
    assert egress6(cloud, vpc) == ["default", "new"]
    second = associate6(ec2, vpc)
    assert len(entries6(cloud, vpc)) == 4
    ec2.disassociate_vpc_cidr_block(AssociationId=second["AssociationId"])
    assert len(entries6(cloud, vpc)) == 4
    (first,) = see(ec2, vpc)["Ipv6CidrBlockAssociationSet"]
    ec2.disassociate_vpc_cidr_block(AssociationId=first["AssociationId"])
    assert entries6(cloud, vpc) == [] and cidr not in {destination for _, destination, _ in routes(cloud, vpc)}
    ec2.delete_security_group(GroupId=other)
    cloud.settle()


def test_a_vpc_may_be_born_with_ipv6(cloud: Cloud, ec2: Any, refused: Any) -> None:
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    assert len(made["Ipv6CidrBlockAssociationSet"]) == 1
    assert egress6(cloud, made["VpcId"]) == ["default"]
    table = ec2.create_route_table(VpcId=made["VpcId"])["RouteTable"]["RouteTableId"]
    assert len([each for each in routes(cloud, made["VpcId"]) if each[0] == table]) == 2
    with refused("InvalidParameterCombination"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16", Ipv6CidrBlockNetworkBorderGroup="us-east-1")
    with refused("InvalidParameterValue", "border group"):
        ec2.create_vpc(
            CidrBlock="10.1.0.0/16", AmazonProvidedIpv6CidrBlock=True, Ipv6CidrBlockNetworkBorderGroup="us-west-2"
        )
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=made["VpcId"])
    cloud.settle()


@pytest.mark.parametrize(
    ("primary", "cidr", "code"),
    [
        ("10.0.0.0/16", "10.0.128.0/17", "InvalidVpc.Range"),
        ("10.0.0.0/16", "10.2.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/16", "10.2.0.0/29", "InvalidVpc.Range"),
        ("10.0.0.0/16", "172.16.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0/16", "192.168.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0/16", "198.19.0.0/16", "InvalidVpc.Range"),
        ("10.1.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("172.16.0.0/16", "172.31.0.0/16", "InvalidVpc.Range"),
        ("172.16.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("100.64.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("198.19.0.0/16", "192.168.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0/16", "169.254.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0/16", "10.2.0.0", "InvalidParameterValue"),
        ("10.0.0.0/16", "100.64.0.0/16", ""),
        ("10.2.0.0/16", "10.0.0.0/16", ""),
        ("172.16.0.0/16", "8.8.0.0/16", ""),
        ("198.19.0.0/20", "198.19.16.0/20", ""),
        ("198.19.0.0/20", "100.64.0.0/16", ""),
    ],
)
def test_what_ec2_lets_be_associated_is_let(ec2: Any, refused: Any, primary: str, cidr: str, code: str) -> None:
    vpc = ec2.create_vpc(CidrBlock=primary)["Vpc"]["VpcId"]
    if not code:
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=cidr)
        return
    with refused(code):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=cidr)
    assert len(see(ec2, vpc)["CidrBlockAssociationSet"]) == 1


def test_parameters_that_make_no_sense_are_refused(ec2: Any, vpc: str, refused: Any) -> None:
    with refused("MissingParameter"):
        ec2.associate_vpc_cidr_block(VpcId=vpc)
    with refused("InvalidParameterCombination"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16", AmazonProvidedIpv6CidrBlock=True)
    for name, value in (("Ipv6Pool", "ipv6pool-ec2-1"), ("Ipv6CidrBlock", "fd00::/56"), ("Ipv4IpamPoolId", "ipam-1"),
                        ("Ipv6NetmaskLength", 56)):  # fmt: skip
        with refused("UnsupportedOperation", name):
            ec2.associate_vpc_cidr_block(VpcId=vpc, **{name: value})
    for cidr in ("127.0.0.0/16", "169.254.0.0/24", "224.0.0.0/16"):
        with refused("InvalidVpc.Range"):
            ec2.create_vpc(CidrBlock=cidr)


def test_there_are_five_of_each_ip_version(ec2: Any, vpc: str, refused: Any) -> None:
    for number in range(1, 5):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=f"10.{number}.0.0/16")
    for _ in range(5):
        associate6(ec2, vpc)
    with refused("CidrLimitExceeded", "maximum number of allowed CIDRs: 5"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.5.0.0/16")
    with refused("CidrLimitExceeded"):
        associate6(ec2, vpc)


def test_a_pool_that_is_given_away_has_nothing_left(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(ipv6_pool="fd00:1234::/55").ec2
    given = {ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
             ["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] for _ in range(2)}  # fmt: skip
    assert given == {"fd00:1234::/56", "fd00:1234:0:100::/56"}
    with refused("InsufficientCidrBlocks"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)
    assert len(ec2.describe_vpcs()["Vpcs"]) == 3


def test_the_primary_range_and_one_with_subnets_stay(ec2: Any, vpc: str, refused: Any) -> None:
    (primary,) = see(ec2, vpc)["CidrBlockAssociationSet"]
    with refused("OperationNotPermitted", "It is the primary IPv4 CIDR block of the VPC"):
        ec2.disassociate_vpc_cidr_block(AssociationId=primary["AssociationId"])
    second = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    sixth = associate6(ec2, vpc)
    cidr6 = sixth["Ipv6CidrBlock"].replace("/56", "/64")
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24", Ipv6CidrBlock=cidr6)
    for each in (second, sixth):
        with refused("InvalidCidrBlock.InUse", f"The vpc {vpc} currently has a subnet within CIDR block"):
            ec2.disassociate_vpc_cidr_block(AssociationId=each["AssociationId"])
    with refused("InvalidVpcCidrBlockAssociationID.NotFound"):
        ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-00000000000000000")


def test_a_route_into_a_range_keeps_the_range_out(ec2: Any, vpc: str, refused: Any) -> None:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="10.1.0.0/24", GatewayId=gateway)
    with refused("InvalidVpc.Range", "10.1.0.0/24"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/25")


def test_ranges_of_peers_are_kept_out_and_peers_hear_of_new_ones(
    cloud: Cloud, ec2: Any, vpc: str, refused: Any
) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    third = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    peer(cloud, vpc, other)
    for mine, theirs in ((vpc, "10.1.0.0/16"), (other, "10.0.3.0/24")):
        with refused("InvalidVpc.Range"):
            ec2.associate_vpc_cidr_block(VpcId=mine, CidrBlock=theirs)
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.2.0.0/16")
    assert {vpc, other} <= synced(cloud) and third not in synced(cloud)


def test_a_range_of_the_external_network_and_a_way_out_exclude_each_other(
    cloud: Cloud, ec2: Any, vpc: str, refused: Any
) -> None:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    block = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="198.18.0.0/16")["CidrBlockAssociation"]
    with refused("InvalidVpc.Range", "overlaps with the external network 198.18.0.0/16"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.disassociate_vpc_cidr_block(AssociationId=block["AssociationId"])
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("InvalidVpc.Range", "external network"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="198.18.7.0/24")
    assert cloud.look(lambda db: db.get_one(Vpc, vpc).uplink_address)


def test_another_account_sees_and_touches_nothing(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    block = associate6(ec2, vpc)
    other = cloud.another_account()
    with refused("InvalidVpcID.NotFound"):
        other.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")
    with refused("InvalidVpcCidrBlockAssociationID.NotFound"):
        other.disassociate_vpc_cidr_block(AssociationId=block["AssociationId"])
    assert len(see(ec2, vpc)["Ipv6CidrBlockAssociationSet"]) == 1

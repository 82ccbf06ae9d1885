"""Subnets through a real client."""

from typing import Any

import pytest

from tests.cloud import OPERATOR, Cloud


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def test_a_new_subnet_reads_back_as_it_was_asked_for(ec2: Any, vpc: str) -> None:
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.1.9/24", AvailabilityZone="us-east-1b",
        TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )["Subnet"]  # fmt: skip
    id = subnet["SubnetId"]
    assert subnet == {
        "SubnetId": id,
        "SubnetArn": f"arn:aws:ec2:us-east-1:{OPERATOR}:subnet/{id}",
        "OwnerId": OPERATOR,
        "VpcId": vpc,
        "State": "available",
        "CidrBlock": "10.0.1.0/24",
        "Ipv6CidrBlockAssociationSet": [],
        "AvailabilityZone": "us-east-1b",
        "AvailabilityZoneId": "use1-az2",
        "AvailableIpAddressCount": 251,
        "DefaultForAz": False,
        "MapPublicIpOnLaunch": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": [{"Key": "Name", "Value": "web"}],
    }
    assert ec2.describe_subnets(SubnetIds=[id])["Subnets"] == [subnet]


def test_a_zone_is_named_by_its_name_or_its_id_or_is_the_first(ec2: Any, vpc: str, refused: Any) -> None:
    first = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]
    by_id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", AvailabilityZoneId="use1-az3")["Subnet"]
    assert (first["AvailabilityZone"], by_id["AvailabilityZone"]) == ("us-east-1a", "us-east-1c")
    with refused("InvalidParameterValue", "us-east-1a, us-east-1b, us-east-1c"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.3.0/24", AvailabilityZone="us-east-1z")
    with refused("InvalidParameterValue", "use1-az1"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.3.0/24", AvailabilityZoneId="use1-az9")
    with refused("InvalidParameterCombination"):
        ec2.create_subnet(
            VpcId=vpc, CidrBlock="10.0.3.0/24", AvailabilityZone="us-east-1a", AvailabilityZoneId="use1-az1"
        )


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.0.0/15", "InvalidSubnet.Range"),
        ("10.0.0.0/29", "InvalidSubnet.Range"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.7.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict"),
        ("10.0.0/24", "InvalidParameterValue"),
        ("", "MissingParameter"),
    ],
)
def test_a_range_that_ec2_refuses_is_refused(ec2: Any, vpc: str, refused: Any, cidr: str, code: str) -> None:
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.7.0/24")
    with refused(code):
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)
    assert len(ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]) == 1


def test_what_is_ipv6_alone_or_needs_ipam_is_refused(ec2: Any, vpc: str, refused: Any) -> None:
    for name, value in (("Ipv6Native", True), ("Ipv4IpamPoolId", "ipam-pool-1"), ("Ipv6NetmaskLength", 64),
                        ("OutpostArn", "arn:x")):  # fmt: skip
        with refused("UnsupportedOperation", name):
            ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", **{name: value})


def test_an_attribute_is_modified_one_at_a_time(ec2: Any, vpc: str, refused: Any) -> None:
    id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    yes, no = {"Value": True}, {"Value": False}
    ec2.modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch=yes)
    ec2.modify_subnet_attribute(SubnetId=id, PrivateDnsHostnameTypeOnLaunch="resource-name")
    ec2.modify_subnet_attribute(SubnetId=id, EnableResourceNameDnsARecordOnLaunch=yes)
    ec2.modify_subnet_attribute(SubnetId=id, EnableResourceNameDnsAAAARecordOnLaunch=yes)
    ec2.modify_subnet_attribute(SubnetId=id, AssignIpv6AddressOnCreation=no)
    ec2.modify_subnet_attribute(SubnetId=id, EnableDns64=no)
    (subnet,) = ec2.describe_subnets(SubnetIds=[id])["Subnets"]
    assert subnet["MapPublicIpOnLaunch"] and subnet["PrivateDnsNameOptionsOnLaunch"] == {
        "HostnameType": "resource-name",
        "EnableResourceNameDnsARecord": True,
        "EnableResourceNameDnsAAAARecord": True,
    }
    for name in ("EnableDns64", "MapCustomerOwnedIpOnLaunch"):
        with refused("UnsupportedOperation", name):
            ec2.modify_subnet_attribute(SubnetId=id, **{name: yes})
    with refused("InvalidParameterCombination"):
        ec2.modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch=no, EnableResourceNameDnsARecordOnLaunch=no)
    with refused("MissingParameter"):
        ec2.modify_subnet_attribute(SubnetId=id)
    assert ec2.describe_subnets(SubnetIds=[id])["Subnets"] == [subnet]


def test_subnets_are_filtered_and_paged(ec2: Any, vpc: str, refused: Any) -> None:
    ids = sorted(
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
        for i in range(7)
    )
    mine = {"Name": "vpc-id", "Values": [vpc]}
    pages = ec2.get_paginator("describe_subnets").paginate(Filters=[mine], PaginationConfig={"PageSize": 5})
    assert [s["SubnetId"] for page in pages for s in page["Subnets"]] == ids

    def count(name: str, *values: str) -> int:
        return len(ec2.describe_subnets(Filters=[mine, {"Name": name, "Values": list(values)}])["Subnets"])

    assert count("cidr-block", "10.0.3.0/24", "10.0.4.0/24") == 2
    assert count("availability-zone-id", "use1-az2") == 7 and count("availabilityZoneId", "use1-az1") == 0
    assert count("subnet-arn", f"arn:aws:ec2:us-east-1:{OPERATOR}:subnet/{ids[0]}") == 1
    assert count("available-ip-address-count", "251") == 7 and count("default-for-az", "true") == 0
    assert count("ipv6-cidr-block-association.association-id", "subnet-cidr-assoc-1") == 0
    with refused("InvalidParameterValue"):
        count("nonsense", "x")


def test_a_subnet_with_an_interface_is_not_deleted(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    eni = ec2.create_network_interface(SubnetId=id)["NetworkInterface"]["NetworkInterfaceId"]
    (subnet,) = ec2.describe_subnets(SubnetIds=[id])["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 250
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=id)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    ec2.delete_subnet(SubnetId=id)
    with refused("InvalidSubnetID.NotFound"):
        ec2.describe_subnets(SubnetIds=[id])
    ec2.delete_vpc(VpcId=vpc)
    cloud.settle()


def test_a_deleted_subnet_leaves_its_associations(ec2: Any, vpc: str) -> None:
    id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=id)
    ec2.delete_subnet(SubnetId=id)
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert found["Associations"] == []
    (acl,) = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
    assert acl["Associations"] == []


def test_a_default_subnet_can_be_made_again(ec2: Any, refused: Any) -> None:
    here = [{"Name": "availability-zone", "Values": ["us-east-1b"]}]
    (old,) = ec2.describe_subnets(Filters=here)["Subnets"]
    with refused("DefaultSubnetAlreadyExistsInAvailabilityZone", old["SubnetId"]):
        ec2.create_default_subnet(AvailabilityZone="us-east-1b")
    ec2.delete_subnet(SubnetId=old["SubnetId"])
    new = ec2.create_default_subnet(AvailabilityZoneId="use1-az2")["Subnet"]
    assert new["DefaultForAz"] and new["MapPublicIpOnLaunch"] and new["CidrBlock"] == old["CidrBlock"]
    with refused("MissingParameter"):
        ec2.create_default_subnet()
    with refused("UnsupportedOperation"):
        ec2.create_default_subnet(AvailabilityZone="us-east-1b", Ipv6Native=True)


def test_a_default_subnet_needs_room_in_a_default_vpc(ec2: Any, refused: Any) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=vpc["CidrBlock"])
    with refused("InvalidSubnet.Conflict", "/20"):
        ec2.create_default_subnet(AvailabilityZone="us-east-1a")
    (whole,) = ec2.describe_subnets()["Subnets"]
    ec2.delete_subnet(SubnetId=whole["SubnetId"])
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    with refused("DefaultVpcDoesNotExist"):
        ec2.create_default_subnet(AvailabilityZone="us-east-1a")


def test_another_accounts_subnet_is_not_found(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    other = cloud.another_account()
    for act in (
        lambda: other.describe_subnets(SubnetIds=[id]),
        lambda: other.delete_subnet(SubnetId=id),
        lambda: other.modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch={"Value": True}),
    ):
        with refused("InvalidSubnetID.NotFound"):
            act()
    with refused("InvalidVpcID.NotFound"):
        other.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24")


def test_a_dry_run_changes_nothing(ec2: Any, vpc: str, refused: Any) -> None:
    id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    before = ec2.describe_subnets()["Subnets"]
    with refused("DryRunOperation"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", DryRun=True)
    with refused("DryRunOperation"):
        ec2.delete_subnet(SubnetId=id, DryRun=True)
    assert ec2.describe_subnets()["Subnets"] == before

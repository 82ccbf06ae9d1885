"""Regions, zones, account attributes and the caller's identity through a real client."""

from collections.abc import Callable
from typing import Any

from tests.cloud import OPERATOR, REGION, Cloud


def test_every_region_of_the_deployment_is_described(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    ec2 = make_cloud(regions="us-east-1,eu-west-1,dc-1").ec2
    regions = ec2.describe_regions(AllRegions=True)["Regions"]
    assert [r["RegionName"] for r in regions] == ["dc-1", "eu-west-1", "us-east-1"]
    assert regions[2]["Endpoint"] == "ec2.us-east-1.amazonaws.com"
    assert {r["OptInStatus"] for r in regions} == {"opt-in-not-required"}
    (one,) = ec2.describe_regions(RegionNames=["dc-1"])["Regions"]
    assert one["RegionName"] == "dc-1"
    chosen = [{"Name": "endpoint", "Values": ["*eu-west-1*"]}, {"Name": "opt-in-status", "Values": ["opt-in*"]}]
    assert [r["RegionName"] for r in ec2.describe_regions(Filters=chosen)["Regions"]] == ["eu-west-1"]
    with refused("InvalidParameterValue", "[mars-1]"):
        ec2.describe_regions(RegionNames=["mars-1", "dc-1"])


def test_zones_are_those_of_the_region_asked(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(regions="us-east-1,eu-west-1")
    zones = cloud.ec2.describe_availability_zones(AllAvailabilityZones=True)["AvailabilityZones"]
    assert [z["ZoneName"] for z in zones] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    zone = zones[0]
    assert (zone["ZoneId"], zone["ZoneType"], zone["State"]) == ("use1-az1", "availability-zone", "available")
    assert (zone["RegionName"], zone["NetworkBorderGroup"]) == (REGION, REGION)
    assert (zone["OptInStatus"], zone["GroupName"], zone["Messages"]) == ("opt-in-not-required", "us-east-1-zg-1", [])
    there = cloud.client(region="eu-west-1").describe_availability_zones()["AvailabilityZones"]
    assert {z["RegionName"] for z in there} == {"eu-west-1"}


def test_zones_are_chosen_by_name_id_and_filter(ec2: Any, refused: Any) -> None:
    def names(**asked: Any) -> list[str]:
        return [z["ZoneName"] for z in ec2.describe_availability_zones(**asked)["AvailabilityZones"]]

    assert names(ZoneNames=["us-east-1b"]) == names(ZoneIds=["use1-az2"]) == ["us-east-1b"]
    for name, value, count in (("zone-type", "availability-zone", 3), ("opt-in-status", "opted-in", 0),
                               ("zone-id", "*az3", 1), ("parent-zone-id", "x", 0), ("message", "x", 0)):  # fmt: skip
        assert len(names(Filters=[{"Name": name, "Values": [value]}])) == count, name
    with refused("InvalidParameterValue", "Invalid availability zone: [us-east-1z]"):
        names(ZoneNames=["us-east-1z"])
    with refused("InvalidParameterValue"):
        names(ZoneIds=["usw2-az1"])
    with refused("InvalidParameterValue", "nonsense"):
        names(Filters=[{"Name": "nonsense", "Values": ["x"]}])
    with refused("DryRunOperation"):
        names(DryRun=True)


def test_account_attributes_tell_the_default_vpc_and_the_real_limits(ec2: Any) -> None:
    found = {
        a["AttributeName"]: a["AttributeValues"][0]["AttributeValue"]
        for a in ec2.describe_account_attributes()["AccountAttributes"]
    }
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert found["default-vpc"] == vpc["VpcId"] and found["supported-platforms"] == "VPC"
    assert found["max-elastic-ips"] == found["vpc-max-elastic-ips"] == str(255 * 256 - 5)
    assert set(found) == {
        "default-vpc", "supported-platforms", "max-instances", "max-elastic-ips", "vpc-max-elastic-ips",
        "vpc-max-security-groups-per-interface",
    }  # fmt: skip
    (one,) = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"]
    assert one["AttributeName"] == "supported-platforms"


def test_an_account_without_a_default_vpc_is_told_none(ec2: Any) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    (found,) = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert found["AttributeValues"] == [{"AttributeValue": "none"}]


def test_sts_tells_the_caller_who_it_is(cloud: Cloud) -> None:
    found = cloud.client("sts").get_caller_identity()
    assert (found["Account"], found["UserId"]) == (OPERATOR, OPERATOR)
    assert found["Arn"] == f"arn:aws:iam::{OPERATOR}:root"
    cloud.another_account()
    other = cloud.client("sts", key="AKIA222222222222", secret="secret222222222222").get_caller_identity()
    assert other["Account"] == "222222222222"

"""VPCs through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine.addresses import Exhausted
from engine.state import Vpc
from tests.cloud import Cloud


def test_an_account_is_born_with_a_default_vpc(ec2: Any) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"] and vpc["CidrBlock"] == "172.31.0.0/16" and vpc["State"] == "available"


def test_a_new_vpc_is_pending_in_the_answer_and_available_after(ec2: Any) -> None:
    vpc = ec2.create_vpc(
        CidrBlock="10.0.0.7/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "a<b>&"}]}],
    )["Vpc"]
    assert (vpc["State"], vpc["CidrBlock"], vpc["IsDefault"]) == ("pending", "10.0.0.0/16", False)
    assert vpc["Tags"] == [{"Key": "Name", "Value": "a<b>&"}]
    (found,) = ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"]
    assert found == vpc | {"State": "available"}


def test_a_range_that_ec2_refuses_is_refused(ec2: Any, refused: Any) -> None:
    for cidr, code in (("10.0.0.0/15", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range"),
                       ("10.0.0.0", "InvalidParameterValue"), ("10.0.0/16x", "InvalidParameterValue")):  # fmt: skip
        with refused(code):
            ec2.create_vpc(CidrBlock=cidr)
    with refused("MissingParameter"):
        ec2.create_vpc()
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1


def test_vpcs_are_filtered_and_paged(ec2: Any, refused: Any) -> None:
    ids = sorted(ec2.create_vpc(CidrBlock=f"10.{i}.0.0/16")["Vpc"]["VpcId"] for i in range(7))
    chosen = [{"Name": "cidr", "Values": ["10.*"]}, {"Name": "is-default", "Values": ["false"]}]
    pages = ec2.get_paginator("describe_vpcs").paginate(Filters=chosen, PaginationConfig={"PageSize": 5})
    assert [v["VpcId"] for p in pages for v in p["Vpcs"]] == ids
    with refused("InvalidParameterValue"):
        ec2.describe_vpcs(Filters=[{"Name": "nonsense", "Values": ["x"]}])
    with refused("InvalidNextToken"):
        ec2.describe_vpcs(NextToken="x", MaxResults=5)


def test_another_accounts_vpc_is_not_found(cloud: Cloud, ec2: Any, refused: Any) -> None:
    mine = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    other = cloud.another_account()
    with refused("InvalidVpcID.NotFound"):
        other.describe_vpcs(VpcIds=[mine])
    with refused("InvalidVpcID.NotFound"):
        other.delete_vpc(VpcId=mine)
    assert mine not in [v["VpcId"] for v in other.describe_vpcs()["Vpcs"]]


def test_a_dry_run_changes_nothing(ec2: Any, refused: Any) -> None:
    with refused("DryRunOperation"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1


def test_a_parameter_that_is_not_honoured_is_refused(ec2: Any, refused: Any) -> None:
    with refused("UnsupportedOperation", "Ipv4IpamPoolId"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", Ipv4IpamPoolId="ipam-pool-1")


def test_a_vpc_that_was_dedicated_can_be_so_no_more(cloud: Cloud, ec2: Any, refused: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", InstanceTenancy="dedicated")["Vpc"]["VpcId"]
    assert ec2.modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="default")["ReturnValue"] is True
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["InstanceTenancy"] == "default"
    with refused("InvalidParameterValue"):
        ec2.modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="dedicated")
    with refused("InvalidVpcID.NotFound"):
        cloud.another_account().modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="default")


def test_vpcs_end_with_the_vlan_ids(ec2: Any, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise Exhausted("VLAN ids")

    monkeypatch.setattr("engine.default_vpc.free_vlan", none_left)
    with refused("VpcLimitExceeded", "no free VLAN ids"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    monkeypatch.undo()
    other = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    assert {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]} == {vpc["VpcId"], other}


def test_a_default_vpc_needs_a_vlan_id_as_well(cloud: Cloud, ec2: Any, refused: Any) -> None:
    def none_left(*_: object) -> None:
        raise Exhausted("VLAN ids")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translators.vpcs.make_default_vpc", none_left)
        with cloud.database.write() as db:
            for vpc in db.scalars(select(Vpc)):
                vpc.is_default = False
        with refused("VpcLimitExceeded", "no free VLAN ids"):
            ec2.create_default_vpc()

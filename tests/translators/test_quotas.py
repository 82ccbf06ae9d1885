"""Limits, as the operator set them."""

from collections.abc import Callable
from typing import Any

from tests.cloud import Cloud


def test_more_than_the_limit_is_refused_and_nothing_is_made(
    make_cloud: Callable[..., Cloud], refused: Callable[..., Any]
) -> None:
    ec2 = make_cloud(quotas={"vpcs": 2, "subnets per VPC": 1}).ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with refused("VpcLimitExceeded"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16")
    assert len(ec2.describe_vpcs()["Vpcs"]) == 2
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")
    with refused("SubnetLimitExceeded"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")

"""What Elastic IP addresses do not have: domain names, and a past in EC2-Classic."""

from typing import Any

from tests.cloud import Cloud
from tests.translators.nats import allocate


def test_no_reverse_dns_is_served(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id, _ = allocate(ec2)
    with refused("UnsupportedOperation", "No reverse DNS is served"):
        ec2.modify_address_attribute(AllocationId=id, DomainName="example.com.")
    with refused("UnsupportedOperation", "No reverse DNS is served"):
        ec2.reset_address_attribute(AllocationId=id, Attribute="domain-name")
    with refused("MissingParameter"):
        ec2.modify_address_attribute(AllocationId=id)
    assert (
        ec2.describe_addresses_attribute(AllocationIds=[id], Attribute="domain-name", MaxResults=5)["Addresses"] == []
    )
    with refused("InvalidNextToken"):
        ec2.describe_addresses_attribute(NextToken="x")
    other = cloud.another_account()
    for act in (
        lambda: other.modify_address_attribute(AllocationId=id, DomainName="example.com."),
        lambda: other.reset_address_attribute(AllocationId=id, Attribute="domain-name"),
        lambda: other.describe_addresses_attribute(AllocationIds=[id]),
    ):
        with refused("InvalidAllocationID.NotFound"):
            act()


def test_nothing_moves_from_or_to_ec2_classic(cloud: Cloud, ec2: Any, refused: Any) -> None:
    _, public = allocate(ec2)
    for act in (ec2.move_address_to_vpc, ec2.restore_address_to_classic):
        with refused("UnsupportedOperation", "there is no EC2-Classic"):
            act(PublicIp=public)
        with refused("InvalidAddress.NotFound"):
            act(PublicIp="198.18.9.9")
    moving = [{"Name": "moving-status", "Values": ["MovingToVpc"]}]
    assert ec2.describe_moving_addresses(PublicIps=[public], Filters=moving)["MovingAddressStatuses"] == []
    with refused("InvalidAddress.NotFound"):
        cloud.another_account().describe_moving_addresses(PublicIps=[public])
    with refused("InvalidParameterValue"):
        ec2.describe_moving_addresses(Filters=[{"Name": "x", "Values": ["y"]}])

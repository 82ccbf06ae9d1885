"""Interfaces that their owner sees and cannot change: those of NAT gateways."""

import re
from typing import Any

import pytest

from tests.cloud import OPERATOR, Cloud
from tests.translators.nats import allocate, make_gateway, make_subnet, make_vpc, see, see_interface


@pytest.fixture
def subnet(ec2: Any) -> str:
    return make_subnet(ec2, make_vpc(ec2))


def test_a_gateways_interface_is_shown_as_ec2_shows_it(cloud: Cloud, ec2: Any, subnet: str) -> None:
    id = make_gateway(ec2, subnet)
    cloud.settle()
    (address,) = see(ec2, id)["NatGatewayAddresses"]
    found = see_interface(ec2, id)
    assert (found["InterfaceType"], found["Status"]) == ("nat_gateway", "in-use")
    assert found["Description"] == f"Interface for NAT Gateway {id}"
    assert found["RequesterManaged"] is True and found["RequesterId"] == "amazon-aws"
    assert found["SourceDestCheck"] is False and found["Groups"] == [] and found["OwnerId"] == OPERATOR
    attachment = dict(found["Attachment"])
    assert re.fullmatch("ela-attach-[0-9a-f]{17}", attachment.pop("AttachmentId")) and attachment.pop("AttachTime")
    assert attachment == {
        "DeleteOnTermination": False, "DeviceIndex": 1, "NetworkCardIndex": 0, "InstanceOwnerId": "amazon-aws",
        "Status": "attached",
    }  # fmt: skip
    assert found["PrivateIpAddress"] == address["PrivateIp"]
    assert found["Association"]["AllocationId"] == address["AllocationId"]
    assert found["Association"]["AssociationId"] == address["AssociationId"]
    ec2.create_network_interface(SubnetId=subnet)
    for name, value in (
        ("interface-type", "nat_gateway"), ("requester-managed", "true"), ("requester-id", "amazon-aws"),
        ("attachment.instance-owner-id", "amazon-aws"), ("description", f"*{id}"),
    ):  # fmt: skip
        asked = [{"Name": name, "Values": [value]}]
        assert ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"] == [found]


def test_nobody_but_the_gateway_changes_its_interface(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make_gateway(ec2, subnet)
    cloud.settle()
    (address,) = see(ec2, id)["NatGatewayAddresses"]
    eni, allocation = address["NetworkInterfaceId"], address["AllocationId"]
    own = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    free, _ = allocate(ec2)
    for act in (
        lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Description={"Value": "mine"}),
        lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True}),
        lambda: ec2.reset_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck="x"),
        lambda: ec2.associate_address(AllocationId=free, NetworkInterfaceId=eni),
        lambda: ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=own),
        lambda: ec2.disassociate_address(AssociationId=address["AssociationId"]),
        lambda: ec2.disassociate_address(PublicIp=address["PublicIp"]),
        lambda: ec2.release_address(AllocationId=allocation),
    ):
        with refused("AuthFailure", "You do not have permission to access the specified resource."):
            act()
    with refused("InvalidParameterValue", "is currently in use"):
        ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert see(ec2, id)["NatGatewayAddresses"] == [address]


def test_in_a_default_vpc_too_a_gateways_address_is_not_released(ec2: Any, refused: Any) -> None:
    allocation, _ = allocate(ec2)
    make_gateway(ec2, ec2.describe_subnets()["Subnets"][0]["SubnetId"], AllocationId=allocation)
    with refused("AuthFailure"):
        ec2.release_address(AllocationId=allocation)

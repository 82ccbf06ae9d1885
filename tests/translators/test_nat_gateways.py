"""NAT gateways through a real client: made, failed, described, deleted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine import desired
from engine.drivers.networking import Nat, NatGateway
from tests.cloud import OPERATOR, Cloud
from tests.translators.nats import allocate, make_gateway, make_subnet, make_vpc, see, see_interface, statuses


@pytest.fixture
def vpc(ec2: Any) -> str:
    return make_vpc(ec2)


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return make_subnet(ec2, vpc)


def gateways(cloud: Cloud, vpc: str) -> tuple[NatGateway, ...]:
    """Return the NAT gateways that the network should have."""
    wanted = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert wanted is not None
    return wanted.nat_gateways


def free(ec2: Any, subnet: str) -> int:
    return int(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"])


# -- made ----------------------------------------------------------------------


def test_a_public_gateway_is_pending_and_then_available(cloud: Cloud, ec2: Any, vpc: str, subnet: str) -> None:
    allocation, public = allocate(ec2)
    tags = [{"Key": "Name", "Value": "out"}]
    made = ec2.create_nat_gateway(
        SubnetId=subnet, AllocationId=allocation, PrivateIpAddress="10.0.1.50", ClientToken="once",
        TagSpecifications=[{"ResourceType": "natgateway", "Tags": tags}],
    )  # fmt: skip
    gateway = made["NatGateway"]
    id = gateway["NatGatewayId"]
    (address,) = gateway.pop("NatGatewayAddresses")
    assert re.fullmatch("nat-[0-9a-f]{17}", id) and made["ClientToken"] == "once"
    assert abs(gateway.pop("CreateTime") - datetime.now(UTC)) < timedelta(minutes=1)
    common = {
        "NatGatewayId": id, "VpcId": vpc, "SubnetId": subnet, "ConnectivityType": "public", "AvailabilityMode": "zonal",
        "Tags": tags,
    }  # fmt: skip
    assert gateway == common | {"State": "pending"}
    assert address == {
        "AllocationId": allocation, "PublicIp": public, "PrivateIp": "10.0.1.50", "IsPrimary": True,
        "Status": "associating", "NetworkInterfaceId": address["NetworkInterfaceId"],
        "AssociationId": address["AssociationId"],
    }  # fmt: skip
    wanted = NatGateway(id, subnet, ("10.0.1.50",), (Nat("10.0.1.50", public),))
    assert gateways(cloud, vpc) == (wanted,)
    cloud.settle()
    found = see(ec2, id)
    assert found.pop("NatGatewayAddresses") == [address | {"Status": "succeeded"}]
    del found["CreateTime"]
    assert found == common | {"State": "available"}
    (elastic,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert (elastic["AssociationId"], elastic["PrivateIpAddress"]) == (address["AssociationId"], "10.0.1.50")
    assert (elastic["NetworkInterfaceId"], elastic["NetworkInterfaceOwnerId"]) == (
        address["NetworkInterfaceId"], OPERATOR
    )  # fmt: skip


def test_a_private_gateway_needs_no_way_out_and_has_nothing_public(cloud: Cloud, ec2: Any) -> None:
    vpc = make_vpc(ec2, way_out=False)
    subnet = make_subnet(ec2, vpc)
    id = make_gateway(ec2, subnet, ConnectivityType="private")
    assert statuses(ec2, id) == ["assigning"]
    cloud.settle()
    found = see(ec2, id)
    assert (found["State"], found["ConnectivityType"]) == ("available", "private")
    (address,) = found["NatGatewayAddresses"]
    assert address.keys() == {"NetworkInterfaceId", "PrivateIp", "IsPrimary", "Status"}
    assert gateways(cloud, vpc) == (NatGateway(id, subnet, (address["PrivateIp"],)),)


def test_a_gateway_is_made_with_several_addresses(cloud: Cloud, ec2: Any, vpc: str, subnet: str) -> None:
    (first, first_public), (second, second_public) = allocate(ec2), allocate(ec2)
    public = make_gateway(
        ec2, subnet, AllocationId=first, PrivateIpAddress="10.0.1.50", SecondaryAllocationIds=[second],
        SecondaryPrivateIpAddresses=["10.0.1.40"],
    )  # fmt: skip
    private = make_gateway(
        ec2, subnet, ConnectivityType="private", PrivateIpAddress="10.0.1.60",
        SecondaryPrivateIpAddresses=["10.0.1.62", "10.0.1.61"],
    )  # fmt: skip
    counted = make_gateway(ec2, subnet, ConnectivityType="private", SecondaryPrivateIpAddressCount=7)
    wanted = {gateway.id: gateway for gateway in gateways(cloud, vpc)}
    assert wanted[public].nats == (Nat("10.0.1.50", first_public), Nat("10.0.1.40", second_public))
    assert wanted[private].addresses == ("10.0.1.60", "10.0.1.62", "10.0.1.61")
    assert len(set(wanted[counted].addresses)) == 8
    addresses = see(ec2, public)["NatGatewayAddresses"]
    assert [(a["AllocationId"], a["IsPrimary"]) for a in addresses] == [(first, True), (second, False)]
    assert free(ec2, subnet) == 251 - 2 - 3 - 8


def test_an_elastic_ip_without_a_named_address_gets_a_free_one(ec2: Any, subnet: str) -> None:
    second, _ = allocate(ec2)
    id = make_gateway(ec2, subnet, PrivateIpAddress="10.0.1.50", SecondaryAllocationIds=[second])
    first, other = (address["PrivateIp"] for address in see(ec2, id)["NatGatewayAddresses"])
    assert first == "10.0.1.50" and other.startswith("10.0.1.") and other != first


def test_what_cannot_be_is_refused_at_once(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    one, two, three = (allocate(ec2)[0] for _ in range(3))
    ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.99")
    private = {"ConnectivityType": "private"}
    gone = "eipalloc-00000000000000000"
    for code, asked in (
        ("MissingParameter", {"AllocationId": one, "SubnetId": ""}),
        ("InvalidSubnetID.NotFound", {"AllocationId": one, "SubnetId": "subnet-00000000000000000"}),
        ("MissingParameter", {}),
        ("InvalidElasticIpID.NotFound", {"AllocationId": gone}),
        ("InvalidElasticIpID.NotFound", {"AllocationId": one, "SecondaryAllocationIds": [gone]}),
        ("InvalidParameter", {"AllocationId": one, "SecondaryAllocationIds": [one]}),
        ("InvalidParameter", {"AllocationId": one, "SecondaryPrivateIpAddressCount": 1}),
        ("InvalidParameter", {"AllocationId": one, "SecondaryPrivateIpAddresses": ["10.0.1.40"]}),
        ("AddressLimitExceeded", {"AllocationId": one, "SecondaryAllocationIds": [two, three]}),
        ("InvalidParameter", {**private, "AllocationId": one}),
        ("InvalidParameter", {**private, "SecondaryAllocationIds": [one]}),
        (
            "InvalidParameter",
            {**private, "SecondaryPrivateIpAddresses": ["10.0.1.40"], "SecondaryPrivateIpAddressCount": 1},
        ),
        ("InvalidParameter", {**private, "PrivateIpAddress": "10.0.1.4", "SecondaryPrivateIpAddresses": ["10.0.1.4"]}),
        ("PrivateIpAddressLimitExceeded", {**private, "SecondaryPrivateIpAddressCount": 8}),
        ("InvalidParameterValue", {**private, "PrivateIpAddress": "10.0.2.40"}),
        ("InvalidParameterValue", {**private, "PrivateIpAddress": "10.0.1.1"}),
        ("InvalidParameterValue", {**private, "PrivateIpAddress": "nowhere"}),
        ("InvalidIPAddress.InUse", {**private, "PrivateIpAddress": "10.0.1.99"}),
        ("UnsupportedOperation", {**private, "AvailabilityMode": "regional"}),
        ("UnsupportedOperation", {**private, "VpcId": vpc}),
        ("InvalidParameterValue", {**private, "TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]}),
        ("DryRunOperation", {**private, "DryRun": True}),
    ):
        with refused(code):
            ec2.create_nat_gateway(**{"SubnetId": subnet, **asked})
    assert ec2.describe_nat_gateways()["NatGateways"] == [] and free(ec2, subnet) == 250


def test_the_same_token_makes_one_gateway(ec2: Any, subnet: str, refused: Any) -> None:
    asked = {"SubnetId": subnet, "AllocationId": allocate(ec2)[0], "ClientToken": "once"}
    first, second = (ec2.create_nat_gateway(**asked)["NatGateway"] for _ in range(2))
    assert first == second and len(ec2.describe_nat_gateways()["NatGateways"]) == 1
    with refused("IdempotentParameterMismatch"):
        ec2.create_nat_gateway(**asked, ConnectivityType="public", PrivateIpAddress="10.0.1.9")


def test_a_zone_has_a_quota_of_gateways_that_are_not_gone(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(quotas={"NAT gateways per zone": 2})
    ec2 = cloud.ec2
    vpc = make_vpc(ec2)
    here = make_subnet(ec2, vpc, AvailabilityZone="us-east-1a")
    there = make_subnet(ec2, vpc, "10.0.2.0/24", AvailabilityZone="us-east-1b")
    private = {"ConnectivityType": "private"}
    ids = [make_gateway(ec2, here, **private) for _ in range(2)]
    with refused("NatGatewayLimitExceeded", "Performing this operation would exceed the limit of 2 NAT gateways"):
        make_gateway(ec2, here, **private)
    make_gateway(ec2, there, **private)
    cloud.settle()
    ec2.delete_nat_gateway(NatGatewayId=ids[0])
    with refused("NatGatewayLimitExceeded"):
        make_gateway(ec2, here, **private)
    cloud.settle()
    make_gateway(ec2, here, **private)


# -- failed --------------------------------------------------------------------


def test_without_an_internet_gateway_a_public_gateway_fails(cloud: Cloud, ec2: Any) -> None:
    vpc = make_vpc(ec2, way_out=False)
    subnet = make_subnet(ec2, vpc)
    allocation, public = allocate(ec2)
    id = make_gateway(ec2, subnet, AllocationId=allocation)
    pending = see(ec2, id)
    assert pending["State"] == "pending" and "FailureCode" not in pending and gateways(cloud, vpc) == ()
    cloud.settle()
    text = f"Network {vpc} has no Internet gateway attached"
    found = see(ec2, id)
    assert (found["State"], found["FailureCode"], found["FailureMessage"]) == ("failed", "Gateway.NotAttached", text)
    assert found["NatGatewayAddresses"] == [
        {
            "AllocationId": allocation, "PublicIp": public, "IsPrimary": True, "Status": "failed",
            "FailureMessage": text,
        }
    ]  # fmt: skip
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == [] and free(ec2, subnet) == 251
    ec2.delete_subnet(SubnetId=subnet)


def test_an_elastic_ip_that_is_in_use_makes_a_gateway_fail(cloud: Cloud, ec2: Any, subnet: str) -> None:
    allocation, _ = allocate(ec2)
    first, second = (make_gateway(ec2, subnet, AllocationId=allocation) for _ in range(2))
    cloud.settle()
    assert see(ec2, first)["State"] == "available"
    found = see(ec2, second)
    assert (found["State"], found["FailureCode"]) == ("failed", "Resource.AlreadyAssociated")
    assert found["FailureMessage"] == f"Elastic IP address {allocation} is already associated"


@pytest.mark.parametrize("asked", [{}, {"SecondaryPrivateIpAddressCount": 2}])
def test_in_a_full_subnet_a_gateway_fails_and_holds_nothing(cloud: Cloud, ec2: Any, vpc: str, asked: Any) -> None:
    subnet = make_subnet(ec2, vpc, "10.0.2.0/28")
    left = 2 if asked else 0
    for _ in range(11 - left):
        ec2.create_network_interface(SubnetId=subnet)
    id = make_gateway(ec2, subnet, ConnectivityType="private", **asked)
    cloud.settle()
    found = see(ec2, id)
    assert (found["State"], found["FailureCode"]) == ("failed", "InsufficientFreeAddressesInSubnet")
    assert found["FailureMessage"] == "Subnet has insufficient free addresses to create this NAT gateway"
    assert free(ec2, subnet) == left and len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 11 - left
    assert {"PrivateIp", "NetworkInterfaceId"}.isdisjoint(found["NatGatewayAddresses"][0])


def test_a_failed_gateway_can_be_deleted(cloud: Cloud, ec2: Any) -> None:
    id = make_gateway(ec2, make_subnet(ec2, make_vpc(ec2, way_out=False)))
    cloud.settle()
    ec2.delete_nat_gateway(NatGatewayId=id)
    cloud.settle()
    found = see(ec2, id)
    assert found["State"] == "deleted" and "FailureCode" not in found


# -- described -----------------------------------------------------------------


def test_gateways_are_filtered_and_paged(cloud: Cloud, ec2: Any, vpc: str, subnet: str) -> None:
    other = make_subnet(ec2, make_vpc(ec2, "10.9.0.0/16", way_out=False), "10.9.0.0/24", AvailabilityZone="us-east-1b")
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": "out"}]}]
    first = make_gateway(ec2, subnet, TagSpecifications=tags)
    cloud.settle()
    for number in range(5):
        make_gateway(ec2, subnet if number < 4 else other, ConnectivityType="private")

    def ids(*named: str, **filters: str) -> list[str]:
        asked = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        found = ec2.describe_nat_gateways(NatGatewayIds=[*named], Filter=asked)["NatGateways"]
        return [gateway["NatGatewayId"] for gateway in found]

    pages = ec2.get_paginator("describe_nat_gateways").paginate(PaginationConfig={"PageSize": 5})
    found = [[gateway["NatGatewayId"] for gateway in page["NatGateways"]] for page in pages]
    assert [len(page) for page in found] == [5, 1] and [id for page in found for id in page] == sorted(ids())
    for filters in (
        {"state": "available"}, {"nat_gateway_id": first}, {"tag:Name": "o*"}, {"tag_key": "Name"},
        {"state": "a*", "vpc_id": vpc},
    ):  # fmt: skip
        assert ids(**filters) == [first]
    assert len(ids(state="pending")) == len(ids(subnet_id=subnet)) == len(ids(vpc_id=vpc)) == 5
    assert ids(first, state="pending") == ids(vpc_id="vpc-1") == []


def test_an_unknown_gateway_is_not_found(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    gone = "nat-00000000000000000"
    for act in (ec2.delete_nat_gateway, lambda NatGatewayId: see(ec2, NatGatewayId)):
        with refused("NatGatewayNotFound", f"The Nat Gateway {gone} was not found"):
            act(NatGatewayId=gone)
        with refused("NatGatewayMalformed"):
            act(NatGatewayId="nat-x")
    mine = make_gateway(ec2, subnet)
    other = cloud.another_account()
    assert other.describe_nat_gateways()["NatGateways"] == []
    for act in (other.delete_nat_gateway, lambda NatGatewayId: see(other, NatGatewayId)):
        with refused("NatGatewayNotFound"):
            act(NatGatewayId=mine)
    with refused("InvalidSubnetID.NotFound"):
        make_gateway(other, subnet)
    theirs = other.describe_subnets()["Subnets"][0]["SubnetId"]
    with refused("InvalidElasticIpID.NotFound"):
        make_gateway(other, theirs, AllocationId=allocate(ec2)[0])


def test_a_gateway_is_tagged_and_untagged(ec2: Any, subnet: str) -> None:
    id = make_gateway(ec2, subnet)
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "a"}])
    assert see(ec2, id)["Tags"] == [{"Key": "b", "Value": "2"}]
    found = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["natgateway"]}])["Tags"]
    assert [(tag["ResourceId"], tag["Key"]) for tag in found] == [(id, "b")]


# -- deleted -------------------------------------------------------------------


def test_a_deleted_gateway_leaves_the_network_first_and_its_addresses_after_that(
    cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any
) -> None:
    id = make_gateway(ec2, subnet)
    cloud.settle()
    before = see(ec2, id)
    (address,) = before["NatGatewayAddresses"]
    assert ec2.delete_nat_gateway(NatGatewayId=id)["NatGatewayId"] == id
    assert see(ec2, id)["State"] == "deleting" and gateways(cloud, vpc) == ()
    assert ec2.delete_nat_gateway(NatGatewayId=id)["NatGatewayId"] == id
    with refused("AuthFailure"):
        ec2.release_address(AllocationId=address["AllocationId"])
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    cloud.settle()
    found = see(ec2, id)
    assert found.pop("DeleteTime") >= before["CreateTime"]
    assert found == before | {"State": "deleted"}
    with refused("NatGatewayNotFound"):
        ec2.delete_nat_gateway(NatGatewayId=id)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        see_interface(ec2, id)
    assert free(ec2, subnet) == 251
    ec2.release_address(AllocationId=address["AllocationId"])
    ec2.delete_subnet(SubnetId=subnet)
    assert see(ec2, id) == found | {"DeleteTime": see(ec2, id)["DeleteTime"]}


def test_things_are_deleted_in_the_right_order(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    id = make_gateway(ec2, subnet)
    cloud.settle()
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    (way_out,) = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    detach = {"InternetGatewayId": way_out["InternetGatewayId"], "VpcId": vpc}
    for act in (
        lambda: ec2.delete_subnet(SubnetId=subnet),
        lambda: ec2.delete_vpc(VpcId=vpc),
        lambda: ec2.detach_internet_gateway(**detach),
    ):
        with refused("DependencyViolation"):
            act()
    ec2.delete_nat_gateway(NatGatewayId=id)
    cloud.settle()
    ec2.detach_internet_gateway(**detach)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    assert see(ec2, id)["VpcId"] == vpc


def test_a_pending_gateway_can_be_deleted(cloud: Cloud, ec2: Any, subnet: str) -> None:
    id = make_gateway(ec2, subnet)
    ec2.delete_nat_gateway(NatGatewayId=id)
    cloud.settle()
    assert see(ec2, id)["State"] == "deleted" and free(ec2, subnet) == 251

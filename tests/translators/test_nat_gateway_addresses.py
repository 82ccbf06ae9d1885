"""Secondary addresses of NAT gateways through a real client."""

import time
from typing import Any

import pytest

from engine import desired, tasks
from engine.drivers.networking import Nat, NatGateway
from tests.cloud import Cloud
from tests.translators.nats import allocate, make_gateway, make_subnet, make_vpc, see, see_interface, statuses


@pytest.fixture
def vpc(ec2: Any) -> str:
    return make_vpc(ec2)


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return make_subnet(ec2, vpc)


@pytest.fixture
def public(cloud: Cloud, ec2: Any, subnet: str) -> str:
    id = make_gateway(ec2, subnet, PrivateIpAddress="10.0.1.50")
    cloud.settle()
    return id


@pytest.fixture
def private(cloud: Cloud, ec2: Any, subnet: str) -> str:
    id = make_gateway(ec2, subnet, ConnectivityType="private", PrivateIpAddress="10.0.1.60")
    cloud.settle()
    return id


def wanted(cloud: Cloud, id: str, vpc: str) -> NatGateway:
    """Return a gateway as it should be on the network."""
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None
    (found,) = (gateway for gateway in network.nat_gateways if gateway.id == id)
    return found


def test_an_associated_address_is_used_at_once_and_then_shown_as_succeeded(
    cloud: Cloud, ec2: Any, vpc: str, public: str
) -> None:
    allocation, address = allocate(ec2)
    asked = {"NatGatewayId": public, "AllocationIds": [allocation], "PrivateIpAddresses": ["10.0.1.40"]}
    answer = ec2.associate_nat_gateway_address(**asked)
    (added,) = answer["NatGatewayAddresses"]
    first, second = see(ec2, public)["NatGatewayAddresses"]
    assert answer["NatGatewayId"] == public and added == second
    assert second == {
        "AllocationId": allocation, "AssociationId": second["AssociationId"], "PublicIp": address,
        "NetworkInterfaceId": first["NetworkInterfaceId"], "PrivateIp": "10.0.1.40", "IsPrimary": False,
        "Status": "associating",
    }  # fmt: skip
    gateway = wanted(cloud, public, vpc)
    assert gateway.addresses == ("10.0.1.50", "10.0.1.40") and gateway.nats[1] == Nat("10.0.1.40", address)
    cloud.settle()
    assert statuses(ec2, public) == ["succeeded", "succeeded"]
    shown = see_interface(ec2, public)["PrivateIpAddresses"]
    assert [(a["PrivateIpAddress"], a["Primary"], a["Association"]["AssociationId"]) for a in shown] == [
        ("10.0.1.50", True, first["AssociationId"]), ("10.0.1.40", False, second["AssociationId"])
    ]  # fmt: skip


def test_a_disassociated_address_takes_nothing_new_until_it_is_free(
    cloud: Cloud, ec2: Any, vpc: str, subnet: str, public: str, refused: Any
) -> None:
    allocation, _ = allocate(ec2)
    ec2.associate_nat_gateway_address(
        NatGatewayId=public, AllocationIds=[allocation], PrivateIpAddresses=["10.0.1.40"]
    )  # fmt: skip
    cloud.settle()
    (added,) = see(ec2, public)["NatGatewayAddresses"][1:]
    association = added["AssociationId"]
    answer = ec2.disassociate_nat_gateway_address(
        NatGatewayId=public, AssociationIds=[association], MaxDrainDurationSeconds=90
    )  # fmt: skip
    assert answer["NatGatewayAddresses"] == [added | {"Status": "disassociating"}]
    gateway, begun = wanted(cloud, public, vpc), time.time()
    assert gateway.addresses == ("10.0.1.50", "10.0.1.40") and len(gateway.nats) == 2
    assert gateway.draining == ("10.0.1.40",)
    for later in (1, 60, 88):
        tasks.run_one(cloud.engine, begun + later)
        assert statuses(ec2, public) == ["succeeded", "disassociating"]
        with refused("AuthFailure"):
            ec2.release_address(AllocationId=allocation)
    tasks.run_one(cloud.engine, begun + 95)
    assert statuses(ec2, public) == ["succeeded"]
    assert wanted(cloud, public, vpc) == NatGateway(public, subnet, ("10.0.1.50",), gateway.nats[:1])
    ec2.release_address(AllocationId=allocation)
    ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.40")
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_nat_gateway_address(NatGatewayId=public, AssociationIds=[association])


def test_private_addresses_are_assigned_and_unassigned(cloud: Cloud, ec2: Any, vpc: str, private: str) -> None:
    named = ec2.assign_private_nat_gateway_address(NatGatewayId=private, PrivateIpAddresses=["10.0.1.62", "10.0.1.61"])
    shown = [(a["PrivateIp"], a["Status"], a["IsPrimary"]) for a in named["NatGatewayAddresses"]]
    assert shown == [("10.0.1.62", "assigning", False), ("10.0.1.61", "assigning", False)]
    assert named["NatGatewayAddresses"][0].keys().isdisjoint({"AllocationId", "PublicIp", "AssociationId"})
    cloud.settle()
    counted = ec2.assign_private_nat_gateway_address(NatGatewayId=private, PrivateIpAddressCount=2)
    free = tuple(address["PrivateIp"] for address in counted["NatGatewayAddresses"])
    cloud.settle()
    assert statuses(ec2, private) == ["succeeded"] * 5
    assert wanted(cloud, private, vpc).addresses == ("10.0.1.60", "10.0.1.62", "10.0.1.61", *free)
    answer = ec2.unassign_private_nat_gateway_address(NatGatewayId=private, PrivateIpAddresses=["10.0.1.62", free[0]])
    assert [a["Status"] for a in answer["NatGatewayAddresses"]] == ["unassigning"] * 2
    assert wanted(cloud, private, vpc).draining == ("10.0.1.62", free[0])
    cloud.settle()
    gateway = wanted(cloud, private, vpc)
    assert gateway.addresses == ("10.0.1.60", "10.0.1.61", free[1]) and gateway.draining == ()
    ec2.assign_private_nat_gateway_address(NatGatewayId=private, PrivateIpAddresses=["10.0.1.62"])
    assert wanted(cloud, private, vpc).addresses[-1] == "10.0.1.62"


def test_one_change_is_made_at_a_time(cloud: Cloud, ec2: Any, public: str, refused: Any) -> None:
    (first, _), (second, _) = allocate(ec2), allocate(ec2)
    (added,) = ec2.associate_nat_gateway_address(NatGatewayId=public, AllocationIds=[first])["NatGatewayAddresses"]
    with refused("OperationInProgress", f"Service is currently ASSOCIATING the following EIPs: [{first}]."):
        ec2.associate_nat_gateway_address(NatGatewayId=public, AllocationIds=[second])
    cloud.settle()
    association = [added["AssociationId"]]
    ec2.disassociate_nat_gateway_address(NatGatewayId=public, AssociationIds=association)
    for act in (
        lambda: ec2.associate_nat_gateway_address(NatGatewayId=public, AllocationIds=[second]),
        lambda: ec2.disassociate_nat_gateway_address(NatGatewayId=public, AssociationIds=association),
    ):
        with refused("OperationInProgress", "DISASSOCIATING"):
            act()
    ec2.delete_nat_gateway(NatGatewayId=public)
    cloud.settle()
    assert see(ec2, public)["State"] == "deleted"
    ec2.release_address(AllocationId=first)


def test_what_cannot_be_is_refused(
    cloud: Cloud, ec2: Any, subnet: str, public: str, private: str, refused: Any
) -> None:
    (one, _), (two, _), (used, _) = allocate(ec2), allocate(ec2), allocate(ec2)
    eni = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.99")["NetworkInterface"]
    ec2.associate_address(AllocationId=used, NetworkInterfaceId=eni["NetworkInterfaceId"])
    (primary,) = see(ec2, public)["NatGatewayAddresses"]
    associate, disassociate = ec2.associate_nat_gateway_address, ec2.disassociate_nat_gateway_address
    assign, unassign = ec2.assign_private_nat_gateway_address, ec2.unassign_private_nat_gateway_address
    gone = {"NatGatewayId": "nat-00000000000000000"}
    on, off = {"NatGatewayId": public}, {"NatGatewayId": private}
    for code, act, asked in (
        ("NatGatewayNotFound", associate, {**gone, "AllocationIds": [one]}),
        ("InvalidParameter", associate, {**off, "AllocationIds": [one]}),
        ("InvalidElasticIpID.NotFound", associate, {**on, "AllocationIds": ["eipalloc-00000000000000000"]}),
        ("InvalidParameter", associate, {**on, "AllocationIds": [one, one]}),
        ("Resource.AlreadyAssociated", associate, {**on, "AllocationIds": [used]}),
        ("AddressLimitExceeded", associate, {**on, "AllocationIds": [one, two]}),
        (
            "InvalidParameter", associate,
            {**on, "AllocationIds": [one], "PrivateIpAddresses": ["10.0.1.7", "10.0.1.8"]},
        ),
        ("InvalidIPAddress.InUse", associate, {**on, "AllocationIds": [one], "PrivateIpAddresses": ["10.0.1.99"]}),
        ("UnsupportedOperation", associate, {**on, "AllocationIds": [one], "AvailabilityZone": "us-east-1a"}),
        ("InvalidAssociationID.NotFound", disassociate, {**on, "AssociationIds": ["eipassoc-1"]}),
        ("InvalidParameter", disassociate, {**on, "AssociationIds": [primary["AssociationId"]]}),
        ("InvalidParameter", disassociate, {**off, "AssociationIds": ["eipassoc-1"]}),
        ("MissingParameter", assign, off),
        ("InvalidParameter", assign, {**off, "PrivateIpAddresses": ["10.0.1.7"], "PrivateIpAddressCount": 1}),
        ("InvalidParameter", assign, {**on, "PrivateIpAddressCount": 1}),
        ("InvalidParameterValue", assign, {**off, "PrivateIpAddresses": ["10.0.2.7"]}),
        ("InvalidIPAddress.InUse", assign, {**off, "PrivateIpAddresses": ["10.0.1.99"]}),
        ("PrivateIpAddressLimitExceeded", assign, {**off, "PrivateIpAddressCount": 8}),
        ("InvalidParameter", unassign, {**off, "PrivateIpAddresses": ["10.0.1.60"]}),
        ("InvalidParameterValue", unassign, {**off, "PrivateIpAddresses": ["10.0.1.7"]}),
        ("InvalidParameter", unassign, {**on, "PrivateIpAddresses": ["10.0.1.50"]}),
    ):  # fmt: skip
        with refused(code):
            act(**asked)
    other = cloud.another_account()
    with refused("NatGatewayNotFound"):
        other.assign_private_nat_gateway_address(NatGatewayId=private, PrivateIpAddressCount=1)
    assert statuses(ec2, public) == statuses(ec2, private) == ["succeeded"]


def test_only_an_available_gateway_is_changed(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make_gateway(ec2, subnet, ConnectivityType="private")
    for state in ("pending", "deleting"):
        with refused("IncorrectState", f"is {state}, not available"):
            ec2.assign_private_nat_gateway_address(NatGatewayId=id, PrivateIpAddressCount=1)
        ec2.delete_nat_gateway(NatGatewayId=id)
    cloud.settle()
    with refused("NatGatewayNotFound"):
        ec2.assign_private_nat_gateway_address(NatGatewayId=id, PrivateIpAddressCount=1)


def test_a_full_subnet_gives_no_address(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    subnet = make_subnet(ec2, vpc, "10.0.2.0/28")
    id = make_gateway(ec2, subnet, ConnectivityType="private")
    cloud.settle()
    for _ in range(9):
        ec2.create_network_interface(SubnetId=subnet)
    with refused("InsufficientFreeAddressesInSubnet"):
        ec2.assign_private_nat_gateway_address(NatGatewayId=id, PrivateIpAddressCount=2)
    assert statuses(ec2, id) == ["succeeded"]
    ec2.assign_private_nat_gateway_address(NatGatewayId=id, PrivateIpAddressCount=1)


def test_the_operator_allows_more_elastic_ips(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(quotas={"elastic IPs per NAT gateway": 3})
    ec2 = cloud.ec2
    id = make_gateway(ec2, make_subnet(ec2, make_vpc(ec2)))
    cloud.settle()
    ids = [allocate(ec2)[0] for _ in range(3)]
    with refused("AddressLimitExceeded", "A NAT gateway can have 3 Elastic IP addresses."):
        ec2.associate_nat_gateway_address(NatGatewayId=id, AllocationIds=ids)
    ec2.associate_nat_gateway_address(NatGatewayId=id, AllocationIds=ids[:2])

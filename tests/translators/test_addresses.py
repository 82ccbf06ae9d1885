"""Elastic IP addresses through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine.interfaces import lend_public
from engine.state import Address, NetworkInterface, Task, Vpc
from tests.cloud import IMAGE, Cloud
from tests.translators.test_network_interfaces import attach


@pytest.fixture
def vpc(ec2: Any) -> str:
    id = str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=id)
    return id


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


def make(ec2: Any, subnet: str) -> str:
    return str(ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"])


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_addresses(AllocationIds=[id])["Addresses"]
    return found


def synced(cloud: Cloud, *ids: str) -> list[bool]:
    with cloud.database.read() as db:
        started = set(db.scalars(select(Task.resource_id).where(Task.workflow == "sync_port")))
    return [id in started for id in ids]


def test_an_allocated_address_reads_back(ec2: Any, refused: Any) -> None:
    tags = [{"Key": "Name", "Value": "front"}]
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
    id, public = made["AllocationId"], made["PublicIp"]
    assert public.startswith("198.18.") and id.startswith("eipalloc-")
    common = {"PublicIpv4Pool": "amazon", "NetworkBorderGroup": "us-east-1", "Domain": "vpc"}
    del made["ResponseMetadata"]
    assert made == {"AllocationId": id, "PublicIp": public} | common
    assert see(ec2, id) == made | {"Tags": tags}
    assert ec2.describe_addresses(PublicIps=[public])["Addresses"] == [see(ec2, id)]
    attributes = ec2.describe_addresses_attribute(AllocationIds=[id], Attribute="domain-name")
    assert attributes["Addresses"] == []
    ec2.release_address(AllocationId=id)
    with refused("InvalidAllocationID.NotFound"):
        see(ec2, id)


def test_a_wanted_address_is_given_if_it_is_free(ec2: Any, refused: Any) -> None:
    made = ec2.allocate_address(Address="198.18.77.7", NetworkBorderGroup="us-east-1", PublicIpv4Pool="amazon")
    assert made["PublicIp"] == "198.18.77.7"
    for code, asked in (
        ("InvalidIPAddress.InUse", {"Address": "198.18.77.7"}),
        ("InvalidAddress.NotFound", {"Address": "8.8.8.8"}),
        ("InvalidAddress.Malformed", {"Address": "198.18.77"}),
        ("InvalidParameterValue", {"NetworkBorderGroup": "us-east-1-bos-1"}),
        ("InvalidParameterValue", {"Domain": "standard"}),
        ("UnsupportedOperation", {"PublicIpv4Pool": "ipv4pool-ec2-1"}),
        ("UnsupportedOperation", {"CustomerOwnedIpv4Pool": "x"}),
    ):
        with refused(code):
            ec2.allocate_address(**asked)
    assert len(ec2.describe_addresses()["Addresses"]) == 1
    ec2.release_address(PublicIp="198.18.77.7")
    assert ec2.allocate_address(Address="198.18.77.7")["PublicIp"] == "198.18.77.7"


def test_the_router_of_a_vpc_keeps_its_address(cloud: Cloud, ec2: Any, refused: Any) -> None:
    with cloud.database.read() as db:
        uplink = db.scalars(select(Vpc.uplink_address)).first()
    with refused("InvalidIPAddress.InUse"):
        ec2.allocate_address(Address=uplink)


def test_a_pool_that_is_empty_has_no_address(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(external_pool=("198.18.1.0", "198.18.1.2")).ec2
    ids = [ec2.allocate_address()["AllocationId"] for _ in range(2)]  # one is the default VPC's router's
    with refused("InsufficientAddressCapacity"):
        ec2.allocate_address()
    ec2.release_address(AllocationId=ids[0])
    ec2.allocate_address()


def test_an_association_is_shown_from_both_ends(cloud: Cloud, ec2: Any, subnet: str) -> None:
    eni = make(ec2, subnet)
    attach(cloud, eni)
    made = ec2.allocate_address()
    id, public = made["AllocationId"], made["PublicIp"]
    association = ec2.associate_address(AllocationId=id, NetworkInterfaceId=eni)["AssociationId"]
    assert association.startswith("eipassoc-") and synced(cloud, eni) == [True]
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    owner = interface["OwnerId"]
    assert interface["Association"] == {
        "AllocationId": id, "AssociationId": association, "IpOwnerId": owner, "PublicDnsName": "", "PublicIp": public
    }  # fmt: skip
    found = see(ec2, id)
    assert (found["AssociationId"], found["NetworkInterfaceId"]) == (association, eni)
    assert (found["InstanceId"], found["NetworkInterfaceOwnerId"]) == ("i-00000000000000001", owner)
    assert found["PrivateIpAddress"] == interface["PrivateIpAddress"]
    for name, value in (
        ("allocation-id", id), ("association-id", association), ("instance-id", "i-00000000000000001"),
        ("network-interface-id", eni), ("network-interface-owner-id", owner), ("public-ip", public),
        ("private-ip-address", found["PrivateIpAddress"]), ("network-border-group", "us-east-1"), ("domain", "vpc"),
    ):  # fmt: skip
        assert ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])["Addresses"] == [found]
        assert ec2.describe_addresses(Filters=[{"Name": name, "Values": ["none"]}])["Addresses"] == []
    # The same once more is no error, and no other association.
    assert ec2.associate_address(PublicIp=public, NetworkInterfaceId=eni)["AssociationId"] == association
    ec2.disassociate_address(AssociationId=association)
    assert "AssociationId" not in see(ec2, id) and "NetworkInterfaceId" not in see(ec2, id)


def test_an_address_that_leads_somewhere_moves_unless_that_is_forbidden(
    cloud: Cloud, ec2: Any, subnet: str, refused: Any
) -> None:
    first, second = make(ec2, subnet), make(ec2, subnet)
    id = ec2.allocate_address()["AllocationId"]
    old = ec2.associate_address(AllocationId=id, NetworkInterfaceId=first)["AssociationId"]
    attach(cloud, first)
    with refused("Resource.AlreadyAssociated", old):
        ec2.associate_address(AllocationId=id, NetworkInterfaceId=second, AllowReassociation=False)
    assert see(ec2, id)["NetworkInterfaceId"] == first
    new = ec2.associate_address(AllocationId=id, NetworkInterfaceId=second)["AssociationId"]
    assert new != old and see(ec2, id)["NetworkInterfaceId"] == second
    assert synced(cloud, first, second) == [True, False]
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_address(AssociationId=old)


def test_an_interface_has_the_last_address_it_was_given(cloud: Cloud, ec2: Any, subnet: str) -> None:
    eni = make(ec2, subnet)
    with cloud.database.write() as db:
        lend_public(db, cloud.settings, db.get_one(NetworkInterface, eni))
    first, second = (ec2.allocate_address()["AllocationId"] for _ in range(2))
    ec2.associate_address(AllocationId=first, NetworkInterfaceId=eni)
    with cloud.database.read() as db:
        assert db.scalars(select(Address).where(Address.elastic.is_(False), Address.interface_id == eni)).all() == []
    ec2.associate_address(AllocationId=second, NetworkInterfaceId=eni)
    assert "AssociationId" not in see(ec2, first) and see(ec2, second)["NetworkInterfaceId"] == eni


def test_an_address_leads_to_an_interface_of_a_vpc_with_a_gateway(ec2: Any, refused: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    closed = ec2.create_subnet(VpcId=vpc, CidrBlock="10.5.1.0/24")["Subnet"]["SubnetId"]
    id = ec2.allocate_address()["AllocationId"]
    with refused("Gateway.NotAttached", f"Network {vpc} is not attached to any internet gateway"):
        ec2.associate_address(AllocationId=id, NetworkInterfaceId=make(ec2, closed))


def test_what_is_asked_must_be_clear(ec2: Any, subnet: str, refused: Any) -> None:
    eni = make(ec2, subnet)
    made = ec2.allocate_address()
    id, public = made["AllocationId"], made["PublicIp"]
    instance = "i-00000000000000001"
    for code, asked in (
        ("MissingParameter", {"NetworkInterfaceId": eni}),
        ("MissingParameter", {"AllocationId": id}),
        ("InvalidParameterCombination", {"AllocationId": id, "PublicIp": public, "NetworkInterfaceId": eni}),
        ("InvalidParameterCombination", {"AllocationId": id, "InstanceId": instance, "NetworkInterfaceId": eni}),
        ("InvalidInstanceID.NotFound", {"AllocationId": id, "InstanceId": instance}),
        ("InvalidParameterValue", {"AllocationId": id, "NetworkInterfaceId": eni, "PrivateIpAddress": "10.0.1.1"}),
        ("InvalidAddress.NotFound", {"PublicIp": "198.18.1.1", "NetworkInterfaceId": eni}),
    ):
        with refused(code):
            ec2.associate_address(**asked)
    for code, asked in (
        ("MissingParameter", {}),
        ("InvalidParameterCombination", {"AssociationId": "eipassoc-1", "PublicIp": public}),
        ("InvalidAssociationID.NotFound", {"AssociationId": "eipassoc-1"}),
    ):
        with refused(code):
            ec2.disassociate_address(**asked)
    for code, asked in (
        ("MissingParameter", {}),
        ("InvalidParameterCombination", {"AllocationId": id, "PublicIp": public}),
        ("InvalidParameterValue", {"AllocationId": id, "NetworkBorderGroup": "x"}),
    ):
        with refused(code):
            ec2.release_address(**asked)
    ec2.disassociate_address(PublicIp=public)
    assert "AssociationId" not in see(ec2, id)


def test_an_address_in_use_is_not_released(ec2: Any, subnet: str, refused: Any) -> None:
    eni = make(ec2, subnet)
    made = ec2.allocate_address()
    ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=eni)
    for asked in ({"AllocationId": made["AllocationId"]}, {"PublicIp": made["PublicIp"]}):
        with refused("InvalidIPAddress.InUse", made["PublicIp"]):
            ec2.release_address(**asked)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    ec2.release_address(AllocationId=made["AllocationId"])
    assert ec2.describe_addresses()["Addresses"] == []


def test_in_a_default_vpc_an_address_in_use_is_released(cloud: Cloud, ec2: Any) -> None:
    eni = make(ec2, ec2.describe_subnets()["Subnets"][0]["SubnetId"])
    id = ec2.allocate_address()["AllocationId"]
    ec2.associate_address(AllocationId=id, NetworkInterfaceId=eni)
    attach(cloud, eni)
    ec2.release_address(AllocationId=id)
    assert ec2.describe_addresses()["Addresses"] == [] and synced(cloud, eni) == [True]


def test_another_accounts_address_is_not_found(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    eni = make(ec2, subnet)
    made = ec2.allocate_address()
    id, public = made["AllocationId"], made["PublicIp"]
    association = ec2.associate_address(AllocationId=id, NetworkInterfaceId=eni)["AssociationId"]
    other = cloud.another_account()
    for code, act in (
        ("InvalidAllocationID.NotFound", lambda: other.describe_addresses(AllocationIds=[id])),
        ("InvalidAllocationID.NotFound", lambda: other.describe_addresses_attribute(AllocationIds=[id])),
        ("InvalidAddress.NotFound", lambda: other.describe_addresses(PublicIps=[public])),
        ("InvalidAllocationID.NotFound", lambda: other.release_address(AllocationId=id)),
        ("InvalidAddress.NotFound", lambda: other.release_address(PublicIp=public)),
        ("InvalidAssociationID.NotFound", lambda: other.disassociate_address(AssociationId=association)),
    ):
        with refused(code):
            act()
    own = other.allocate_address()["AllocationId"]
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.associate_address(AllocationId=own, NetworkInterfaceId=eni)
    assert len(other.describe_addresses()["Addresses"]) == 1


def test_a_lent_address_cannot_be_taken_for_an_elastic_one(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    eni = make(ec2, subnet)
    with cloud.database.write() as db:
        public = lend_public(db, cloud.settings, db.get_one(NetworkInterface, eni))
        id = db.scalars(select(Address.id).filter_by(public_ip=public)).one()
    with refused("InvalidAllocationID.NotFound"):
        ec2.release_address(AllocationId=id)
    with refused("InvalidAddress.NotFound"):
        ec2.release_address(PublicIp=public)
    with refused("InvalidAllocationID.NotFound"):
        see(ec2, id)


def test_a_dry_run_changes_nothing(ec2: Any, refused: Any) -> None:
    with refused("DryRunOperation"):
        ec2.allocate_address(DryRun=True)
    assert ec2.describe_addresses()["Addresses"] == []


def test_an_instance_is_named_for_its_only_interface(cloud: Cloud, ec2: Any, refused: Any) -> None:
    launched = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    instance, eni = launched["InstanceId"], launched["NetworkInterfaces"][0]["NetworkInterfaceId"]
    id = ec2.allocate_address()["AllocationId"]
    with refused("InvalidInstanceID", f"The pending instance '{instance}' is not in a valid state"):
        ec2.associate_address(AllocationId=id, InstanceId=instance)
    cloud.settle()
    ec2.associate_address(AllocationId=id, InstanceId=instance)
    assert (see(ec2, id)["InstanceId"], see(ec2, id)["NetworkInterfaceId"]) == (instance, eni)
    second = make(ec2, launched["SubnetId"])
    attach(cloud, second, instance)
    with refused("InvalidInstanceID", "multiple interfaces"):
        ec2.associate_address(AllocationId=id, InstanceId=instance)

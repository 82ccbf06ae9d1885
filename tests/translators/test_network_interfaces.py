"""Network interfaces through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine.default_vpc import new_id
from engine.interfaces import lend_public
from engine.state import InterfaceGroup, NetworkInterface, PrivateAddress, Tag, Task, now
from tests.cloud import OPERATOR, Cloud


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b")
    return str(made["Subnet"]["SubnetId"])


def make(ec2: Any, subnet: str, **asked: Any) -> str:
    return str(ec2.create_network_interface(SubnetId=subnet, **asked)["NetworkInterface"]["NetworkInterfaceId"])


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    return found


def group(ec2: Any, vpc: str, name: str) -> str:
    return str(ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"])


def attach(cloud: Cloud, id: str, instance: str = "i-00000000000000001") -> str:
    """Attach an interface as RunInstances does."""
    with cloud.database.write() as db:
        row = db.get_one(NetworkInterface, id)
        row.attachment_id, row.instance_id, row.device_index = new_id("eni-attach"), instance, 0
        row.status, row.attachment_status, row.attach_time = "in-use", "attached", now()
        return str(row.attachment_id)


def workflows(cloud: Cloud, id: str) -> list[str]:
    with cloud.database.read() as db:
        return list(db.scalars(select(Task.workflow).where(Task.resource_id == id)))


def test_a_new_interface_reads_back_as_it_was_asked_for(ec2: Any, vpc: str, subnet: str) -> None:
    tags = [{"Key": "Name", "Value": "front"}]
    groups = [group(ec2, vpc, "b"), group(ec2, vpc, "a")]
    answer = ec2.create_network_interface(
        SubnetId=subnet, Description="front door", PrivateIpAddress="10.0.1.50", Groups=groups, ClientToken="once",
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
    )  # fmt: skip
    made = answer["NetworkInterface"]
    assert answer["ClientToken"] == "once" and made["MacAddress"].startswith("06:")
    assert made == {
        "NetworkInterfaceId": made["NetworkInterfaceId"],
        "OwnerId": OPERATOR,
        "VpcId": vpc,
        "SubnetId": subnet,
        "AvailabilityZone": "us-east-1b",
        "AvailabilityZoneId": "use1-az2",
        "Description": "front door",
        "InterfaceType": "interface",
        "Status": "pending",
        "MacAddress": made["MacAddress"],
        "PrivateIpAddress": "10.0.1.50",
        "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.1.50", "Primary": True}],
        "Ipv6Addresses": [],
        "Groups": [{"GroupId": groups[0], "GroupName": "b"}, {"GroupId": groups[1], "GroupName": "a"}],
        "SourceDestCheck": True,
        "RequesterManaged": False,
        "Operator": {"Managed": False},
        "TagSet": tags,
    }
    assert see(ec2, made["NetworkInterfaceId"]) == made | {"Status": "available"}


def test_a_client_token_makes_one_interface(ec2: Any, subnet: str) -> None:
    assert make(ec2, subnet, ClientToken="once") == make(ec2, subnet, ClientToken="once")
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_private_names_follow_the_vpc(ec2: Any, vpc: str, subnet: str) -> None:
    id = make(ec2, subnet, PrivateIpAddress="10.0.1.50")
    by_name = [{"Name": "private-dns-name", "Values": ["ip-10-0-1-50.ec2.internal"]}]
    assert "PrivateDnsName" not in see(ec2, id)
    assert ec2.describe_network_interfaces(Filters=by_name)["NetworkInterfaces"] == []
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert see(ec2, id)["PrivateDnsName"] == "ip-10-0-1-50.ec2.internal"
    assert len(ec2.describe_network_interfaces(Filters=by_name)["NetworkInterfaces"]) == 1


def test_an_interface_without_groups_is_in_the_default_one(ec2: Any, vpc: str, subnet: str) -> None:
    (found,) = see(ec2, make(ec2, subnet))["Groups"]
    assert found["GroupName"] == "default"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.1.3", "InvalidParameterValue"),
        ("10.0.1.255", "InvalidParameterValue"),
        ("10.0.2.9", "InvalidParameterValue"),
        ("10.0.1", "InvalidParameterValue"),
        ("10.0.1.9", "InvalidIPAddress.InUse"),
    ],
)
def test_an_address_that_ec2_refuses_is_refused(ec2: Any, subnet: str, refused: Any, address: str, code: str) -> None:
    make(ec2, subnet, PrivateIpAddress="10.0.1.9")
    with refused(code):
        make(ec2, subnet, PrivateIpAddress=address)
    (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert found["AvailableIpAddressCount"] == 250


def test_an_only_address_of_a_list_is_the_primary_one(ec2: Any, subnet: str, refused: Any) -> None:
    assert see(ec2, make(ec2, subnet, PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.8"}]))["PrivateIpAddress"] == (
        "10.0.1.8"
    )
    with refused("UnsupportedOperation"):
        make(ec2, subnet, InterfaceType="efa")


def test_a_full_subnet_takes_no_interface_more(ec2: Any, vpc: str, refused: Any) -> None:
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/28")["Subnet"]["SubnetId"]
    addresses = {see(ec2, make(ec2, small))["PrivateIpAddress"] for _ in range(11)}
    assert addresses == {f"10.0.9.{n}" for n in range(4, 15)}
    with refused("InsufficientFreeAddressesInSubnet"):
        make(ec2, small)


def test_groups_must_be_of_the_same_vpc(ec2: Any, subnet: str, refused: Any) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    foreign = group(ec2, other, "foreign")
    with refused("InvalidParameter", "belong to different networks"):
        make(ec2, subnet, Groups=[foreign])
    with refused("InvalidGroup.NotFound"):
        make(ec2, subnet, Groups=["sg-00000000000000000"])
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        make(ec2, subnet, Groups=[f"sg-{n:017x}" for n in range(17)])


def test_attributes_are_modified_one_at_a_time(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet, Description="old")
    ours = [group(ec2, vpc, "b"), group(ec2, vpc, "a")]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": ""})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Groups=ours)
    found = see(ec2, id)
    assert (found["Description"], found["SourceDestCheck"]) == ("", False)
    assert [g["GroupId"] for g in found["Groups"]] == ours and workflows(cloud, id) == []
    ec2.reset_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck="true")
    assert see(ec2, id)["SourceDestCheck"]
    with refused("InvalidParameterCombination"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=id, Description={"Value": "x"}, SourceDestCheck={"Value": True}
        )
    with refused("MissingParameter"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id)
    with refused("MissingParameter"):
        ec2.reset_network_interface_attribute(NetworkInterfaceId=id)
    with refused("InvalidParameterValue", "longer than 255"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "x" * 256})
    with refused("InvalidParameterValue", "longer than 255"):
        make(ec2, subnet, Description="x" * 256)
    for name, value in (("AssociatedSubnetIds", [subnet]), ("EnaSrdSpecification", {"EnaSrdEnabled": True}),
                        ("ConnectionTrackingSpecification", {"UdpTimeout": 30})):  # fmt: skip
        with refused("UnsupportedOperation", name):
            ec2.modify_network_interface_attribute(NetworkInterfaceId=id, **{name: value})
    with refused("InvalidAttachmentID.NotFound"):
        changes = {"AttachmentId": "eni-attach-00000000000000001", "DeleteOnTermination": True}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=changes)


def test_an_attached_interface_changes_on_the_network_too(cloud: Cloud, ec2: Any, vpc: str, subnet: str) -> None:
    for asked in ({"SourceDestCheck": {"Value": False}}, {"Groups": [group(ec2, vpc, "x")]}):
        id = make(ec2, subnet)
        attach(cloud, id)
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, **asked)
        assert workflows(cloud, id) == ["sync_port"]


def test_an_attachment_is_shown_and_modified(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet)
    attachment = attach(cloud, id)
    found = see(ec2, id)["Attachment"]
    time = found.pop("AttachTime")
    assert found == {
        "AttachmentId": attachment,
        "DeleteOnTermination": False,
        "DeviceIndex": 0,
        "NetworkCardIndex": 0,
        "InstanceId": "i-00000000000000001",
        "InstanceOwnerId": OPERATOR,
        "Status": "attached",
    }
    assert time.year > 2000
    changes = {"AttachmentId": attachment, "DeleteOnTermination": True}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=changes)
    assert see(ec2, id)["Attachment"]["DeleteOnTermination"]
    for code, wrong in (("MissingParameter", {"AttachmentId": attachment}),
                        ("MissingParameter", {"DeleteOnTermination": True}),
                        ("UnsupportedOperation", changes | {"EnaQueueCount": 2})):  # fmt: skip
        with refused(code):
            ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=wrong)
    with refused("InvalidParameterValue", f"Network interface '{id}' is currently in use."):
        ec2.delete_network_interface(NetworkInterfaceId=id)


def test_each_attribute_is_described(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet, Description="front")

    def ask(attribute: str) -> dict[str, Any]:
        answer = ec2.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute=attribute)
        del answer["ResponseMetadata"]
        assert answer.pop("NetworkInterfaceId") == id
        return dict(answer)

    assert ask("description") == {"Description": {"Value": "front"}}
    assert ask("sourceDestCheck") == {"SourceDestCheck": {"Value": True}}
    assert ask("groupSet")["Groups"][0]["GroupName"] == "default"
    assert ask("attachment") == {} and ask("associatePublicIpAddress") == {"AssociatePublicIpAddress": False}
    attachment = attach(cloud, id)
    with cloud.database.write() as db:
        db.get_one(NetworkInterface, id).auto_public = True
    assert ask("attachment")["Attachment"]["AttachmentId"] == attachment
    assert ask("associatePublicIpAddress") == {"AssociatePublicIpAddress": True}
    with refused("MissingParameter"):
        ec2.describe_network_interface_attribute(NetworkInterfaceId=id)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interface_attribute(NetworkInterfaceId="eni-00000000000000000", Attribute="attachment")


def test_a_lent_address_is_shown_without_ids(cloud: Cloud, ec2: Any, vpc: str, subnet: str) -> None:
    id = make(ec2, subnet)
    with cloud.database.write() as db:
        public = lend_public(db, cloud.settings, db.get_one(NetworkInterface, id))
    assert see(ec2, id)["Association"] == {"IpOwnerId": "amazon", "PublicDnsName": "", "PublicIp": public}
    assert see(ec2, id)["PrivateIpAddresses"][0]["Association"]["PublicIp"] == public
    assert ec2.describe_addresses()["Addresses"] == []
    for name, value, count in (("association.ip-owner-id", "amazon", 1), ("association.public-ip", public, 1),
                               ("association.public-dns-name", public, 0), ("association.allocation-id", "*", 0),
                               ("addresses.association.owner-id", OPERATOR, 0)):  # fmt: skip
        asked = [{"Name": name, "Values": [value]}]
        assert len(ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]) == count
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert see(ec2, id)["Association"]["PublicDnsName"] == public


def test_a_deleted_interface_leaves_nothing(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    tags = [{"ResourceType": "network-interface", "Tags": [{"Key": "Name", "Value": "x"}]}]
    id = make(ec2, subnet, TagSpecifications=tags)
    ec2.delete_network_interface(NetworkInterfaceId=id)
    assert workflows(cloud, id) == ["remove_port"]
    for act in (ec2.delete_network_interface, ec2.reset_network_interface_attribute):
        with refused("InvalidNetworkInterfaceID.NotFound"):
            act(NetworkInterfaceId=id)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        see(ec2, id)
    (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert found["AvailableIpAddressCount"] == 251
    with cloud.database.read() as db:
        for table in (PrivateAddress, InterfaceGroup, Tag):
            assert db.scalars(select(table)).all() == []
    cloud.settle()


def test_interfaces_are_filtered_and_paged(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    ids = sorted(make(ec2, subnet) for _ in range(7))
    attachment = attach(cloud, ids[0])
    pages = ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5})
    assert [i["NetworkInterfaceId"] for page in pages for i in page["NetworkInterfaces"]] == ids
    found = see(ec2, ids[0])

    def count(name: str, value: str) -> int:
        asked = [{"Name": name, "Values": [value]}]
        return len(ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"])

    for name, value, hits in (
        ("attachment.attachment-id", attachment, 1), ("attachment.status", "attached", 1),
        ("attachment.device-index", "0", 1), ("attachment.instance-owner-id", OPERATOR, 1),
        ("attachment.delete-on-termination", "false", 1), ("attachment.instance-id", "i-00000000000000001", 1),
        ("addresses.private-ip-address", found["PrivateIpAddress"], 1), ("addresses.primary", "true", 7),
        ("group-id", found["Groups"][0]["GroupId"], 7), ("group-name", "default", 7), ("status", "available", 6),
        ("availability-zone-id", "use1-az2", 7), ("mac-address", found["MacAddress"], 1), ("subnet-id", subnet, 7),
        ("source-dest-check", "true", 7), ("interface-type", "interface", 7), ("interface-type", "efa", 0),
        ("requester-managed", "true", 0), ("owner-id", OPERATOR, 7), ("vpc-id", vpc, 7),
    ):  # fmt: skip
        assert count(name, value) == hits, name
    with refused("InvalidParameterCombination"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=ids, MaxResults=5)


def test_another_accounts_interface_is_not_found(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet)
    other = cloud.another_account()
    for act in (
        lambda: other.describe_network_interfaces(NetworkInterfaceIds=[id]),
        lambda: other.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute="description"),
        lambda: other.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "x"}),
        lambda: other.delete_network_interface(NetworkInterfaceId=id),
    ):
        with refused("InvalidNetworkInterfaceID.NotFound"):
            act()
    with refused("InvalidSubnetID.NotFound"):
        make(other, subnet)
    theirs = other.describe_subnets()["Subnets"][0]["SubnetId"]
    with refused("InvalidGroup.NotFound"):
        make(other, theirs, Groups=[see(ec2, id)["Groups"][0]["GroupId"]])


def test_a_dry_run_changes_nothing(ec2: Any, subnet: str, refused: Any) -> None:
    with refused("DryRunOperation"):
        make(ec2, subnet, DryRun=True)
    id = make(ec2, subnet)
    with refused("DryRunOperation"):
        ec2.delete_network_interface(NetworkInterfaceId=id, DryRun=True)
    assert see(ec2, id)["Status"] == "available"

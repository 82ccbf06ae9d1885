"""Permissions for interfaces through a real client: granted, used, taken back."""

from typing import Any

import pytest

from tests.cloud import IMAGE, OPERATOR, Cloud

OTHER = "222222222222"


@pytest.fixture
def other(cloud: Cloud) -> Any:
    return cloud.another_account(OTHER)


@pytest.fixture
def eni(ec2: Any) -> str:
    """An interface in the default VPC, which has an internet gateway."""
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"]
    made = ec2.create_network_interface(SubnetId=subnet["SubnetId"])
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def grant(ec2: Any, eni: str, permission: str) -> str:
    asked = {"NetworkInterfaceId": eni, "AwsAccountId": OTHER, "Permission": permission}
    made = ec2.create_network_interface_permission(**asked)["InterfacePermission"]
    id = str(made["NetworkInterfacePermissionId"])
    assert made == {"NetworkInterfacePermissionId": id, "PermissionState": {"State": "GRANTED"}, **asked}
    return id


def test_a_permission_is_described_and_deleted(cloud: Cloud, ec2: Any, other: Any, eni: str, refused: Any) -> None:
    ids = sorted(grant(ec2, eni, permission) for permission in ("INSTANCE-ATTACH", "EIP-ASSOCIATE"))
    found = ec2.describe_network_interface_permissions()["NetworkInterfacePermissions"]
    assert [each["NetworkInterfacePermissionId"] for each in found] == ids
    for name, value, count in (("network-interface-id", eni, 2), ("aws-account-id", OTHER, 2),
                               ("permission", "INSTANCE-ATTACH", 1), ("aws-service", "x", 0),
                               ("network-interface-permission-id", ids[0], 1)):  # fmt: skip
        asked = [{"Name": f"network-interface-permission.{name}", "Values": [value]}]
        answer = ec2.describe_network_interface_permissions(Filters=asked)
        assert len(answer["NetworkInterfacePermissions"]) == count, name
    assert other.describe_network_interface_permissions()["NetworkInterfacePermissions"] == []
    with refused("InvalidPermissionID.NotFound"):
        other.delete_network_interface_permission(NetworkInterfacePermissionId=ids[0])
    assert ec2.delete_network_interface_permission(NetworkInterfacePermissionId=ids[0])["Return"]
    with refused("InvalidPermissionID.NotFound"):
        ec2.describe_network_interface_permissions(NetworkInterfacePermissionIds=[ids[0]])
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert ec2.describe_network_interface_permissions()["NetworkInterfacePermissions"] == []


def test_a_permission_that_makes_no_sense_is_refused(ec2: Any, other: Any, eni: str, refused: Any) -> None:
    grant(ec2, eni, "INSTANCE-ATTACH")
    asked = {"NetworkInterfaceId": eni, "Permission": "INSTANCE-ATTACH"}
    for code, more in (("InvalidNetworkInterfacePermission.Duplicate", {"AwsAccountId": OTHER}),
                       ("InvalidParameterValue", {"AwsAccountId": OPERATOR}),
                       ("InvalidParameterValue", {"AwsAccountId": "999999999999"}),
                       ("InvalidParameterValue", {"AwsAccountId": "x"}), ("MissingParameter", {}),
                       ("UnsupportedOperation", {"AwsService": "lambda"})):  # fmt: skip
        with refused(code):
            ec2.create_network_interface_permission(**asked, **more)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.create_network_interface_permission(**asked, AwsAccountId=OPERATOR)


def test_who_may_associate_an_address_does(ec2: Any, other: Any, eni: str, refused: Any) -> None:
    address = other.allocate_address()
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
    id = grant(ec2, eni, "EIP-ASSOCIATE")
    association = other.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["Association"]["PublicIp"] == address["PublicIp"] and shown["Association"]["IpOwnerId"] == OTHER
    (theirs,) = other.describe_addresses()["Addresses"]
    assert theirs["NetworkInterfaceOwnerId"] == OPERATOR
    with refused("OperationNotPermitted"):
        ec2.delete_network_interface_permission(NetworkInterfacePermissionId=id)
    other.disassociate_address(AssociationId=association["AssociationId"])
    ec2.delete_network_interface_permission(NetworkInterfacePermissionId=id)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)


def test_who_may_attach_launches_with_it(cloud: Cloud, ec2: Any, other: Any, eni: str, refused: Any) -> None:
    card = {"DeviceIndex": 0, "NetworkInterfaceId": eni}
    asked = {"ImageId": IMAGE, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [card]}
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.run_instances(**asked)
    id = grant(ec2, eni, "INSTANCE-ATTACH")
    (instance,) = other.run_instances(**asked)["Instances"]
    assert instance["NetworkInterfaces"][0]["OwnerId"] == OPERATOR
    cloud.settle()
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["Attachment"]["InstanceOwnerId"] == OTHER and shown["Status"] == "in-use"
    with refused("OperationNotPermitted"):
        ec2.delete_network_interface_permission(NetworkInterfacePermissionId=id)
    ec2.delete_network_interface_permission(NetworkInterfacePermissionId=id, Force=True)
    other.terminate_instances(InstanceIds=[instance["InstanceId"]])
    cloud.settle()
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["Status"] == "available"

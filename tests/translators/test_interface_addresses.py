"""Secondary addresses, addresses of IPv6 and prefixes of interfaces through a real client."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from sqlalchemy import select

from engine import desired
from engine.state import InterfacePrefix, Ipv6Address, NetworkInterface, PrivateAddress
from tests.cloud import IMAGE, Cloud


@pytest.fixture
def vpc(ec2: Any) -> dict[str, Any]:
    return dict(ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"])


@pytest.fixture
def subnet(ec2: Any, vpc: dict[str, Any]) -> str:
    cidr6 = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    made = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.0.1.0/24", Ipv6CidrBlock=cidr6)
    return str(made["Subnet"]["SubnetId"])


@pytest.fixture
def head(vpc: dict[str, Any]) -> str:
    """What every address of IPv6 in the subnet begins with."""
    cidr: str = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    return cidr.partition("/")[0]


def make(ec2: Any, subnet: str, **asked: Any) -> str:
    return str(ec2.create_network_interface(SubnetId=subnet, **asked)["NetworkInterface"]["NetworkInterfaceId"])


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    return found


def private(ec2: Any, id: str) -> list[str]:
    return [each["PrivateIpAddress"] for each in see(ec2, id)["PrivateIpAddresses"]]


def ipv6(ec2: Any, id: str) -> list[str]:
    return [each["Ipv6Address"] for each in see(ec2, id)["Ipv6Addresses"]]


def run(ec2: Any, **asked: Any) -> Any:
    kind = {"ImageId": IMAGE, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**{**kind, **asked})["Instances"][0]


def available(ec2: Any, subnet: str) -> int:
    return int(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"])


def port(cloud: Cloud, id: str) -> tuple[str, ...]:
    found = cloud.look(lambda db: desired.port(db, id))
    assert found is not None
    return found.addresses


def test_an_interface_is_made_with_all_kinds(ec2: Any, subnet: str, head: str) -> None:
    id = make(
        ec2, subnet, SecondaryPrivateIpAddressCount=2, PrivateIpAddress="10.0.1.9",
        Ipv6Addresses=[{"Ipv6Address": f"{head}b"}, {"Ipv6Address": f"{head}a", "IsPrimaryIpv6": True}],
    )  # fmt: skip
    found = see(ec2, id)
    assert [each["Primary"] for each in found["PrivateIpAddresses"]] == [True, False, False]
    assert found["PrivateIpAddress"] == private(ec2, id)[0] == "10.0.1.9"
    assert found["Ipv6Addresses"] == [
        {"Ipv6Address": f"{head}a", "IsPrimaryIpv6": True}, {"Ipv6Address": f"{head}b", "IsPrimaryIpv6": False}
    ]  # fmt: skip
    assert found["Ipv6Address"] == f"{head}a" and available(ec2, subnet) == 248
    listed = [{"PrivateIpAddress": "10.0.1.20"}, {"PrivateIpAddress": "10.0.1.21", "Primary": True}]
    assert private(ec2, make(ec2, subnet, PrivateIpAddresses=listed)) == ["10.0.1.21", "10.0.1.20"]
    (first,) = see(ec2, make(ec2, subnet, EnablePrimaryIpv6=True))["Ipv6Addresses"]
    assert first["IsPrimaryIpv6"]
    for name, value in (("ipv6-addresses.ipv6-address", f"{head}b"), ("addresses.private-ip-address", "10.0.1.20")):
        asked = [{"Name": name, "Values": [value]}]
        assert len(ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]) == 1


def test_prefixes_are_whole_ranges(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet, Ipv4PrefixCount=2, Ipv6PrefixCount=1)
    found = see(ec2, id)
    ranges = [ip_network(each["Ipv4Prefix"]) for each in found["Ipv4Prefixes"]]
    assert len(ranges) == 2 and all(each.prefixlen == 28 for each in ranges)
    assert ip_network(found["Ipv6Prefixes"][0]["Ipv6Prefix"]).prefixlen == 80
    assert available(ec2, subnet) == 251 - 1 - 32
    with refused("InvalidIPAddress.InUse"):
        make(ec2, subnet, PrivateIpAddress=str(ranges[0][3]))
    with refused("InvalidIPAddress.InUse"):
        make(ec2, subnet, Ipv4Prefixes=[{"Ipv4Prefix": str(ranges[1])}])
    inside = str(ip_network(found["Ipv6Prefixes"][0]["Ipv6Prefix"])[7])
    with refused("InvalidIPAddress.InUse"):
        make(ec2, subnet, Ipv6Addresses=[{"Ipv6Address": inside}])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, Ipv4Prefixes=[str(ranges[0])])
    assert [each["Ipv4Prefix"] for each in see(ec2, id)["Ipv4Prefixes"]] == [str(ranges[1])]
    assert available(ec2, subnet) == 251 - 1 - 16
    ec2.delete_network_interface(NetworkInterfaceId=id)
    assert available(ec2, subnet) == 251
    with cloud.database.read() as db:
        for table in (PrivateAddress, Ipv6Address, InterfacePrefix):
            assert db.scalars(select(table)).all() == []


def test_prefixes_come_from_their_reservation_until_it_is_full(ec2: Any, subnet: str, head: str, refused: Any) -> None:
    ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="10.0.1.64/27", ReservationType="prefix")
    ec2.create_subnet_cidr_reservation(
        SubnetId=subnet, Cidr=f"{head}/79".replace("::", ":2::"), ReservationType="prefix"
    )
    id = make(ec2, subnet, Ipv4PrefixCount=2, Ipv6PrefixCount=2)
    found = see(ec2, id)
    assert [each["Ipv4Prefix"] for each in found["Ipv4Prefixes"]] == ["10.0.1.64/28", "10.0.1.80/28"]
    assert {ip_network(each["Ipv6Prefix"]).supernet(new_prefix=79) for each in found["Ipv6Prefixes"]} == {
        ip_network(f"{head}/79".replace("::", ":2::"))
    }
    with refused("InsufficientCidrBlocks"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=id, Ipv4PrefixCount=1)
    with refused("InsufficientCidrBlocks"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=id, Ipv6PrefixCount=1)


def test_addresses_are_assigned_and_unassigned_later(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet)
    answer = ec2.assign_private_ip_addresses(NetworkInterfaceId=id, SecondaryPrivateIpAddressCount=2)
    given = [each["PrivateIpAddress"] for each in answer["AssignedPrivateIpAddresses"]]
    assert sorted(private(ec2, id)[1:]) == sorted(given) and answer["NetworkInterfaceId"] == id
    again = ec2.assign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=[given[0], "10.0.1.99"])
    assert [each["PrivateIpAddress"] for each in again["AssignedPrivateIpAddresses"]] == [given[0], "10.0.1.99"]
    assert available(ec2, subnet) == 247
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=given)
    assert private(ec2, id)[1:] == ["10.0.1.99"] and available(ec2, subnet) == 249
    for wrong in ({"PrivateIpAddresses": [private(ec2, id)[0]]}, {"PrivateIpAddresses": ["10.0.1.77"]},
                  {"Ipv4Prefixes": ["10.0.1.16/28"]}):  # fmt: skip
        with refused("InvalidParameterValue"):
            ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, **wrong)
    for act in (ec2.assign_private_ip_addresses, ec2.unassign_private_ip_addresses,
                ec2.assign_ipv6_addresses, ec2.unassign_ipv6_addresses):  # fmt: skip
        with refused("MissingParameter"):
            act(NetworkInterfaceId=id)


def test_of_ipv6_too(ec2: Any, subnet: str, head: str, refused: Any) -> None:
    id = make(ec2, subnet, EnablePrimaryIpv6=True)
    (first,) = ipv6(ec2, id)
    answer = ec2.assign_ipv6_addresses(NetworkInterfaceId=id, Ipv6Addresses=[f"{head}0:77", f"{head}78"])
    assert answer["AssignedIpv6Addresses"] == [f"{head}77", f"{head}78"] == ipv6(ec2, id)[1:]
    prefixes = ec2.assign_ipv6_addresses(NetworkInterfaceId=id, Ipv6PrefixCount=1)["AssignedIpv6Prefixes"]
    with refused("InvalidParameterValue", "primary IPv6"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=id, Ipv6Addresses=[first])
    gone = ec2.unassign_ipv6_addresses(NetworkInterfaceId=id, Ipv6Addresses=[f"{head}0:77"], Ipv6Prefixes=prefixes)
    assert gone["UnassignedIpv6Addresses"] == [f"{head}77"] and gone["UnassignedIpv6Prefixes"] == prefixes
    assert ipv6(ec2, id) == [first, f"{head}78"] and "Ipv6Prefixes" not in see(ec2, id)
    with refused("InvalidParameterValue", "not assigned"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=id, Ipv6Addresses=[f"{head}77"])
    with refused("InvalidParameterValue"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=id, Ipv6Addresses=["x"])
    with refused("InvalidIPAddress.InUse", f"{head}78"):
        make(ec2, subnet, Ipv6Addresses=[{"Ipv6Address": f"{head}78"}])


def test_a_primary_address_of_ipv6_can_be_named_later_and_stays(ec2: Any, subnet: str, refused: Any) -> None:
    id = make(ec2, subnet)
    with refused("InvalidParameterValue", "has no IPv6 address"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, EnablePrimaryIpv6=True)
    ec2.assign_ipv6_addresses(NetworkInterfaceId=id, Ipv6AddressCount=2)
    for _ in range(2):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, EnablePrimaryIpv6=True)
        assert [each["IsPrimaryIpv6"] for each in see(ec2, id)["Ipv6Addresses"]] == [True, False]
    with refused("InvalidParameterValue", "cannot be disabled"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, EnablePrimaryIpv6=False)


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("InvalidParameterValue", {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.2.9", "Primary": False}]}),
        ("InvalidParameterValue", {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.1.1", "Primary": False}]}),
        ("InvalidParameterValue", {"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.0/28"}]}),
        ("InvalidParameterValue", {"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.16/27"}]}),
        ("InvalidParameterValue", {"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.17/28"}]}),
        ("InvalidParameterValue", {"Ipv6Addresses": [{"Ipv6Address": "fd00::9"}]}),
        ("InvalidParameterValue", {"Ipv6Addresses": [{"Ipv6Address": "10.0.1.9"}]}),
        ("InvalidParameterValue", {"Ipv6Prefixes": [{"Ipv6Prefix": "fd00::/80"}]}),
        ("InvalidParameterValue", {"SecondaryPrivateIpAddressCount": -1}),
        ("InvalidParameterCombination", {"SecondaryPrivateIpAddressCount": 1, "Ipv4PrefixCount": 1}),
        ("InvalidParameterCombination", {"Ipv6AddressCount": 1, "Ipv6PrefixCount": 1}),
        ("InvalidParameterCombination", {"Ipv6AddressCount": 1, "Ipv6Addresses": [{"Ipv6Address": "fd00::9"}]}),
        ("InvalidParameterCombination", {"PrivateIpAddress": "10.0.1.9",
                                         "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.1.8", "Primary": True}]}),
        ("PrivateIpAddressLimitExceeded", {"SecondaryPrivateIpAddressCount": 50}),
        ("PrivateIpAddressLimitExceeded", {"Ipv6AddressCount": 51}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(cloud: Cloud, ec2: Any, subnet: str, refused: Any, code: str, asked: Any) -> None:
    with refused(code):
        make(ec2, subnet, **asked)
    assert cloud.look(lambda db: db.scalars(select(NetworkInterface)).all()) == []
    assert available(ec2, subnet) == 251


def test_without_a_range_there_is_no_ipv6(ec2: Any, vpc: Any, refused: Any) -> None:
    plain = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    for asked in ({"Ipv6AddressCount": 1}, {"EnablePrimaryIpv6": True}, {"Ipv6PrefixCount": 1}):
        with refused("InvalidParameterValue", "does not have an IPv6 CIDR block"):
            make(ec2, plain, **asked)


def test_an_address_moves_only_if_that_is_allowed(cloud: Cloud, ec2: Any, vpc: Any, subnet: str, refused: Any) -> None:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc["VpcId"])
    one, other = make(ec2, subnet), make(ec2, subnet)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=one, PrivateIpAddresses=["10.0.1.99"])
    elastic = ec2.allocate_address()
    ec2.associate_address(AllocationId=elastic["AllocationId"], NetworkInterfaceId=one, PrivateIpAddress="10.0.1.99")
    with refused("InvalidParameterValue", "[10.0.1.99] assigned, but move is not allowed."):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=["10.0.1.99"])
    with refused("InvalidParameterValue", "cannot be moved"):
        primary = private(ec2, one)[0]
        ec2.assign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=[primary], AllowReassignment=True)
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=other, PrivateIpAddresses=["10.0.1.99", "10.0.1.98"], AllowReassignment=True
    )
    assert private(ec2, one)[1:] == [] and private(ec2, other)[1:] == ["10.0.1.98", "10.0.1.99"]
    (address,) = ec2.describe_addresses()["Addresses"]
    assert (address["NetworkInterfaceId"], address["PrivateIpAddress"]) == (other, "10.0.1.99")
    assert see(ec2, other)["PrivateIpAddresses"][2]["Association"]["PublicIp"] == elastic["PublicIp"]
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=["10.0.1.99"])
    (address,) = ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in address and available(ec2, subnet) == 248


def test_an_instance_is_launched_with_them_and_shows_them(cloud: Cloud, ec2: Any, subnet: str, head: str) -> None:
    card = {
        "DeviceIndex": 0, "SubnetId": subnet, "SecondaryPrivateIpAddressCount": 1, "Ipv6PrefixCount": 1,
    }  # fmt: skip
    instance = run(ec2, NetworkInterfaces=[card])
    (shown,) = instance["NetworkInterfaces"]
    assert [each["Primary"] for each in shown["PrivateIpAddresses"]] == [True, False]
    assert len(shown["Ipv6Prefixes"]) == 1 and "Ipv6Address" not in instance
    other = run(ec2, SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": f"{head}55"}], EnablePrimaryIpv6=True)
    assert other["Ipv6Address"] == f"{head}55"
    assert other["NetworkInterfaces"][0]["Ipv6Addresses"] == [{"Ipv6Address": f"{head}55", "IsPrimaryIpv6": True}]
    prefix, secondary = shown["Ipv6Prefixes"][0]["Ipv6Prefix"], shown["PrivateIpAddresses"][1]["PrivateIpAddress"]
    for name, value, id in (
        ("ipv6-address", f"{head}55", other), ("network-interface.ipv6-addresses.ipv6-address", f"{head}55", other),
        ("network-interface.ipv6-addresses.is-primary-ipv6", "true", other),
        ("network-interface.ipv6-prefixes.ipv6-prefix", prefix, instance),
        ("network-interface.addresses.private-ip-address", secondary, instance),
    ):  # fmt: skip
        found = ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        assert [r["Instances"][0]["InstanceId"] for r in found] == [id["InstanceId"]], name
    none = [{"Name": "network-interface.ipv4-prefixes.ipv4-prefix", "Values": ["*"]}]
    assert ec2.describe_instances(Filters=none)["Reservations"] == []
    cloud.settle()
    addresses = port(cloud, shown["NetworkInterfaceId"])
    assert addresses == (*(each["PrivateIpAddress"] for each in shown["PrivateIpAddresses"]), prefix)
    known = cloud.backend.network._ports[shown["NetworkInterfaceId"]]
    assert known.addresses == addresses
    ec2.assign_ipv6_addresses(NetworkInterfaceId=shown["NetworkInterfaceId"], Ipv6Addresses=[f"{head}66"])
    cloud.settle()
    assert f"{head}66" in cloud.backend.network._ports[shown["NetworkInterfaceId"]].addresses
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"], other["InstanceId"]])
    cloud.settle()
    assert available(ec2, subnet) == 251


def test_a_launch_takes_what_the_subnet_gives(ec2: Any, subnet: str) -> None:
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    asked = {"ImageId": IMAGE, "InstanceType": "t3.small", "SubnetId": subnet, "MinCount": 3, "MaxCount": 3}
    given = {ip_address(each["Ipv6Address"]) for each in ec2.run_instances(**asked)["Instances"]}
    assert len(given) == 3
    assert "Ipv6Address" not in run(ec2, SubnetId=subnet, Ipv6AddressCount=0)


def test_a_type_has_so_many_addresses(cloud: Cloud, ec2: Any, subnet: str, head: str, refused: Any) -> None:
    card = {"DeviceIndex": 0, "SubnetId": subnet}
    for more in ({"SecondaryPrivateIpAddressCount": 4}, {"Ipv6AddressCount": 5}, {"Ipv4PrefixCount": 4}):
        with refused("PrivateIpAddressLimitExceeded"):
            run(ec2, NetworkInterfaces=[card | more])
    with refused("PrivateIpAddressLimitExceeded"):
        spare = make(ec2, subnet, SecondaryPrivateIpAddressCount=4)
        run(ec2, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": spare}])
    id = run(ec2, NetworkInterfaces=[card | {"SecondaryPrivateIpAddressCount": 2}])["NetworkInterfaces"][0]
    for count, act in ((2, ec2.assign_private_ip_addresses), (5, ec2.assign_ipv6_addresses)):
        name = "SecondaryPrivateIpAddressCount" if count == 2 else "Ipv6AddressCount"
        with refused("PrivateIpAddressLimitExceeded"):
            act(NetworkInterfaceId=id["NetworkInterfaceId"], **{name: count})
        act(NetworkInterfaceId=id["NetworkInterfaceId"], **{name: count - 1})
    (kind,) = ec2.describe_instance_types(InstanceTypes=["t3.small"])["InstanceTypes"]
    assert kind["NetworkInfo"]["Ipv6AddressesPerInterface"] == 4 and kind["NetworkInfo"]["Ipv6Supported"]


def test_fixed_addresses_are_for_one_instance(ec2: Any, subnet: str, head: str, refused: Any) -> None:
    with refused("InvalidParameterCombination"):
        run(ec2, MaxCount=2, SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": f"{head}9"}])
    with refused("InvalidParameterCombination", "IPv6 address"):
        run(ec2, Ipv6AddressCount=1, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}])


def test_a_running_instance_is_lent_a_public_address_or_not(cloud: Cloud, ec2: Any, subnet: str) -> None:
    id = run(ec2, SubnetId=subnet)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    cloud.settle()
    assert "Association" not in see(ec2, id)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, AssociatePublicIpAddress=True)
    public = see(ec2, id)["Association"]["PublicIp"]
    cloud.settle()
    assert [nat.public for nat in cloud.backend.network._ports[id].nats] == [public]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, AssociatePublicIpAddress=False)
    assert "Association" not in see(ec2, id)
    cloud.settle()
    assert cloud.backend.network._ports[id].nats == ()


def test_another_account_changes_nothing(cloud: Cloud, ec2: Any, subnet: str, refused: Any) -> None:
    id, other = make(ec2, subnet), cloud.another_account()
    for act, asked in (
        (other.assign_private_ip_addresses, {"SecondaryPrivateIpAddressCount": 1}),
        (other.unassign_private_ip_addresses, {"PrivateIpAddresses": ["10.0.1.9"]}),
        (other.assign_ipv6_addresses, {"Ipv6AddressCount": 1}),
        (other.unassign_ipv6_addresses, {"Ipv6Addresses": ["fd00::9"]}),
    ):
        with refused("InvalidNetworkInterfaceID.NotFound"):
            act(NetworkInterfaceId=id, **asked)

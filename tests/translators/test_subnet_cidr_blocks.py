"""A subnet's range of IPv6, and what is kept back of a subnet, through a real client."""

from ipaddress import IPv6Network
from typing import Any

import pytest
from sqlalchemy import select

from engine import desired
from engine.state import CidrReservation, SubnetCidrBlock, Tag
from tests.cloud import OPERATOR, Cloud


@pytest.fixture
def vpc(ec2: Any) -> dict[str, Any]:
    return dict(ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"])


@pytest.fixture
def prefix(vpc: dict[str, Any]) -> str:
    """The VPC's range of IPv6, up to what tells its subnets apart."""
    cidr = IPv6Network(vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])
    return cidr.exploded[: len("fd6f:6700:1234:ab")]


@pytest.fixture
def subnet(ec2: Any, vpc: dict[str, Any], prefix: str) -> str:
    return make(ec2, vpc, "10.0.1.0/24", f"{prefix}01::/64")


def make(ec2: Any, vpc: dict[str, Any], cidr: str, cidr6: str = "") -> str:
    more = {"Ipv6CidrBlock": cidr6} if cidr6 else {}
    return str(ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=cidr, **more)["Subnet"]["SubnetId"])


def see(ec2: Any, subnet: str) -> Any:
    (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return found


def interface(ec2: Any, subnet: str, **asked: Any) -> Any:
    return ec2.create_network_interface(SubnetId=subnet, **asked)["NetworkInterface"]


def test_a_subnet_is_born_with_a_range(cloud: Cloud, ec2: Any, vpc: Any, subnet: str) -> None:
    (block,) = see(ec2, subnet)["Ipv6CidrBlockAssociationSet"]
    assert block["Ipv6CidrBlockState"] == {"State": "associated"} and block["Ipv6CidrBlock"].endswith("::/64")
    for name, value in (("association-id", block["AssociationId"]), ("ipv6-cidr-block", block["Ipv6CidrBlock"]),
                        ("state", "associated")):  # fmt: skip
        asked = [{"Name": f"ipv6-cidr-block-association.{name}", "Values": [value]}]
        assert [found["SubnetId"] for found in ec2.describe_subnets(Filters=asked)["Subnets"]] == [subnet]
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc["VpcId"]))
    assert network is not None and network.subnets[0].cidr6 == block["Ipv6CidrBlock"]
    cloud.settle()


def test_a_range_comes_and_goes_later(cloud: Cloud, ec2: Any, vpc: Any, prefix: str, refused: Any) -> None:
    subnet = make(ec2, vpc, "10.0.1.0/24")
    answer = ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=f"{prefix}02::/64")
    block = answer["Ipv6CidrBlockAssociation"]
    assert block["Ipv6CidrBlockState"] == {"State": "associating"} and answer["SubnetId"] == subnet
    with refused("CidrLimitExceeded"):
        ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=f"{prefix}03::/64")
    gone = ec2.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])
    assert gone["Ipv6CidrBlockAssociation"]["Ipv6CidrBlockState"] == {"State": "disassociating"}
    assert see(ec2, subnet)["Ipv6CidrBlockAssociationSet"] == []
    with refused("InvalidSubnetCidrBlockAssociationID.NotFound"):
        ec2.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])
    cloud.settle()


def test_a_range_that_cannot_be_is_refused(ec2: Any, vpc: Any, subnet: str, prefix: str, refused: Any) -> None:
    other = make(ec2, vpc, "10.0.2.0/24")
    for code, cidr in (("InvalidSubnet.Range", "2001:db8::/64"), ("UnsupportedOperation", f"{prefix}02::/60"),
                       ("InvalidSubnet.Conflict", f"{prefix}01::/64"), ("InvalidParameterValue", "fd00::"),
                       ("InvalidParameterValue", "10.0.0.0/24"), ("MissingParameter", "")):  # fmt: skip
        with refused(code):
            ec2.associate_subnet_cidr_block(SubnetId=other, Ipv6CidrBlock=cidr)
        if cidr:
            with refused(code):
                make(ec2, vpc, "10.0.3.0/24", cidr)


def test_a_range_in_use_stays(ec2: Any, subnet: str, refused: Any) -> None:
    (block,) = see(ec2, subnet)["Ipv6CidrBlockAssociationSet"]
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    assert see(ec2, subnet)["AssignIpv6AddressOnCreation"]
    with refused("InvalidCidrBlock.InUse", "its subnet has assign-ipv6-address-on-creation set to true"):
        ec2.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])
    eni = interface(ec2, subnet)["NetworkInterfaceId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": False})
    with refused("InvalidCidrBlock.InUse", "assigned to network interfaces"):
        ec2.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    ec2.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])
    with refused("InvalidParameterValue", f"unless the subnet ({subnet}) has an IPv6 CIDR block"):
        ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})


def test_interfaces_get_an_address_where_the_subnet_gives_one(ec2: Any, subnet: str) -> None:
    assert interface(ec2, subnet)["Ipv6Addresses"] == []
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    assert len(interface(ec2, subnet)["Ipv6Addresses"]) == 1
    assert interface(ec2, subnet, Ipv6AddressCount=0)["Ipv6Addresses"] == []
    assert len(interface(ec2, subnet, Ipv6AddressCount=2)["Ipv6Addresses"]) == 2


def test_a_reservation_reads_back_and_is_deleted(ec2: Any, cloud: Cloud, subnet: str, prefix: str) -> None:
    tags = [{"Key": "Name", "Value": "pods"}]
    made = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet, Cidr="10.0.1.16/28", ReservationType="prefix", Description="for pods",
        TagSpecifications=[{"ResourceType": "subnet-cidr-reservation", "Tags": tags}],
    )["SubnetCidrReservation"]  # fmt: skip
    assert made == {
        "SubnetCidrReservationId": made["SubnetCidrReservationId"], "SubnetId": subnet, "Cidr": "10.0.1.16/28",
        "ReservationType": "prefix", "OwnerId": OPERATOR, "Description": "for pods", "Tags": tags,
    }  # fmt: skip
    sixth = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet, Cidr=f"{prefix}01:0:1::/80", ReservationType="explicit"
    )["SubnetCidrReservation"]

    def ask(**asked: Any) -> tuple[list[Any], list[Any]]:
        found = ec2.get_subnet_cidr_reservations(SubnetId=subnet, **asked)
        return found["SubnetIpv4CidrReservations"], found["SubnetIpv6CidrReservations"]

    assert ask() == ([made], [sixth])
    assert ask(Filters=[{"Name": "reservationType", "Values": ["explicit"]}]) == ([], [sixth])
    assert ask(Filters=[{"Name": "tag:Name", "Values": ["pods"]}]) == ([made], [])
    assert see(ec2, subnet)["AvailableIpAddressCount"] == 251, "they are not in use"
    gone = ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=made["SubnetCidrReservationId"])
    assert gone["DeletedSubnetCidrReservation"] == made
    assert ask() == ([], [sixth])
    ec2.delete_subnet(SubnetId=subnet)
    with cloud.database.read() as db:
        assert [db.scalars(select(kind)).all() for kind in (CidrReservation, SubnetCidrBlock, Tag)] == [[], [], []]


def test_a_reservation_that_cannot_be_is_refused(cloud: Cloud, ec2: Any, vpc: Any, subnet: str, refused: Any) -> None:
    ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="10.0.1.32/27", ReservationType="explicit")
    plain = make(ec2, vpc, "10.0.2.0/24")
    for place, cidr in ((subnet, "10.0.1.48/28"), (subnet, "10.0.0.0/16"), (subnet, "10.0.2.0/28"), (subnet, "x/28"),
                        (subnet, "fd00::/80"), (plain, "fd00::/80"), (subnet, "fd00::x/80")):  # fmt: skip
        with refused("InvalidParameterValue"):
            ec2.create_subnet_cidr_reservation(SubnetId=place, Cidr=cidr, ReservationType="prefix")
    with refused("InvalidSubnetCidrReservationID.NotFound"):
        ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId="scr-00000000000000000")
    other = cloud.another_account()
    for act in (
        lambda: other.get_subnet_cidr_reservations(SubnetId=subnet),
        lambda: other.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="10.0.1.0/28", ReservationType="prefix"),
        lambda: other.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock="fd00::/64"),
    ):
        with refused("InvalidSubnetID.NotFound"):
            act()
    (block,) = see(ec2, subnet)["Ipv6CidrBlockAssociationSet"]
    with refused("InvalidSubnetCidrBlockAssociationID.NotFound"):
        other.disassociate_subnet_cidr_block(AssociationId=block["AssociationId"])


def test_what_is_kept_back_is_given_only_by_name(ec2: Any, vpc: Any, refused: Any) -> None:
    subnet = make(ec2, vpc, "10.0.9.0/28")
    for kind, cidr in (("explicit", "10.0.9.8/29"), ("prefix", "10.0.9.4/31")):
        ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr=cidr, ReservationType=kind)
    assert {interface(ec2, subnet)["PrivateIpAddress"] for _ in range(2)} == {"10.0.9.6", "10.0.9.7"}
    with refused("InsufficientFreeAddressesInSubnet"):
        interface(ec2, subnet)
    assert interface(ec2, subnet, PrivateIpAddress="10.0.9.9")["PrivateIpAddress"] == "10.0.9.9"
    assert see(ec2, subnet)["AvailableIpAddressCount"] == 8


def test_of_ipv6_too(ec2: Any, subnet: str, prefix: str, refused: Any) -> None:
    for half in ("", "8000"):
        cidr = f"{prefix}01:{half}::/65" if half else f"{prefix}01::/65"
        ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr=cidr, ReservationType="explicit")
        if not half:
            for _ in range(8):
                given = interface(ec2, subnet, Ipv6AddressCount=1)["Ipv6Addresses"][0]["Ipv6Address"]
                assert int(given.split(":")[4], 16) >= 0x8000
    with refused("InsufficientFreeAddressesInSubnet"):
        interface(ec2, subnet, Ipv6AddressCount=1)
    named = f"{prefix}01::77"
    (given,) = interface(ec2, subnet, Ipv6Addresses=[{"Ipv6Address": named}])["Ipv6Addresses"]
    assert given["Ipv6Address"].endswith("::77")

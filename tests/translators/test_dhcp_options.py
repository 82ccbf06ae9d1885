"""DHCP options through a real client, and what guests are told."""

from typing import Any

import pytest

from engine import desired
from engine.drivers.networking import Told
from tests.cloud import OPERATOR, Cloud


def told(client: Any) -> dict[str, list[str]]:
    (options,) = client.describe_dhcp_options()["DhcpOptions"]
    assert options["OwnerId"] == OPERATOR
    return shown(options)


def shown(options: Any) -> dict[str, list[str]]:
    return {c["Key"]: [v["Value"] for v in c["Values"]] for c in options["DhcpConfigurations"]}


def make(ec2: Any, **options: Any) -> Any:
    """Make options by their names, with underscores for the dashes."""
    given = [
        {"Key": name.replace("_", "-"), "Values": values if isinstance(values, list) else [values]}
        for name, values in options.items()
    ]
    return ec2.create_dhcp_options(DhcpConfigurations=given)["DhcpOptions"]


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def guests_of(cloud: Cloud, vpc: str) -> Told:
    """Return what the guests of a VPC are told."""
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None
    return network.told


def test_every_region_has_its_own_domain(make_cloud: Any) -> None:
    cloud = make_cloud(regions="us-east-1,eu-central-1")
    assert told(cloud.ec2) == {"domain-name": ["ec2.internal"], "domain-name-servers": ["AmazonProvidedDNS"]}
    there = cloud.client(region="eu-central-1")
    assert told(there)["domain-name"] == ["eu-central-1.compute.internal"]
    for client, domain in ((cloud.ec2, "ec2.internal"), (there, "eu-central-1.*")):
        assert len(client.describe_dhcp_options(Filters=[{"Name": "value", "Values": [domain]}])["DhcpOptions"]) == 1
        assert not client.describe_dhcp_options(Filters=[{"Name": "value", "Values": ["x"]}])["DhcpOptions"]


def test_a_vpc_names_the_options_it_has(ec2: Any, refused: Any) -> None:
    id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["DhcpOptionsId"]
    assert ec2.describe_dhcp_options(DhcpOptionsIds=[id])["DhcpOptions"]
    for key, count in (("domain-name", 1), ("*servers", 1), ("ntp-servers", 0)):
        assert len(ec2.describe_dhcp_options(Filters=[{"Name": "key", "Values": [key]}])["DhcpOptions"]) == count
    with refused("InvalidDhcpOptionID.NotFound"):
        ec2.describe_dhcp_options(DhcpOptionsIds=["dopt-00000000000000000"])


EVERYTHING = {
    "domain_name": "example.com corp.example.com",
    "domain_name_servers": ["10.0.0.5,10.0.0.6", "AmazonProvidedDNS", "fd00:0::5"],
    "ntp_servers": ["10.0.0.7", "10.0.0.8"],
    "netbios_name_servers": ["10.0.0.9"],
    "netbios_node_type": "2",
}


def test_options_read_back_and_reach_the_guests(cloud: Cloud, ec2: Any, vpc: str) -> None:
    options = make(ec2, **EVERYTHING)
    id = options["DhcpOptionsId"]
    assert options == {
        "DhcpOptionsId": id, "OwnerId": OPERATOR, "Tags": [], "DhcpConfigurations": options["DhcpConfigurations"]
    }  # fmt: skip
    assert shown(options) == {
        "domain-name": ["example.com corp.example.com"],
        "domain-name-servers": ["10.0.0.5", "10.0.0.6", "AmazonProvidedDNS", "fd00::5"],
        "ntp-servers": ["10.0.0.7", "10.0.0.8"],
        "netbios-name-servers": ["10.0.0.9"],
        "netbios-node-type": ["2"],
    }
    assert ec2.describe_dhcp_options(DhcpOptionsIds=[id])["DhcpOptions"] == [options]
    ec2.associate_dhcp_options(DhcpOptionsId=id, VpcId=vpc)
    assert ec2.describe_vpcs(Filters=[{"Name": "dhcp-options-id", "Values": [id]}])["Vpcs"][0]["VpcId"] == vpc
    assert guests_of(cloud, vpc) == Told(
        dns_servers=("10.0.0.2", "10.0.0.5", "10.0.0.6", "fd00::5"),
        domain_name="example.com corp.example.com",
        ntp_servers=("10.0.0.7", "10.0.0.8"),
        netbios_servers=("10.0.0.9",),
        netbios_type=2,
    )
    cloud.settle()


def test_a_vpc_can_have_no_options(cloud: Cloud, ec2: Any, vpc: str) -> None:
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["DhcpOptionsId"] == "default"
    assert guests_of(cloud, vpc) == Told()
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network and [each.id for each in network.subnets] == [subnet]
    cloud.settle()


def test_options_in_use_are_not_deleted(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    id = make(ec2, domain_name="example.com")["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=id, VpcId=vpc)
    with refused("DependencyViolation", id):
        ec2.delete_dhcp_options(DhcpOptionsId=id)
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    ec2.delete_dhcp_options(DhcpOptionsId=id)
    with refused("InvalidDhcpOptionsID.NotFound"):
        ec2.delete_dhcp_options(DhcpOptionsId=id)
    with refused("InvalidDhcpOptionID.NotFound"):
        ec2.associate_dhcp_options(DhcpOptionsId=id, VpcId=vpc)


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("InvalidParameterValue", {"domain_name_servers": [f"10.0.0.{n}" for n in range(5)]}),
        ("InvalidParameterValue", {"domain_name_servers": ["10.0.0.256"]}),
        ("InvalidParameterValue", {"domain_name": ["a.example", "b.example"]}),
        ("InvalidParameterValue", {"domain_name": 'a".example'}),
        ("InvalidParameterValue", {"domain_name": "a." * 128}),
        ("InvalidParameterValue", {"netbios_name_servers": ["fd00::1"]}),
        ("InvalidParameterValue", {"netbios_node_type": "3"}),
        ("InvalidParameterValue", {"netbios_node_type": ["1", "2"]}),
        ("InvalidParameterValue", {"tftp_servers": "10.0.0.1"}),
        ("MissingParameter", {"ntp_servers": []}),
        ("UnsupportedOperation", {"ntp_servers": ["fd00::1"]}),
        ("UnsupportedOperation", {"ipv6_address_preferred_lease_time": "300"}),
    ],
)
def test_what_is_no_option_is_refused(ec2: Any, refused: Any, code: str, options: dict[str, Any]) -> None:
    with refused(code):
        make(ec2, **options)
    assert len(ec2.describe_dhcp_options()["DhcpOptions"]) == 1


def test_an_option_is_given_once(ec2: Any, refused: Any) -> None:
    with refused("InvalidParameterValue", "only once"):
        ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["example.com"]}] * 2)
    with refused("MissingParameter"):
        ec2.create_dhcp_options(DhcpConfigurations=[])
    with refused("MissingParameter"):
        ec2.create_dhcp_options(DhcpConfigurations=[{"Values": ["example.com"]}])


def test_options_are_tagged_filtered_and_paged(ec2: Any) -> None:
    tags = [{"Key": "Name", "Value": "corp"}]
    made = ec2.create_dhcp_options(
        DhcpConfigurations=[{"Key": "ntp-servers", "Values": ["10.0.0.7"]}],
        TagSpecifications=[{"ResourceType": "dhcp-options", "Tags": tags}],
    )["DhcpOptions"]
    assert made["Tags"] == tags
    for n in range(6):
        make(ec2, domain_name=f"{n}.example")

    def ids(*conditions: tuple[str, str]) -> list[str]:
        filters = [{"Name": name, "Values": [value]} for name, value in conditions]
        pages = ec2.get_paginator("describe_dhcp_options").paginate(Filters=filters, PaginationConfig={"PageSize": 5})
        return [o["DhcpOptionsId"] for page in pages for o in page["DhcpOptions"]]

    assert len(ids()) == 8 and ids() == sorted(ids())
    assert (
        ids(("key", "ntp-servers"))
        == ids(("value", "10.0.0.?"))
        == ids(("tag:Name", "corp"))
        == [made["DhcpOptionsId"]]
    )
    assert len(ids(("value", "*.example"))) == 6 and len(ids(("value", "AmazonProvidedDNS"))) == 1
    assert ids(("key", "ntp-servers"), ("value", "*.example")) == []


def test_another_accounts_options_are_not_found(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    id, other = make(ec2, domain_name="example.com")["DhcpOptionsId"], cloud.another_account()
    theirs = other.describe_vpcs()["Vpcs"][0]["VpcId"]
    with refused("InvalidDhcpOptionID.NotFound"):
        other.associate_dhcp_options(DhcpOptionsId=id, VpcId=theirs)
    with refused("InvalidDhcpOptionsID.NotFound"):
        other.delete_dhcp_options(DhcpOptionsId=id)
    with refused("InvalidVpcID.NotFound"):
        other.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)

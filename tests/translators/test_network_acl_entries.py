"""Entries of network ACLs through a real client, and what the network is told of them."""

from collections.abc import Callable
from typing import Any

import pytest

from engine import desired
from engine.default_vpc import new_id
from engine.drivers.networking import FilterRule
from engine.state import SubnetCidrBlock
from tests.cloud import Cloud

ANYWHERE, ANY_ICMP = "0.0.0.0/0", {"Type": -1, "Code": -1}
HTTP = {
    "RuleNumber": 100, "Protocol": "6", "RuleAction": "allow", "Egress": False, "CidrBlock": "10.9.0.0/16",
    "PortRange": {"From": 80, "To": 443},
}  # fmt: skip


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def acl(ec2: Any, vpc: str) -> str:
    return str(ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"])


@pytest.fixture
def add(ec2: Any, acl: str) -> Callable[..., Any]:
    """Return a function that adds the entry HTTP with some changes; None takes a parameter away."""

    def add(**changes: Any) -> Any:
        entry = {name: value for name, value in {**HTTP, **changes}.items() if value is not None}
        return ec2.create_network_acl_entry(NetworkAclId=acl, **entry)

    return add


def entries(ec2: Any, acl: str) -> list[Any]:
    (found,) = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    return [entry for entry in found["Entries"] if entry["RuleNumber"] < 32767]


def test_an_entry_reads_back_as_it_is_meant(ec2: Any, acl: str, add: Callable[..., Any]) -> None:
    add(CidrBlock="10.9.3.4/16")
    assert entries(ec2, acl) == [HTTP]
    add(RuleNumber=90, Protocol="udp", Egress=True)
    assert entries(ec2, acl)[0] == HTTP | {"RuleNumber": 90, "Protocol": "17", "Egress": True}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"Protocol": "icmp", "IcmpTypeCode": {"Type": 8, "Code": -1}}, {"Protocol": "1"}),
        (
            {"Protocol": "58", "CidrBlock": None, "Ipv6CidrBlock": "fd00:0::/8", "IcmpTypeCode": ANY_ICMP},
            {"Ipv6CidrBlock": "fd00::/8"},
        ),
        ({"Protocol": "all"}, {"Protocol": "-1"}),
        ({"Protocol": "-1", "PortRange": {"From": 0, "To": 0}}, {}),
        ({"Protocol": "58"}, {}),
        ({"Protocol": "047"}, {"Protocol": "47"}),
    ],
)  # fmt: skip
def test_ports_are_for_protocols_that_have_any(
    ec2: Any, acl: str, add: Callable[..., Any], given: dict[str, Any], kept: dict[str, Any]
) -> None:
    add(**given)
    wanted = {**HTTP, **given, **kept}
    del wanted["PortRange"]
    assert entries(ec2, acl) == [{name: value for name, value in wanted.items() if value is not None}]


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("InvalidParameterValue", {"RuleNumber": 0}),
        ("InvalidParameterValue", {"RuleNumber": 32767}),
        ("InvalidParameterValue", {"Protocol": "tcpp"}),
        ("InvalidParameterValue", {"Protocol": "256"}),
        ("InvalidParameterValue", {"RuleAction": "maybe"}),
        ("InvalidParameterValue", {"CidrBlock": "10.9.0.0"}),
        ("InvalidParameterValue", {"CidrBlock": None, "Ipv6CidrBlock": "10.9.0.0/16"}),
        ("InvalidParameterValue", {"PortRange": {"From": 81, "To": 80}}),
        ("InvalidParameterValue", {"PortRange": {"From": 1, "To": 65536}}),
        ("InvalidParameterValue", {"Protocol": "1", "IcmpTypeCode": {"Type": 256, "Code": 0}}),
        ("InvalidParameterValue", {"Protocol": "1", "IcmpTypeCode": {"Type": -1, "Code": 0}}),
        ("InvalidParameterCombination", {"Ipv6CidrBlock": "::/0"}),
        ("MissingParameter", {"CidrBlock": None}),
        ("MissingParameter", {"PortRange": None}),
        ("MissingParameter", {"PortRange": {"From": 80}}),
        ("MissingParameter", {"Protocol": "1"}),
        ("MissingParameter", {"Protocol": "58", "CidrBlock": None, "Ipv6CidrBlock": "::/0"}),
        ("MissingParameter", {"Egress": None}),
    ],
)
def test_what_is_no_entry_is_refused(
    ec2: Any, acl: str, add: Callable[..., Any], refused: Any, code: str, wrong: dict[str, Any]
) -> None:
    with refused(code):
        add(**wrong)
    assert entries(ec2, acl) == []


def test_a_number_is_used_once_in_each_direction(ec2: Any, acl: str, add: Callable[..., Any], refused: Any) -> None:
    add()
    with refused("NetworkAclEntryAlreadyExists", "identified by 100"):
        add(Protocol="17")
    add(Egress=True)
    assert len(entries(ec2, acl)) == 2


def test_an_entry_is_replaced_and_removed(ec2: Any, acl: str, add: Callable[..., Any], refused: Any) -> None:
    add()
    other = {
        "RuleNumber": 100, "Protocol": "-1", "RuleAction": "deny", "Egress": False, "Ipv6CidrBlock": "::/0"
    }  # fmt: skip
    ec2.replace_network_acl_entry(NetworkAclId=acl, **other)
    assert entries(ec2, acl) == [other]
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.replace_network_acl_entry(NetworkAclId=acl, **other | {"Egress": True})
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    with refused("InvalidParameterValue"):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=32767, Egress=False)
    assert entries(ec2, acl) == []


def test_there_are_only_so_many_entries_in_a_direction(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(quotas={"rules per network ACL": 1}).ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (False, True):
        ec2.create_network_acl_entry(NetworkAclId=acl, **HTTP | {"Egress": egress})
        with refused("NetworkAclEntryLimitExceeded"):
            ec2.create_network_acl_entry(NetworkAclId=acl, **HTTP | {"Egress": egress, "RuleNumber": 2})


def test_acls_are_found_by_their_entries(ec2: Any, acl: str, add: Callable[..., Any]) -> None:
    add()
    add(RuleNumber=7, Protocol="1", IcmpTypeCode={"Type": 8, "Code": 0})
    add(RuleNumber=8, Protocol="-1", CidrBlock=None, Ipv6CidrBlock="fd00::/8")
    for name, value in (
        ("entry.cidr", "10.9.0.0/16"),
        ("entry.icmp.code", "0"),
        ("entry.icmp.type", "8"),
        ("entry.ipv6-cidr", "fd00::/8"),
        ("entry.ipv6-cidr", "*"),
        ("entry.port-range.from", "80"),
        ("entry.port-range.to", "443"),
        ("entry.protocol", "tcp"),
        ("entry.protocol", "6"),
        ("entry.rule-number", "7"),
    ):
        found = ec2.describe_network_acls(Filters=[{"Name": name, "Values": [value]}])["NetworkAcls"]
        assert [each["NetworkAclId"] for each in found] == [acl], name
    assert not ec2.describe_network_acls(Filters=[{"Name": "entry.cidr", "Values": ["fd00::/8"]}])["NetworkAcls"]


def test_another_accounts_acl_gets_no_entries(cloud: Cloud, acl: str, add: Callable[..., Any], refused: Any) -> None:
    add()
    other = cloud.another_account()
    for act in (
        lambda: other.create_network_acl_entry(NetworkAclId=acl, **HTTP),
        lambda: other.replace_network_acl_entry(NetworkAclId=acl, **HTTP),
        lambda: other.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False),
    ):
        with refused("InvalidNetworkAclID.NotFound"):
            act()


# -- what the network is told --------------------------------------------------


def filter_of(cloud: Cloud, vpc: str, subnet: str) -> tuple[FilterRule, ...] | None:
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None
    return next(each.filter for each in network.subnets if each.id == subnet)


def test_the_network_follows_the_acl_of_each_subnet(
    cloud: Cloud, ec2: Any, vpc: str, acl: str, add: Callable[..., Any]
) -> None:
    first, second = (ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2))
    (default,) = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [first]}])[
        "NetworkAcls"
    ]
    (id,) = (a["NetworkAclAssociationId"] for a in default["Associations"] if a["SubnetId"] == first)
    assert filter_of(cloud, vpc, first) is None
    ec2.replace_network_acl_association(AssociationId=id, NetworkAclId=acl)
    assert filter_of(cloud, vpc, first) == () and filter_of(cloud, vpc, second) is None
    add()
    add(RuleNumber=90, Protocol="icmp", RuleAction="deny", Egress=True, IcmpTypeCode={"Type": 8, "Code": -1})
    assert filter_of(cloud, vpc, first) == (
        FilterRule(100, "in", True, "6", "10.9.0.0/16", 80, 443),
        FilterRule(90, "out", False, "1", "10.9.0.0/16", 8, -1),
    )
    for egress in (False, True):
        add(RuleNumber=1, Protocol="-1", CidrBlock=ANYWHERE, Egress=egress)
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    assert filter_of(cloud, vpc, first), "one line denies something"
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=True)
    assert filter_of(cloud, vpc, first) is None
    cloud.settle()


def test_an_acl_that_says_nothing_of_ipv6_denies_it(cloud: Cloud, ec2: Any, vpc: str) -> None:
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    with cloud.database.write() as db:
        db.add(SubnetCidrBlock(id=new_id("subnet-cidr-assoc"), subnet_id=subnet, cidr="fd6f:6700::/64"))
    found = filter_of(cloud, vpc, subnet)
    assert found and {line.cidr for line in found} == {ANYWHERE}

"""Network ACLs through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine.default_vpc import new_id
from engine.network_acls import add_ipv6_entries, remove_ipv6_entries
from engine.state import Task, VpcCidrBlock
from tests.cloud import OPERATOR, Cloud


def rule(number: int, action: str, egress: bool) -> dict[str, Any]:
    return {
        "RuleNumber": number, "Egress": egress, "Protocol": "-1", "RuleAction": action, "CidrBlock": "0.0.0.0/0"
    }  # fmt: skip


def test_a_vpc_has_an_acl_that_lets_everything_pass(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    asked = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}]
    (acl,) = ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
    id = acl["NetworkAclId"]
    (association,) = acl["Associations"]
    assert association["NetworkAclAssociationId"].startswith("aclassoc-")
    assert (association["NetworkAclId"], association["SubnetId"]) == (id, subnet)
    assert acl["Entries"] == [
        rule(100, "allow", True), rule(32767, "deny", True), rule(100, "allow", False), rule(32767, "deny", False)
    ]  # fmt: skip
    assert (acl["IsDefault"], acl["OwnerId"], acl["VpcId"], acl["Tags"]) == (True, OPERATOR, vpc, [])


def test_acls_are_filtered_and_paged(cloud: Cloud, ec2: Any, refused: Any) -> None:
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{i}.0.0/16")["Vpc"]["VpcId"] for i in range(6)]
    subnet = ec2.create_subnet(VpcId=vpcs[0], CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]

    def count(name: str, value: str) -> int:
        return len(ec2.describe_network_acls(Filters=[{"Name": name, "Values": [value]}])["NetworkAcls"])

    assert count("association.subnet-id", subnet) == 1 and count("entry.rule-number", "100") == 7
    assert count("entry.protocol", "-1") == 7 and count("entry.protocol", "tcp") == 0
    assert count("entry.rule-action", "deny") == 7 and count("entry.egress", "true") == 7
    assert count("entry.cidr", "0.0.0.0/0") == 7 and count("default", "false") == 0
    pages = ec2.get_paginator("describe_network_acls").paginate(PaginationConfig={"PageSize": 5})
    ids = [a["NetworkAclId"] for page in pages for a in page["NetworkAcls"]]
    assert len(ids) == 7 and ids == sorted(ids)
    with refused("InvalidNetworkAclID.NotFound"):
        cloud.another_account().describe_network_acls(NetworkAclIds=ids[:1])


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


def acl_of(ec2: Any, subnet: str) -> tuple[str, str]:
    """Return the ids of a subnet's ACL and of its association."""
    (acl,) = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
    (own,) = (a["NetworkAclAssociationId"] for a in acl["Associations"] if a["SubnetId"] == subnet)
    return acl["NetworkAclId"], own


def test_a_new_acl_lets_nothing_pass(ec2: Any, vpc: str) -> None:
    tags = [{"Key": "Name", "Value": "shut"}]
    asked = {"VpcId": vpc, "TagSpecifications": [{"ResourceType": "network-acl", "Tags": tags}], "ClientToken": "once"}
    answer = ec2.create_network_acl(**asked)
    acl = answer["NetworkAcl"]
    assert answer["ClientToken"] == "once" and acl == {
        "NetworkAclId": acl["NetworkAclId"],
        "VpcId": vpc,
        "OwnerId": OPERATOR,
        "IsDefault": False,
        "Associations": [],
        "Entries": [rule(32767, "deny", True), rule(32767, "deny", False)],
        "Tags": tags,
    }
    assert ec2.describe_network_acls(NetworkAclIds=[acl["NetworkAclId"]])["NetworkAcls"] == [acl]
    assert ec2.create_network_acl(**asked)["NetworkAcl"] == acl


def test_acls_of_a_vpc_with_ipv6_decide_on_it_too(cloud: Cloud, ec2: Any, vpc: str) -> None:
    other = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    with cloud.database.write() as db:
        db.add(VpcCidrBlock(id=new_id("vpc-cidr-assoc"), vpc_id=vpc, cidr="fd6f:6700::/56"))
        add_ipv6_entries(db, vpc)
        add_ipv6_entries(db, vpc)
    made = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]

    def ipv6_of(*conditions: tuple[str, str]) -> list[tuple[int, str, str]]:
        asked = [{"Name": name, "Values": [value]} for name, value in (("vpc-id", vpc), *conditions)]
        (acl,) = ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
        ingress = [e for e in acl["Entries"] if not e["Egress"]]
        return [(e["RuleNumber"], e["RuleAction"], e["Ipv6CidrBlock"]) for e in ingress if "Ipv6CidrBlock" in e]

    last = (32768, "deny", "::/0")
    assert ipv6_of(("default", "true")) == [(101, "allow", "::/0"), last]
    assert ipv6_of(("network-acl-id", other)) == ipv6_of(("network-acl-id", made)) == [last]
    with cloud.database.write() as db:
        remove_ipv6_entries(db, vpc)
    assert ipv6_of(("default", "true")) == ipv6_of(("network-acl-id", made)) == []


def test_a_default_acl_that_was_changed_lets_no_ipv6_pass_by_itself(cloud: Cloud, ec2: Any, vpc: str) -> None:
    asked = [{"Name": "vpc-id", "Values": [vpc]}]
    (acl,) = ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
    ec2.delete_network_acl_entry(NetworkAclId=acl["NetworkAclId"], RuleNumber=100, Egress=False)
    with cloud.database.write() as db:
        add_ipv6_entries(db, vpc)
    (acl,) = ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
    found = [(e["Egress"], e["RuleNumber"]) for e in acl["Entries"] if "Ipv6CidrBlock" in e]
    assert found == [(True, 101), (True, 32768), (False, 32768)]


def test_a_subnet_is_put_under_another_acl(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    default, association = acl_of(ec2, subnet)
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    asked = {"AssociationId": association, "NetworkAclId": acl}
    new = ec2.replace_network_acl_association(**asked)["NewAssociationId"]
    assert new != association and acl_of(ec2, subnet) == (acl, new)
    with cloud.database.read() as db:
        assert db.scalars(select(Task.workflow).where(Task.resource_id == vpc)).all() == ["sync_network"]
    with refused("InvalidAssociationID.NotFound"):
        ec2.replace_network_acl_association(**asked)
    with refused("DependencyViolation", acl):
        ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidParameterValue", "cannot delete default network ACL"):
        ec2.delete_network_acl(NetworkAclId=default)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.replace_network_acl_association(AssociationId=new, NetworkAclId=default)
    ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=[acl])
    cloud.settle()


def test_an_acl_is_for_subnets_of_its_own_vpc(ec2: Any, subnet: str, refused: Any) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_network_acl(VpcId=other)["NetworkAcl"]["NetworkAclId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.replace_network_acl_association(AssociationId=acl_of(ec2, subnet)[1], NetworkAclId=foreign)


def test_there_are_only_so_many_acls(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(quotas={"network ACLs per VPC": 2}).ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_network_acl(VpcId=vpc)
    with refused("NetworkAclLimitExceeded"):
        ec2.create_network_acl(VpcId=vpc)


def test_another_accounts_acl_is_not_found(cloud: Cloud, ec2: Any, vpc: str, subnet: str, refused: Any) -> None:
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    other = cloud.another_account()
    with refused("InvalidNetworkAclID.NotFound"):
        other.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidAssociationID.NotFound"):
        other.replace_network_acl_association(AssociationId=acl_of(ec2, subnet)[1], NetworkAclId=acl)
    with refused("InvalidVpcID.NotFound"):
        other.create_network_acl(VpcId=vpc)

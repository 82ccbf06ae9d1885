"""Network ACLs through a real client."""

from typing import Any

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


def test_acls_cannot_be_made_yet(ec2: Any, refused: Any) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    with refused("InvalidAction"):
        ec2.create_network_acl(VpcId=vpc)

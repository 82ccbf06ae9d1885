"""Rules of security groups revoked, modified and described anew, through a real client."""

from typing import Any

import pytest

from engine.state import Task
from tests.cloud import Cloud
from tests.translators.groups import CIDR, allow, inbound, make, modify, rules, shown, tcp


@pytest.fixture
def vpc(ec2: Any) -> str:
    id: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return id


@pytest.fixture
def group(ec2: Any, vpc: str) -> str:
    return make(ec2, VpcId=vpc)


@pytest.fixture
def default_group(ec2: Any) -> str:
    """A group of the default VPC."""
    return make(ec2)


def test_rules_are_revoked_by_what_they_are(ec2: Any, group: str) -> None:
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    kept, gone = allow(ec2, group, tcp(22), tcp(80), TagSpecifications=specification)
    described = tcp(80, "10.5.5.5/8") | {"IpRanges": [{"CidrIp": "10.5.5.5/8", "Description": "does not matter"}]}
    answer = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[described])
    assert answer["Return"] is True and "UnknownIpPermissions" not in answer
    assert answer["RevokedSecurityGroupRules"] == [
        {"SecurityGroupRuleId": gone["SecurityGroupRuleId"], "GroupId": group, "IsEgress": False, "IpProtocol": "tcp",
         "FromPort": 80, "ToPort": 80, "CidrIpv4": CIDR}
    ]  # fmt: skip
    assert rules(ec2, group) == [kept]
    left = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["security-group-rule"]}])["Tags"]
    assert [tag["ResourceId"] for tag in left] == [kept["SecurityGroupRuleId"]]


def test_rules_are_revoked_by_their_ids(ec2: Any, group: str, refused: Any) -> None:
    one, two = (rule["SecurityGroupRuleId"] for rule in allow(ec2, group, tcp(22), tcp(80)))
    (out,) = (rule["SecurityGroupRuleId"] for rule in rules(ec2, group, egress=True))
    for id in (out, "sgr-00000000000000000", "sgr-x"):
        with refused("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id}' does not exist"):
            ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[one, id])
    with refused("InvalidParameterCombination"):
        ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[one], IpPermissions=[tcp(80)])
    with refused("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."):
        ec2.revoke_security_group_ingress(GroupId=group)
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[one, one])
    ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[out])
    assert [rule["SecurityGroupRuleId"] for rule in rules(ec2, group)] == [two]
    assert rules(ec2, group, egress=True) == []


def test_a_rule_of_another_group_is_not_revoked(ec2: Any, group: str, vpc: str, refused: Any) -> None:
    (rule,) = allow(ec2, make(ec2, "other", VpcId=vpc), tcp(22))
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def test_what_is_not_there_cannot_be_revoked_and_then_nothing_is(ec2: Any, group: str, refused: Any) -> None:
    allow(ec2, group, tcp(22))
    with refused("InvalidPermission.NotFound", "The specified rule does not exist in this security group."):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(22), tcp(80)])
    assert len(rules(ec2, group)) == 1


def test_in_the_default_vpc_what_is_not_there_is_told_in_the_answer(ec2: Any, default_group: str) -> None:
    allow(ec2, default_group, tcp(22))
    answer = ec2.revoke_security_group_ingress(GroupId=default_group, IpPermissions=[tcp(22), tcp(80)])
    (unknown,) = answer["UnknownIpPermissions"]
    assert answer["Return"] is True and (unknown["FromPort"], unknown["IpRanges"]) == (80, [{"CidrIp": CIDR}])
    assert len(answer["RevokedSecurityGroupRules"]) == 1 and rules(ec2, default_group) == []
    answer = ec2.revoke_security_group_ingress(GroupId=default_group, IpPermissions=[tcp(80)])
    assert answer["UnknownIpPermissions"] == [unknown] and answer["RevokedSecurityGroupRules"] == []


def test_a_rule_is_modified_and_keeps_its_id_and_tags(ec2: Any, group: str) -> None:
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    (rule,) = allow(ec2, group, tcp(22), TagSpecifications=specification)
    id = rule["SecurityGroupRuleId"]
    change = {"IpProtocol": "6", "FromPort": 80, "ToPort": 81, "CidrIpv6": "FD00::1/8", "Description": "new"}
    answer = ec2.modify_security_group_rules(
        GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": id, "SecurityGroupRule": change}]
    )
    assert answer["Return"] is True
    del rule["CidrIpv4"]
    changed = rule | {"FromPort": 80, "ToPort": 81, "CidrIpv6": "fd00::/8", "Description": "new"}
    assert rules(ec2, group) == [changed]
    modify(ec2, group, id, IpProtocol="-1", ReferencedGroupId=group)
    assert inbound(ec2, group) == [
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group, "UserId": rule["GroupOwnerId"]}]}
    ]


def test_a_modification_that_cannot_be_is_refused(ec2: Any, group: str, vpc: str, refused: Any) -> None:
    one, two = (rule["SecurityGroupRuleId"] for rule in allow(ec2, group, tcp(22), tcp(80)))
    before = rules(ec2, group)
    with refused("InvalidPermission.Duplicate", "peer: 10.0.0.0/8, TCP, from port: 80"):
        modify(ec2, group, one, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIpv4=CIDR)
    with refused("InvalidParameterCombination"):
        modify(ec2, group, one, IpProtocol="-1", CidrIpv4=CIDR, CidrIpv6="::/0")
    with refused("MissingParameter", "include source"):
        modify(ec2, group, one, IpProtocol="-1")
    with refused("MissingParameter", "ipProtocol"):
        modify(ec2, group, one)
    with refused("InvalidPrefixListID.NotFound"):
        modify(ec2, group, one, IpProtocol="-1", PrefixListId="pl-12345678")
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        modify(ec2, make(ec2, "other", VpcId=vpc), one, IpProtocol="-1", CidrIpv4=CIDR)
    same = {"SecurityGroupRuleId": two, "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv4": CIDR}}
    with refused("InvalidParameterValue", "must not appear multiple times"):
        ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[same, same])
    with refused("MissingParameter"):
        ec2.modify_security_group_rules(GroupId=group)
    assert rules(ec2, group) == before


def test_two_rules_can_change_places(ec2: Any, group: str) -> None:
    one, two = (rule["SecurityGroupRuleId"] for rule in allow(ec2, group, tcp(22), tcp(80)))
    changes = [
        {"SecurityGroupRuleId": id,
         "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIpv4": CIDR}}
        for id, port in ((one, 80), (two, 22))
    ]  # fmt: skip
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=changes)
    assert {rule["SecurityGroupRuleId"]: rule["FromPort"] for rule in rules(ec2, group)} == {one: 80, two: 22}


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_descriptions_are_put_replaced_and_taken_away(ec2: Any, group: str, refused: Any, direction: str) -> None:
    egress = direction == "egress"
    getattr(ec2, f"authorize_security_group_{direction}")(GroupId=group, IpPermissions=[tcp(22)])
    update = getattr(ec2, f"update_security_group_rule_descriptions_{direction}")
    (id,) = (rule["SecurityGroupRuleId"] for rule in rules(ec2, group, egress) if rule["IpProtocol"] == "tcp")

    def text() -> Any:
        (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[id])["SecurityGroupRules"]
        return rule.get("Description")

    described = tcp(22) | {"IpRanges": [{"CidrIp": CIDR, "Description": "one"}]}
    assert update(GroupId=group, IpPermissions=[described])["Return"] is True and text() == "one"
    update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": id, "Description": "two"}])
    assert text() == "two"
    update(GroupId=group, IpPermissions=[tcp(22)])
    assert text() is None
    with refused("InvalidPermission.NotFound"):
        update(GroupId=group, IpPermissions=[tcp(23)])
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": "sgr-0", "Description": "x"}])
    with refused("InvalidParameterValue", "Invalid rule description"):
        update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": id, "Description": "'"}])
    with refused("MissingParameter"):
        update(GroupId=group)
    with refused("InvalidParameterCombination"):
        update(GroupId=group, IpPermissions=[tcp(22)], SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": id}])


def test_every_change_of_rules_reaches_the_network(cloud: Cloud, ec2: Any, group: str) -> None:
    def due() -> bool:
        with cloud.database.read() as db:
            task = db.get(Task, group)
            found = task is not None and task.workflow == "sync_group"
        cloud.settle()
        return found

    cloud.settle()
    (rule,) = allow(ec2, group, tcp(22))
    assert due()
    modify(ec2, group, rule["SecurityGroupRuleId"], IpProtocol="-1", CidrIpv4=CIDR)
    assert due()
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert due()
    ec2.delete_security_group(GroupId=group)
    with cloud.database.read() as db:
        task = db.get(Task, group)
        assert task is not None and task.workflow == "remove_group"
    cloud.settle()


def test_what_a_describe_shows_can_be_revoked_as_it_is(ec2: Any, group: str) -> None:
    allow(ec2, group, tcp(22), {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group, "Description": "d"}]})
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=shown(ec2, group)["IpPermissions"])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=shown(ec2, group)["IpPermissionsEgress"])
    assert ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ] == []  # fmt: skip

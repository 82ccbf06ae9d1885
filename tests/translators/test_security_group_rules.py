"""Rules of security groups through a real client: what is sent is what is read, and what EC2 refuses is refused."""

from typing import Any

import pytest

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


def test_what_is_authorized_is_read_back(ec2: Any, group: str) -> None:
    sent = [
        tcp(80, "10.0.0.0/8", "0.0.0.0/0", last=90),
        {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53,
         "IpRanges": [{"CidrIp": "192.168.1.0/24", "Description": "dns (inside)"}],
         "Ipv6Ranges": [{"CidrIpv6": "fd00::/8", "Description": "six"}]},
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]  # fmt: skip
    allow(ec2, group, *sent)

    def key(permission: Any) -> Any:
        return permission["IpProtocol"]

    def sort(permissions: Any) -> Any:
        return [p | {"IpRanges": sorted(p.get("IpRanges", []), key=str)} for p in sorted(permissions, key=key)]

    assert sort(inbound(ec2, group)) == sort(sent)


def test_the_answer_lists_the_rules_with_their_ids_and_tags(ec2: Any, group: str) -> None:
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "Name", "Value": "ssh"}]}]
    pair = {"IpRanges": [{"CidrIp": CIDR, "Description": "office"}], "UserIdGroupPairs": [{"GroupId": group}]}
    made = allow(ec2, group, tcp(22) | pair, TagSpecifications=specification)
    owner = shown(ec2, group)["OwnerId"]
    common = {
        "GroupId": group, "GroupOwnerId": owner, "IsEgress": False, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
        "Tags": [{"Key": "Name", "Value": "ssh"}],
    }  # fmt: skip
    ids = [rule["SecurityGroupRuleId"] for rule in made]
    arns = [f"arn:aws:ec2:us-east-1:{owner}:security-group-rule/{id}" for id in ids]
    assert made == [
        common | {"SecurityGroupRuleId": ids[0], "SecurityGroupRuleArn": arns[0], "CidrIpv4": CIDR,
                  "Description": "office"},
        common | {"SecurityGroupRuleId": ids[1], "SecurityGroupRuleArn": arns[1],
                  "ReferencedGroupInfo": {"GroupId": group, "UserId": owner}},
    ]  # fmt: skip
    found = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
    assert sorted(found, key=str) == sorted(made, key=str)


def test_rules_are_shown_in_one_structure_for_each_protocol_and_range_of_ports(ec2: Any, group: str) -> None:
    allow(ec2, group, tcp(22, "10.0.0.0/8"))
    allow(ec2, group, tcp(22, "11.0.0.0/8"), {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "12.0.0.0/8"}]})
    allow(ec2, group, tcp(22, last=23))
    assert sorted(inbound(ec2, group), key=str) == sorted(
        [
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "12.0.0.0/8"}]},
            tcp(22, "10.0.0.0/8", "11.0.0.0/8"),
            tcp(22, last=23),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("protocol", "low", "high", "kept"),
    [
        ("6", 1, 2, ("tcp", 1, 2)), ("17", 1, 2, ("udp", 1, 2)), ("1", 8, 0, ("icmp", 8, 0)),
        ("TCP", 1, 1, ("tcp", 1, 1)),
        ("58", -1, -1, ("icmpv6", -1, -1)), ("icmpv6", None, None, ("icmpv6", -1, -1)), ("06", 1, 1, ("tcp", 1, 1)),
        ("-1", 0, 0, ("-1", None, None)), ("-1", 22, 80, ("-1", None, None)), ("all", None, None, ("-1", None, None)),
        ("50", 0, 0, ("50", None, None)), ("50", None, None, ("50", None, None)), ("tcp", 0, 65535, ("tcp", 0, 65535)),
    ],
)  # fmt: skip
def test_protocols_and_ports_are_normal(ec2: Any, group: str, protocol: str, low: Any, high: Any, kept: Any) -> None:
    ports = {k: v for k, v in (("FromPort", low), ("ToPort", high)) if v is not None}
    (rule,) = allow(ec2, group, {"IpProtocol": protocol, **ports, "IpRanges": [{"CidrIp": CIDR}]})
    (found,) = inbound(ec2, group)
    assert (found["IpProtocol"], found.get("FromPort"), found.get("ToPort")) == kept
    expected = (kept[0], *(-1 if port is None else port for port in kept[1:]))
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == expected


@pytest.mark.parametrize(
    ("protocol", "low", "high", "code", "text"),
    [
        ("tcp", 1, None, "InvalidParameterValue", "Must specify both from and to ports with TCP/UDP."),
        ("udp", None, None, "InvalidParameterValue", "Must specify both from and to ports with TCP/UDP."),
        ("icmp", None, None, "InvalidParameterValue", "Must specify both from and to ports with ICMP."),
        ("icmpv6", 1, None, "InvalidParameterValue", "Must specify both from and to ports with ICMP."),
        ("tcp", -1, -1, "InvalidParameterValue", "TCP/UDP port (-1) out of range"),
        ("tcp", 1, 65536, "InvalidParameterValue", "TCP/UDP port (65536) out of range"),
        ("tcp", 2, 1, "InvalidPermission.Malformed", "Invalid TCP/UDP port range (2:1)"),
        ("icmp", 0, 65535, "InvalidParameterValue", "ICMP code (65535) out of range"),
        ("icmp", 256, 0, "InvalidParameterValue", "ICMP type (256) out of range"),
        ("icmp", -1, 3, "InvalidPermission.Malformed", "ICMP"),
        ("tpc", 1, 1, "InvalidParameterValue", "Invalid value 'tpc' for IP protocol. Unknown protocol."),
        ("256", 1, 1, "InvalidParameterValue", "Unknown protocol"),
        ("-2", 1, 1, "InvalidParameterValue", "Unknown protocol"),
        (None, 1, 1, "MissingParameter", "ipProtocol"),
    ],
)
def test_a_protocol_or_port_that_cannot_be_is_refused(
    ec2: Any, group: str, refused: Any, protocol: Any, low: Any, high: Any, code: str, text: str
) -> None:
    given = {k: v for k, v in (("IpProtocol", protocol), ("FromPort", low), ("ToPort", high)) if v is not None}
    with refused(code, text):
        allow(ec2, group, tcp(7), given | {"IpRanges": [{"CidrIp": CIDR}]})
    assert inbound(ec2, group) == []


def test_cidrs_lose_their_host_bits(ec2: Any, group: str) -> None:
    permission = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "100.68.0.18/18"}, {"CidrIp": "10.1.2.3/32"}],
                  "Ipv6Ranges": [{"CidrIpv6": "2001:DB8:1234:1A00::0001/56"}]}  # fmt: skip
    assert {rule.get("CidrIpv4") or rule["CidrIpv6"] for rule in allow(ec2, group, permission)} == {
        "100.68.0.0/18", "10.1.2.3/32", "2001:db8:1234:1a00::/56",
    }  # fmt: skip


@pytest.mark.parametrize(
    "cidr", ["10.0.0.5", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/255.0.0.0", "x", "", "010.0.0.0/8"]
)
def test_a_range_that_is_none_is_refused(ec2: Any, group: str, refused: Any, cidr: str) -> None:
    with refused("InvalidParameterValue", f"CIDR block {cidr} is malformed"):
        allow(ec2, group, tcp(1, cidr))
    six = cidr.replace("::/0", "10.0.0.0/8")
    with refused("InvalidParameterValue", "is malformed"):
        allow(ec2, group, {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": six}]})


def test_a_rule_that_is_there_is_a_duplicate(ec2: Any, group: str, refused: Any) -> None:
    ping = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": CIDR}]}
    esp = {"IpProtocol": "50", "UserIdGroupPairs": [{"GroupId": group}]}
    allow(ec2, group, tcp(22), ping, esp)
    for permission, text in (
        (tcp(22, "10.9.9.9/8"), f"peer: {CIDR}, TCP, from port: 22, to port: 22, ALLOW"),
        (ping, f"peer: {CIDR}, ICMP, type: ALL, code: ALL, ALLOW"),
        (esp, f"peer: {group}, protocol: 50, ALLOW"),
    ):
        with refused("InvalidPermission.Duplicate", f'the specified rule "{text}" already exists'):
            allow(ec2, group, tcp(23), permission)
    with refused("InvalidPermission.Duplicate", 'the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists'):
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everything)
    with refused("InvalidParameterValue", "The same permission must not appear multiple times"):
        allow(ec2, group, tcp(24), tcp(24, "10.1.0.0/8"))
    assert len(rules(ec2, group)) == 3


def test_descriptions_have_the_characters_that_ec2_takes(ec2: Any, group: str, refused: Any) -> None:
    good = "azAZ09 ._-:/()#,@[]+=&;{}!$*"
    (rule,) = allow(ec2, group, tcp(1) | {"IpRanges": [{"CidrIp": CIDR, "Description": good}]})
    assert rule["Description"] == good
    for bad in ("a > b", "it's", "x" * 256, "ü"):
        with refused("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256"):
            allow(ec2, group, tcp(2) | {"IpRanges": [{"CidrIp": CIDR, "Description": bad}]})


def test_a_rule_has_a_source(ec2: Any, group: str, refused: Any) -> None:
    with refused("MissingParameter", "include source security group or CIDR information"):
        allow(ec2, group, {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1})
    with refused("MissingParameter", "Source group ID missing."):
        allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [{"Description": "x"}]})
    with refused("MissingParameter", "ipPermissions"):
        ec2.authorize_security_group_ingress(GroupId=group)
    with refused("InvalidPrefixListID.NotFound", "The prefix list ID 'pl-12345678' does not exist"):
        allow(ec2, group, {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-12345678"}]})


def test_a_peer_is_a_group_of_the_same_vpc_and_account(
    cloud: Cloud, ec2: Any, group: str, refused: Any, vpc: str
) -> None:
    elsewhere = make(ec2, "elsewhere")
    theirs = make(cloud.another_account(), "theirs")
    for pair, text in (
        ({"GroupId": elsewhere}, "two resources that belong to different networks"),
        ({"GroupName": "elsewhere"}, "two resources that belong to different networks"),
        ({"GroupName": "nobody"}, "'nobody' does not exist"),
        ({"GroupId": theirs}, f"The security group '{theirs}' does not exist"),
        ({"GroupId": theirs, "UserId": "222222222222"}, f"The security group '{theirs}' does not exist"),
        ({"GroupId": group, "UserId": "222222222222"}, "does not exist"),
        ({"GroupId": group, "GroupName": "other"}, "'other' does not exist"),
        ({"GroupId": group, "VpcId": "vpc-1"}, "different networks"),
        ({"GroupId": "sg-00000000000000000"}, "does not exist"),
    ):
        with refused("InvalidGroup.NotFound", text):
            allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [pair]})
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        pair = {"GroupId": group, "VpcPeeringConnectionId": "pcx-00000000000000000"}
        allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [pair]})
    with refused("UnsupportedOperation", "PeeringStatus"):
        pair = {"GroupId": group, "PeeringStatus": "active"}
        allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [pair]})
    owner = shown(ec2, group)["OwnerId"]
    pair = {"GroupId": group, "UserId": owner, "VpcId": vpc, "GroupName": "web", "Description": "self"}
    allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [pair]})
    (found,) = inbound(ec2, group)
    assert found["UserIdGroupPairs"] == [{"GroupId": group, "UserId": owner, "Description": "self"}]


def test_a_group_of_the_default_vpc_goes_by_its_name(ec2: Any, default_group: str, refused: Any) -> None:
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "default"}]}
    ec2.authorize_security_group_ingress(GroupName="web", IpPermissions=[pair])
    assert len(rules(ec2, default_group)) == 1
    ec2.update_security_group_rule_descriptions_ingress(GroupName="web", IpPermissions=[pair])
    ec2.revoke_security_group_ingress(GroupName="web", IpPermissions=[pair])
    assert rules(ec2, default_group) == []
    with refused("InvalidGroup.NotFound"):
        ec2.authorize_security_group_ingress(GroupName="nobody", IpPermissions=[pair])
    with refused("MissingParameter"):
        ec2.authorize_security_group_ingress(IpPermissions=[pair])


def test_one_range_may_be_given_outside_the_permissions(ec2: Any, group: str, refused: Any) -> None:
    single = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.9.9.9/8"}
    (rule,) = ec2.authorize_security_group_ingress(**single)["SecurityGroupRules"]
    assert (rule["FromPort"], rule["CidrIpv4"]) == (22, CIDR)
    with refused("InvalidParameterCombination"):
        ec2.authorize_security_group_ingress(**single, IpPermissions=[tcp(1)])
    with refused("InvalidParameterCombination"):
        ec2.authorize_security_group_ingress(**single, SourceSecurityGroupName="default")
    with refused("MissingParameter"):
        ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=1, ToPort=1)
    ec2.revoke_security_group_ingress(**single)
    assert rules(ec2, group) == []


def test_a_source_group_outside_the_permissions_may_send_all_tcp_udp_and_icmp(
    ec2: Any, default_group: str, refused: Any
) -> None:
    source = {"GroupName": "web", "SourceSecurityGroupName": "default"}
    made = ec2.authorize_security_group_ingress(**source)["SecurityGroupRules"]
    assert [(r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in made] == [
        ("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1),
    ]  # fmt: skip
    with refused("InvalidGroup.NotFound"):
        ec2.authorize_security_group_ingress(**source, SourceSecurityGroupOwnerId="222222222222")
    with refused("MissingParameter", "Source group ID missing."):
        ec2.authorize_security_group_ingress(GroupName="web", SourceSecurityGroupOwnerId="222222222222")
    owner = shown(ec2, default_group)["OwnerId"]
    ec2.revoke_security_group_ingress(**source, SourceSecurityGroupOwnerId=owner)
    assert rules(ec2, default_group) == []


def test_egress_takes_permissions_only(ec2: Any, group: str, refused: Any) -> None:
    with refused("UnsupportedOperation", "CidrIp"):
        ec2.authorize_security_group_egress(GroupId=group, CidrIp=CIDR)
    with refused("MissingParameter"):
        ec2.authorize_security_group_egress(IpPermissions=[tcp(1)])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(1)])
    assert len(rules(ec2, group, egress=True)) == 2 and rules(ec2, group) == []


def test_sixty_rules_fit_in_each_direction_and_ip_version(ec2: Any, group: str, refused: Any) -> None:
    sixty = [tcp(port) for port in range(60)]
    six = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
           for port in range(59)]  # fmt: skip
    allow(ec2, group, *sixty, *six)
    over = "RulesPerSecurityGroupLimitExceeded"
    with refused(over, "The maximum number of rules per security group has been reached."):
        allow(ec2, group, tcp(60))
    with refused(over):
        allow(ec2, group, {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]})
    with refused(over):
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=sixty)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=sixty[:59])
    assert len(rules(ec2, group)) == 119


def test_rules_are_filtered_and_paged(ec2: Any, group: str, refused: Any) -> None:
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "team", "Value": "a"}]}]
    ids = sorted(
        rule["SecurityGroupRuleId"]
        for rule in allow(ec2, group, *(tcp(port) for port in range(7)), TagSpecifications=specification)
    )
    mine = [{"Name": "group-id", "Values": [group]}, {"Name": "tag:team", "Values": ["a"]}]
    pages = ec2.get_paginator("describe_security_group_rules").paginate(Filters=mine, PaginationConfig={"PageSize": 5})
    assert [r["SecurityGroupRuleId"] for p in pages for r in p["SecurityGroupRules"]] == ids
    one = [{"Name": "security-group-rule-id", "Values": ids[:1]}]
    assert len(ec2.describe_security_group_rules(Filters=one)["SecurityGroupRules"]) == 1
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        ec2.describe_security_group_rules(SecurityGroupRuleIds=["sgr-00000000000000000"])


def test_another_accounts_rules_are_out_of_reach(cloud: Cloud, ec2: Any, group: str, refused: Any) -> None:
    (rule,) = allow(ec2, group, tcp(22))
    other = cloud.another_account()
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        other.describe_security_group_rules(SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    for call in (other.authorize_security_group_ingress, other.revoke_security_group_ingress):
        with refused("InvalidGroup.NotFound"):
            call(GroupId=group, IpPermissions=[tcp(23)])
    with refused("InvalidGroup.NotFound"):
        modify(other, group, rule["SecurityGroupRuleId"], IpProtocol="-1", CidrIpv4=CIDR)
    assert rules(ec2, group) == [rule]


def test_a_dry_run_changes_no_rule(ec2: Any, group: str, refused: Any) -> None:
    (rule,) = allow(ec2, group, tcp(22))
    with refused("DryRunOperation"):
        allow(ec2, group, tcp(23), DryRun=True)
    with refused("DryRunOperation"):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(22)], DryRun=True)
    assert rules(ec2, group) == [rule]


def test_terraform_makes_a_group_of_its_own_rules(ec2: Any, vpc: str, refused: Any) -> None:
    """The provider takes the rule away that EC2 put, then puts what the configuration says."""
    id = make(ec2, "tf", VpcId=vpc)
    default = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=id, IpPermissions=[default])
    with refused("InvalidPermission.NotFound"):
        six = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
        ec2.revoke_security_group_egress(GroupId=id, IpPermissions=[six])
    assert shown(ec2, id)["IpPermissionsEgress"] == []
    ec2.authorize_security_group_egress(GroupId=id, IpPermissions=[default])
    (out,) = shown(ec2, id)["IpPermissionsEgress"]
    assert out["IpProtocol"] == "-1" and "FromPort" not in out and "ToPort" not in out

"""Security groups through a real client."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.state import SecurityGroupRule, Tag
from tests.cloud import Cloud
from tests.translators.groups import make, shown

ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
EMPTY = {"IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}


def names(answer: Any) -> list[str]:
    return sorted(group["GroupName"] for group in answer["SecurityGroups"])


def where(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


@pytest.fixture
def vpc(ec2: Any) -> str:
    id: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return id


def test_a_new_group_lets_everything_out_and_nothing_in(ec2: Any, vpc: str) -> None:
    tags = [{"Key": "Name", "Value": "front <&>"}]
    specification = [{"ResourceType": "security-group", "Tags": tags}]
    made = ec2.create_security_group(GroupName="web", Description="a group", VpcId=vpc, TagSpecifications=specification)
    id = made["GroupId"]
    group = shown(ec2, id)
    assert made["Tags"] == tags and made["SecurityGroupArn"] == group["SecurityGroupArn"]
    assert group["SecurityGroupArn"] == f"arn:aws:ec2:us-east-1:{group['OwnerId']}:security-group/{id}"
    assert (group["GroupName"], group["Description"], group["VpcId"]) == ("web", "a group", vpc)
    assert group["IpPermissions"] == [] and group["Tags"] == tags
    assert group["IpPermissionsEgress"] == [EMPTY | ANYWHERE]


def test_without_a_vpc_a_group_is_in_the_default_one(ec2: Any, refused: Any) -> None:
    (default,) = ec2.describe_vpcs()["Vpcs"]
    assert shown(ec2, make(ec2))["VpcId"] == default["VpcId"]


def test_without_a_default_vpc_a_group_needs_to_be_told_its_vpc(cloud: Cloud, refused: Any, vpc: str) -> None:
    from engine.state import Vpc

    with cloud.database.write() as db:
        for row in db.query(Vpc).filter_by(is_default=True):
            row.is_default = False
    with refused("VPCIdNotSpecified", "No default VPC for this user"):
        make(cloud.ec2)
    with refused("VPCIdNotSpecified"):
        cloud.ec2.describe_security_groups(GroupNames=["default"])
    assert make(cloud.ec2, VpcId=vpc)


def test_the_default_vpc_has_a_group_whose_members_reach_each_other(ec2: Any) -> None:
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    pair = {"GroupId": group["GroupId"], "UserId": group["OwnerId"]}
    assert group["IpPermissions"] == [EMPTY | {"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]
    assert group["IpPermissionsEgress"] == [EMPTY | ANYWHERE]


def test_a_name_is_taken_once_in_a_vpc_whatever_its_case(ec2: Any, refused: Any, vpc: str) -> None:
    make(ec2, "web", VpcId=vpc)
    make(ec2, "web")
    for name in ("web", "WEB", "web  "):
        with refused("InvalidGroup.Duplicate", f"already exists for VPC '{vpc}'"):
            make(ec2, name, VpcId=vpc)


@pytest.mark.parametrize(
    ("name", "description", "code", "text"),
    [
        ("sg-web", "x", "InvalidParameterValue", "may not be in the format sg-*"),
        ("default", "x", "InvalidParameterValue", "Cannot use reserved security group name: default"),
        ("Default", "x", "InvalidParameterValue", "reserved"),
        ("", "x", "MissingParameter", "groupName"),
        ("n" * 256, "x", "InvalidParameterValue", "less than 256 characters"),
        ("a'b", "x", "InvalidParameterValue", "Invalid security group name"),
        ("gruppe-ä", "x", "InvalidParameterValue", "Character sets beyond ASCII are not supported."),
        ("web", "", "MissingParameter", "GroupDescription"),
        ("web", "it's", "InvalidParameterValue", "Invalid security group description"),
        ("web", "d" * 256, "InvalidParameterValue", "less than 256 characters"),
        ("web", "→", "InvalidParameterValue", "for parameter GroupDescription is invalid. Character sets"),
    ],
)
def test_a_name_or_description_that_ec2_refuses_is_refused(
    ec2: Any, refused: Any, name: str, description: str, code: str, text: str
) -> None:
    with refused(code, text):
        ec2.create_security_group(GroupName=name, Description=description)
    assert names(ec2.describe_security_groups()) == ["default"]


def test_all_characters_that_ec2_takes_come_back(ec2: Any) -> None:
    text = "azAZ09 ._-:/()#,@[]+=&;{}!$*"
    group = shown(ec2, ec2.create_security_group(GroupName=text, Description=text)["GroupId"])
    assert (group["GroupName"], group["Description"]) == (text, text)
    long = "n" * 255
    assert shown(ec2, make(ec2, long))["GroupName"] == long


def test_a_group_is_made_in_a_vpc_that_is_there(ec2: Any, cloud: Cloud, refused: Any, vpc: str) -> None:
    with refused("InvalidVpcID.NotFound"):
        make(ec2, VpcId="vpc-00000000000000000")
    with refused("InvalidVpcID.NotFound"):
        make(cloud.another_account(), VpcId=vpc)


def test_a_dry_run_makes_and_deletes_nothing(ec2: Any, refused: Any) -> None:
    id = make(ec2)
    with refused("DryRunOperation"):
        make(ec2, "other", DryRun=True)
    with refused("DryRunOperation"):
        ec2.delete_security_group(GroupId=id, DryRun=True)
    with refused("DryRunOperation"):
        ec2.describe_security_groups(DryRun=True)
    assert names(ec2.describe_security_groups()) == ["default", "web"]


def test_too_many_groups_are_refused(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    ec2 = make_cloud(quotas={"security groups": 2}).ec2
    make(ec2, "one")
    with refused("SecurityGroupLimitExceeded"):
        make(ec2, "two")


def test_a_group_goes_with_its_rules_and_tags(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = make(ec2)
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "b"}])
    ec2.authorize_security_group_ingress(
        GroupId=id,
        IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": id}]}],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    answer = ec2.delete_security_group(GroupId=id)
    assert (answer["Return"], answer["GroupId"]) == (True, id)
    with refused("InvalidGroup.NotFound", f"The security group '{id}' does not exist"):
        ec2.describe_security_groups(GroupIds=[id])
    with cloud.database.read() as db:
        assert db.query(SecurityGroupRule).filter_by(group_id=id).count() == 0 and db.query(Tag).count() == 0
    cloud.settle()
    with refused("InvalidGroup.NotFound"):
        ec2.delete_security_group(GroupId=id)


def test_a_group_of_the_default_vpc_can_be_deleted_by_name(ec2: Any, refused: Any, vpc: str) -> None:
    make(ec2)
    elsewhere = make(ec2, "elsewhere", VpcId=vpc)
    ec2.delete_security_group(GroupName="web")
    (default,) = ec2.describe_vpcs(Filters=where("is-default", "true"))["Vpcs"]
    text = f"The security group 'elsewhere' does not exist in default VPC '{default['VpcId']}'"
    with refused("InvalidGroup.NotFound", text):
        ec2.delete_security_group(GroupName="elsewhere")
    with refused("MissingParameter", "groupName or groupId"):
        ec2.delete_security_group()
    with refused("InvalidParameterCombination"):
        ec2.delete_security_group(GroupName="elsewhere", GroupId=elsewhere)
    assert names(ec2.describe_security_groups()) == ["default", "default", "elsewhere"]


def test_the_default_group_stays(ec2: Any, refused: Any) -> None:
    (group,) = ec2.describe_security_groups()["SecurityGroups"]
    with refused("CannotDelete", f'the specified group: "{group["GroupId"]}" name: "default" cannot be deleted by'):
        ec2.delete_security_group(GroupId=group["GroupId"])
    assert shown(ec2, group["GroupId"]) == group


def test_a_group_that_another_groups_rule_names_stays(ec2: Any, refused: Any) -> None:
    one, other = make(ec2, "one"), make(ec2, "other")
    rule = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": one}]}]
    ec2.authorize_security_group_egress(GroupId=other, IpPermissions=rule)
    with refused("DependencyViolation", f"resource {one} has a dependent object"):
        ec2.delete_security_group(GroupId=one)
    ec2.delete_security_group(GroupId=other)
    ec2.delete_security_group(GroupId=one)


def test_a_group_that_an_interface_is_in_stays(cloud: Cloud, ec2: Any, refused: Any) -> None:
    from engine.state import InterfaceGroup, NetworkInterface, Subnet

    id = make(ec2)
    with cloud.database.write() as db:
        subnet = db.query(Subnet).first()
        assert subnet is not None
        interface = NetworkInterface(
            id="eni-00000000000000001", account=subnet.account, region=subnet.region, vpc_id=subnet.vpc_id,
            subnet_id=subnet.id, zone=subnet.zone, mac="02:00:00:00:00:01", private_ip="172.31.0.99",
        )  # fmt: skip
        db.add(interface)
        db.flush()
        db.add(InterfaceGroup(interface_id=interface.id, group_id=id))
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=id)


def test_another_accounts_group_is_not_found(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = make(ec2)
    other = cloud.another_account()
    with refused("InvalidGroup.NotFound"):
        other.describe_security_groups(GroupIds=[id])
    with refused("InvalidGroup.NotFound"):
        other.describe_security_groups(GroupNames=["web"])
    with refused("InvalidGroup.NotFound"):
        other.delete_security_group(GroupId=id)
    assert names(other.describe_security_groups()) == ["default"]
    make(other)
    assert names(other.describe_security_groups(GroupNames=["web"])) == ["web"]
    assert shown(ec2, id)


def test_an_id_that_cannot_be_is_malformed(ec2: Any, refused: Any) -> None:
    with refused("InvalidGroupId.Malformed"):
        ec2.describe_security_groups(GroupIds=["web"])


def test_groups_are_found_by_names_and_ids_together(ec2: Any, refused: Any) -> None:
    one, _ = make(ec2, "one"), make(ec2, "two")
    assert names(ec2.describe_security_groups(GroupIds=[one], GroupNames=["default"])) == ["default", "one"]
    with refused("InvalidGroup.NotFound", "'three' does not exist in default VPC"):
        ec2.describe_security_groups(GroupNames=["one", "three"])


def test_groups_are_paged(ec2: Any) -> None:
    ids = sorted([make(ec2, f"g{i}") for i in range(11)])
    pages = ec2.get_paginator("describe_security_groups").paginate(
        Filters=where("group-name", "g*"), PaginationConfig={"PageSize": 5}
    )
    found = [[g["GroupId"] for g in page["SecurityGroups"]] for page in pages]
    assert [len(page) for page in found] == [5, 5, 1] and [id for page in found for id in page] == ids


def test_groups_are_filtered_by_their_own_values(ec2: Any, vpc: str) -> None:
    id = make(ec2, VpcId=vpc, TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "k"}]}])
    owner = shown(ec2, id)["OwnerId"]
    for filters in (
        where("description", "a gro*") + where("vpc-id", vpc), where("group-id", id), where("group-name", "w?b"),
        where("tag-key", "k"), where("tag:k", ""), where("owner-id", owner) + where("group-name", "web"),
    ):  # fmt: skip
        assert names(ec2.describe_security_groups(Filters=filters)) == ["web"], filters
    for filters in (where("group-name", "Web"), where("vpc-id", "vpc-1"), where("owner-id", "1"), where("tag-key", "")):
        assert names(ec2.describe_security_groups(Filters=filters)) == [], filters


@pytest.mark.parametrize("prefix", ["ip-permission.", "egress.ip-permission."])
def test_groups_are_filtered_by_their_rules(ec2: Any, prefix: str, vpc: str) -> None:
    peer = make(ec2, "peer", VpcId=vpc)
    web = make(ec2, "web", VpcId=vpc)
    permissions = [
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 90, "IpRanges": [{"CidrIp": "10.1.0.0/16"}],
         "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}]},
        {"IpProtocol": "50", "UserIdGroupPairs": [{"GroupId": peer}]},
    ]  # fmt: skip
    if prefix.startswith("egress"):
        ec2.authorize_security_group_egress(GroupId=web, IpPermissions=permissions)
    else:
        ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=permissions)
    mine = where("vpc-id", vpc) + where("group-name", "web", "peer")
    owner = shown(ec2, web)["OwnerId"]
    for name, value in (
        ("cidr", "10.1.*"), ("from-port", "80"), ("to-port", "90"), ("group-id", peer), ("group-name", "pe*"),
        ("ipv6-cidr", "fd00::/8"), ("protocol", "tcp"), ("protocol", "6"), ("protocol", "50"), ("user-id", owner),
    ):  # fmt: skip
        found = ec2.describe_security_groups(Filters=[*mine, *where(prefix + name, value)])
        assert names(found) == ["web"], (name, value)
    for name, value in (("cidr", "10.1.0.0/17"), ("from-port", "90"), ("prefix-list-id", "*"), ("group-name", "web"),
                        ("protocol", "udp"), ("ipv6-cidr", "10*"), ("user-id", "")):  # fmt: skip
        found = ec2.describe_security_groups(Filters=[*mine, *where(prefix + name, value)])
        assert names(found) == [], (name, value)


def test_any_combination_of_rules_may_match_several_filters(ec2: Any) -> None:
    id = make(ec2)
    for port, cidr in ((80, "10.0.0.0/8"), (443, "192.168.0.0/16")):
        ec2.authorize_security_group_ingress(GroupId=id, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=cidr)
    both = where("ip-permission.from-port", "80") + where("ip-permission.cidr", "192.168.0.0/16")
    assert names(ec2.describe_security_groups(Filters=both)) == ["web"]

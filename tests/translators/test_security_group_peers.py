"""Rules that name groups of peered VPCs or prefix lists, and what becomes of them."""

from typing import Any

import pytest

from engine import desired
from engine.reconciler import reconcile
from engine.state import Peering, Task
from tests.cloud import OPERATOR, Cloud
from tests.translators.groups import allow, by_list, inbound, make, make_list, modify, rules, shown
from tests.translators.peers import OTHER, Side, connect, request, side, two_accounts


@pytest.fixture
def both(cloud: Cloud) -> tuple[Side, Side]:
    return two_accounts(cloud)


def ssh_from(group: str, **pair: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": group, **pair}]}


def peers_of(cloud: Cloud, group: str) -> list[Any]:
    found = cloud.look(lambda db: desired.group(db, group))
    assert found is not None
    return [rule.peer for rule in found.rules if rule.direction == "in"]


def stale(one: Side) -> list[Any]:
    found: list[Any] = one.ec2.describe_stale_security_groups(VpcId=one.vpc)["StaleSecurityGroupSet"]
    return found


# -- groups of peers -------------------------------------------------------------


def test_a_rule_names_a_group_of_a_peered_vpc(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    (rule,) = allow(mine.ec2, web, ssh_from(app, UserId=OTHER, Description="them"))
    way = {"VpcId": theirs.vpc, "VpcPeeringConnectionId": id, "PeeringStatus": "active"}
    assert rule["ReferencedGroupInfo"] == {"GroupId": app, "UserId": OTHER, **way}
    assert rules(mine.ec2, web) == [rule]
    (permission,) = inbound(mine.ec2, web)
    pair = {"GroupId": app, "UserId": OTHER, "GroupName": "app", "Description": "them", **way}
    assert permission["UserIdGroupPairs"] == [pair]
    assert peers_of(cloud, web) == [app]
    assert stale(mine) == []
    # What is shown can be sent as it is.
    mine.ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=[permission])
    allow(mine.ec2, web, permission)
    assert inbound(mine.ec2, web) == [permission]


def test_whose_the_peers_group_is_need_not_be_said(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    (rule,) = allow(mine.ec2, web, ssh_from(app))
    assert rule["ReferencedGroupInfo"]["UserId"] == OTHER
    modify(mine.ec2, web, rule["SecurityGroupRuleId"], IpProtocol="udp", FromPort=1, ToPort=2, ReferencedGroupId=app)
    mine.ec2.authorize_security_group_egress(GroupId=web, IpPermissions=[ssh_from(app, UserId=OTHER)])
    for pair, code in (
        ({"UserId": OPERATOR}, "InvalidGroup.NotFound"),
        ({"VpcId": mine.vpc}, "InvalidGroup.NotFound"),
        ({"GroupName": "web"}, "InvalidGroup.NotFound"),
        ({"VpcPeeringConnectionId": "pcx-00000000000000000"}, "InvalidVpcPeeringConnectionID.NotFound"),
        ({"PeeringStatus": "deleted"}, "UnsupportedOperation"),
    ):
        with refused(code):
            allow(mine.ec2, web, ssh_from(app, **pair))


def test_without_an_active_peering_there_is_no_such_group(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    with refused("InvalidGroup.NotFound", f"The security group '{app}' does not exist"):
        allow(mine.ec2, web, ssh_from(app, UserId=OTHER))
    id = request(mine, theirs)
    with refused("InvalidGroup.NotFound"):
        allow(mine.ec2, web, ssh_from(app, UserId=OTHER))
    own = side(mine.ec2, "10.3.0.0/16")
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        allow(mine.ec2, web, ssh_from(make(mine.ec2, "own", VpcId=own.vpc), VpcPeeringConnectionId=id))


def test_a_deleted_peering_leaves_stale_rules_that_let_nothing_pass(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    allow(
        mine.ec2, web, ssh_from(app, Description="them"), {"IpProtocol": "50", "UserIdGroupPairs": [{"GroupId": web}]}
    )
    cloud.settle()
    theirs.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert cloud.look(lambda db: db.get_one(Task, web).workflow) == "sync_group"
    assert peers_of(cloud, web) == [web]
    pair = {
        "GroupId": app, "UserId": OTHER, "GroupName": "app", "Description": "them", "VpcId": theirs.vpc,
        "VpcPeeringConnectionId": id, "PeeringStatus": "deleted",
    }  # fmt: skip
    expected = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [pair]}
    assert stale(mine) == [
        {"GroupId": web, "GroupName": "web", "Description": "a group", "VpcId": mine.vpc,
         "StaleIpPermissions": [expected], "StaleIpPermissionsEgress": []}
    ]  # fmt: skip
    assert stale(theirs) == []
    with cloud.database.write() as db:
        db.get_one(Peering, id).ended = "2020-01-01T00:00:00.000Z"
    reconcile(cloud.engine)
    assert stale(mine)[0]["StaleIpPermissions"] == [expected]
    mine.ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=stale(mine)[0]["StaleIpPermissions"])
    assert stale(mine) == []
    cloud.settle()


def test_a_new_peering_brings_stale_rules_back(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    old = connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    allow(mine.ec2, web, ssh_from(app))
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=old)
    cloud.settle()
    new = connect(theirs, mine)
    assert cloud.look(lambda db: db.get_one(Task, web).workflow) == "sync_group"
    assert peers_of(cloud, web) == [app] and stale(mine) == []
    assert inbound(mine.ec2, web)[0]["UserIdGroupPairs"][0]["VpcPeeringConnectionId"] == new
    cloud.settle()


def test_a_group_that_a_peer_names_can_be_deleted(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    mine.ec2.authorize_security_group_egress(GroupId=web, IpPermissions=[ssh_from(app)])
    answer = theirs.ec2.describe_security_group_references(GroupId=[app])
    assert answer["SecurityGroupReferenceSet"] == [
        {"GroupId": app, "ReferencingVpcId": mine.vpc, "VpcPeeringConnectionId": id}
    ]
    theirs.ec2.delete_security_group(GroupId=app)
    (found,) = stale(mine)
    assert found["StaleIpPermissions"] == []
    (permission,) = found["StaleIpPermissionsEgress"]
    assert permission["UserIdGroupPairs"] == [
        {"GroupId": app, "VpcId": theirs.vpc, "VpcPeeringConnectionId": id, "PeeringStatus": "active"}
    ]
    cloud.settle()


def test_references_are_those_of_ones_own_groups(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    web, app = make(mine.ec2, "web", VpcId=mine.vpc), make(theirs.ec2, "app", VpcId=theirs.vpc)
    allow(mine.ec2, web, ssh_from(app), {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]})
    assert mine.ec2.describe_security_group_references(GroupId=[web])["SecurityGroupReferenceSet"] == []
    with refused("InvalidGroup.NotFound"):
        mine.ec2.describe_security_group_references(GroupId=[web, app])
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert theirs.ec2.describe_security_group_references(GroupId=[app])["SecurityGroupReferenceSet"] == []


def test_stale_groups_are_those_of_ones_own_vpc_and_paged(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    app = make(theirs.ec2, "app", VpcId=theirs.vpc)
    ids = sorted(make(mine.ec2, f"g{n}", VpcId=mine.vpc) for n in range(7))
    for group in ids:
        allow(mine.ec2, group, ssh_from(app))
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    pages = mine.ec2.get_paginator("describe_stale_security_groups").paginate(
        VpcId=mine.vpc, PaginationConfig={"PageSize": 5}
    )
    found = [[group["GroupId"] for group in page["StaleSecurityGroupSet"]] for page in pages]
    assert [len(page) for page in found] == [5, 2] and [id for page in found for id in page] == ids
    with refused("InvalidVpcID.NotFound"):
        stale(Side(theirs.ec2, mine.vpc))


def test_a_vpc_that_goes_leaves_stale_rules_with_its_peer(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    connect(mine, theirs)
    web = make(mine.ec2, "web", VpcId=mine.vpc)
    (app,) = theirs.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [theirs.vpc]}])["SecurityGroups"]
    allow(mine.ec2, web, ssh_from(app["GroupId"]))
    allow(theirs.ec2, app["GroupId"], ssh_from(web))
    theirs.ec2.delete_vpc(VpcId=theirs.vpc)
    assert stale(mine)[0]["StaleIpPermissions"][0]["UserIdGroupPairs"][0]["PeeringStatus"] == "deleted"
    assert peers_of(cloud, web) == []
    cloud.settle()
    mine.ec2.delete_security_group(GroupId=web)
    cloud.settle()


def test_groups_for_a_vpc_are_those_made_in_it(cloud: Cloud, ec2: Any, refused: Any) -> None:
    mine, theirs = two_accounts(cloud)
    tags = [{"Key": "a", "Value": "b"}]
    web = make(ec2, "web", VpcId=mine.vpc, TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}])
    make(ec2, "elsewhere")

    def found(name: str = "", value: str = "") -> list[Any]:
        filters = [{"Name": name, "Values": [value]}] if name else []
        answer: list[Any] = ec2.get_security_groups_for_vpc(VpcId=mine.vpc, Filters=filters)["SecurityGroupForVpcs"]
        return answer

    expected = {
        "GroupId": web, "GroupName": "web", "Description": "a group", "OwnerId": OPERATOR, "PrimaryVpcId": mine.vpc,
        "Tags": tags,
    }  # fmt: skip
    assert sorted(group["GroupName"] for group in found()) == ["default", "web"]
    for name, value in (("group-id", web), ("group-name", "w*"), ("description", "a group"), ("tag:a", "b")):
        assert found(name, value) == [expected], name
    assert len(found("owner-id", OPERATOR)) == len(found("primary-vpc-id", mine.vpc)) == 2
    with refused("InvalidVpcID.NotFound"):
        ec2.get_security_groups_for_vpc(VpcId=theirs.vpc)


# -- prefix lists ----------------------------------------------------------------


def test_a_rule_names_a_prefix_list(ec2: Any, refused: Any) -> None:
    id, other = make_list(ec2, "10.1.0.0/16"), make_list(ec2)
    web = make(ec2)
    described = by_list(id) | {"PrefixListIds": [{"PrefixListId": id, "Description": "offices"}]}
    (rule,) = allow(ec2, web, described)
    assert (rule["PrefixListId"], rule["Description"]) == (id, "offices")
    assert "CidrIpv4" not in rule and "ReferencedGroupInfo" not in rule
    assert inbound(ec2, web) == [described]
    assert rules(ec2, web) == [rule]
    with refused("InvalidPermission.Duplicate", f"peer: {id}, TCP, from port: 443"):
        allow(ec2, web, by_list(id))
    modify(ec2, web, rule["SecurityGroupRuleId"], IpProtocol="-1", PrefixListId=other)
    assert inbound(ec2, web) == [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": other}]}]
    for name, value in (("ip-permission.prefix-list-id", other), ("egress.ip-permission.prefix-list-id", id)):
        found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": [value]}])["SecurityGroups"]
        assert [group["GroupId"] for group in found] == ([web] if value == other else [])
    answer = ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=shown(ec2, web)["IpPermissions"])
    assert answer["RevokedSecurityGroupRules"][0]["PrefixListId"] == other
    with refused("InvalidPrefixListID.NotFound"):
        allow(ec2, web, by_list("pl-00000000000000000"))


def test_interfaces_are_in_as_many_groups_as_the_operator_says(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(quotas={"security groups per interface": 1, "rules per security group": 1}).ec2
    one, two = make(ec2, "one"), make(ec2, "two")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet, Groups=[one])
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        ec2.create_network_interface(SubnetId=subnet, Groups=[one, two])
    allow(ec2, one, ssh_from(two))
    with refused("RulesPerSecurityGroupLimitExceeded"):
        allow(ec2, one, {"IpProtocol": "58", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]})

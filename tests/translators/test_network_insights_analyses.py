"""Network insights analyses through a real client."""

from typing import Any

import pytest
from sqlalchemy import select

from engine import tasks
from engine.drivers.base import DriverError
from engine.state import Address, NetworkAclEntry, Task
from tests.cloud import OPERATOR, Cloud
from tests.translators.groups import allow, make, tcp
from tests.translators.insights import analysis, codes, gateway, instance, interface, launch, names, pair, path, start

VPC = "172.31.0.0/16"


@pytest.fixture
def groups(ec2: Any) -> tuple[str, str]:
    return make(ec2, "client"), make(ec2, "server")


@pytest.fixture
def guests(cloud: Cloud, groups: tuple[str, str]) -> tuple[str, str]:
    """Two instances of the default VPC, in two subnets; nobody may come in."""
    return pair(cloud, *groups)


def test_a_path_that_is_there_shows_what_it_passes(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    (rule,) = allow(ec2, groups[1], tcp(443, VPC))
    found = analysis(cloud, path(ec2, *guests, DestinationPort=443))
    assert found["NetworkPathFound"] is True
    assert codes(found) == []
    forward = found["ForwardPathComponents"]
    assert names(forward) == ["i", "eni", "sg", "acl", "rtb", "acl", "sg", "eni", "i"]
    assert [each["SequenceNumber"] for each in forward] == list(range(1, 10))
    addresses = [instance(ec2, guest)["PrivateIpAddress"] for guest in guests]
    header = forward[0]["OutboundHeader"]
    assert header["SourceAddresses"] == [f"{addresses[0]}/32"]
    assert header["DestinationAddresses"] == [f"{addresses[1]}/32"]
    assert header["DestinationPortRanges"] == [{"From": 443, "To": 443}]
    assert forward[2]["SecurityGroupRule"] == {"Cidr": "0.0.0.0/0", "Direction": "egress", "Protocol": "all"}
    assert forward[3]["AclRule"]["RuleNumber"] == 100
    assert forward[4]["RouteTableRoute"]["GatewayId"] == "local"
    assert forward[6]["SecurityGroupRule"] == {
        "Cidr": rule["CidrIpv4"], "Direction": "ingress", "PortRange": {"From": 443, "To": 443}, "Protocol": "tcp",
    }  # fmt: skip
    assert forward[6]["Component"]["Id"] == groups[1]
    assert names(found["ReturnPathComponents"]) == ["i", "eni", "sg", "acl", "rtb", "acl", "sg", "eni", "i"]
    assert "OutboundHeader" not in forward[1]


def test_what_no_group_allows_is_explained(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    found = analysis(cloud, path(ec2, interface(ec2, guests[0]), guests[1], DestinationPort=443))
    assert found["NetworkPathFound"] is False
    (why,) = found["Explanations"]
    assert (why["ExplanationCode"], why["Direction"]) == ("ENI_SG_RULES_MISMATCH", "ingress")
    assert [group["Id"] for group in why["SecurityGroups"]] == [groups[1]]
    assert why["NetworkInterface"]["Id"] == interface(ec2, guests[1])
    assert why["NetworkInterface"]["Arn"].endswith(f":network-interface/{interface(ec2, guests[1])}")
    assert found["ForwardPathComponents"][-1]["Explanations"][0]["ExplanationCode"] == "ENI_SG_RULES_MISMATCH"


def test_an_analysis_waits_for_changes_that_were_asked_for_before(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    id = path(ec2, *guests, DestinationPort=443)
    assert codes(analysis(cloud, id)) == ["ENI_SG_RULES_MISMATCH"]
    allow(ec2, groups[1], tcp(443, VPC))
    with cloud.database.read() as db:
        assert db.scalars(select(Task.workflow)).all() == ["sync_group"]
    assert codes(analysis(cloud, id)) == []


def test_an_acl_is_named_with_the_entry_that_denies(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    allow(ec2, groups[1], tcp(443, VPC))
    acl = ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"]
    id = path(ec2, *guests, DestinationPort=443)
    for egress, low, high, components in ((False, 443, 443, "Forward"), (False, 49152, 49152, "Return")):
        with cloud.database.write() as db:
            row = {"protocol": "6", "action": "deny", "cidr": "0.0.0.0/0", "from_port": low, "to_port": high}
            db.add(NetworkAclEntry(acl_id=acl, egress=egress, number=90, **row))
        sync(cloud, ec2)
        found = analysis(cloud, id)
        (why,) = found["Explanations"]
        assert (why["ExplanationCode"], why["Direction"]) == ("SUBNET_ACL_RESTRICTION", "ingress")
        assert (why["Acl"]["Id"], why["AclRule"]["RuleNumber"], why["AclRule"]["RuleAction"]) == (acl, 90, "deny")
        assert found[f"{components}PathComponents"][-1]["Component"]["Id"] == acl
        with cloud.database.write() as db:
            db.delete(db.get_one(NetworkAclEntry, (acl, egress, 90)))
    sync(cloud, ec2)
    assert analysis(cloud, id)["NetworkPathFound"] is True


def sync(cloud: Cloud, ec2: Any) -> None:
    """Have the network follow what was changed by hand."""
    with cloud.database.write() as db:
        tasks.start(db, ec2.describe_vpcs()["Vpcs"][0]["VpcId"], "sync_network", "us-east-1")
    cloud.settle()


def test_ways_to_and_from_the_internet_need_a_route_and_a_public_address(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    igw, table = gateway(ec2), ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"]
    public = instance(ec2, guests[1])["PublicIpAddress"]
    out = path(ec2, guests[1], igw, DestinationPort=443)
    found = analysis(cloud, out)
    assert found["NetworkPathFound"] is True
    assert names(found["ForwardPathComponents"]) == ["i", "eni", "sg", "acl", "rtb", "igw"]
    assert found["ForwardPathComponents"][-1]["OutboundHeader"]["SourceAddresses"] == [f"{public}/32"]
    into = path(ec2, igw, guests[1], DestinationPort=443)
    assert codes(analysis(cloud, into)) == ["ENI_SG_RULES_MISMATCH"]
    allow(ec2, groups[1], tcp(443, "198.51.100.0/24"))
    found = analysis(cloud, into)
    assert found["NetworkPathFound"] is True
    assert names(found["ForwardPathComponents"]) == ["igw", "acl", "sg", "eni", "i"]
    assert found["ForwardPathComponents"][0]["OutboundHeader"]["SourceAddresses"] == ["198.51.100.1/32"]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    assert codes(analysis(cloud, out)) == ["NO_ROUTE_TO_DESTINATION"]
    assert codes(analysis(cloud, into)) == ["NO_ROUTE_TO_DESTINATION"], "the answer has no way out"
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    with cloud.database.write() as db:
        for address in db.scalars(select(Address).where(Address.public_ip == public)):
            db.delete(address)
    with cloud.database.write() as db:
        tasks.start(db, interface(ec2, guests[1]), "sync_port", "us-east-1")
    assert codes(analysis(cloud, out)) == ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]
    assert codes(analysis(cloud, into)) == ["IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"]


def test_any_port_will_do_where_none_is_named(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    allow(ec2, groups[1], tcp(5432, VPC, last=5439))
    found = analysis(cloud, path(ec2, *guests))
    assert found["NetworkPathFound"] is True
    assert found["ForwardPathComponents"][0]["OutboundHeader"]["DestinationPortRanges"] == [{"From": 5432, "To": 5432}]
    for low, high, is_found in ((5400, 5433, True), (5435, 6000, True), (5440, 6000, False)):
        ports = {"DestinationPortRange": {"FromPort": low, "ToPort": high}}
        assert analysis(cloud, path(ec2, *guests, FilterAtSource=ports))["NetworkPathFound"] is is_found


def test_filters_at_the_destination_must_fit(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    allow(ec2, groups[1], tcp(443, VPC))
    for filters, expected in (
        ({"SourceAddress": "192.0.2.1"}, ["FILTER_AT_DESTINATION_SOURCE_ADDRESS"]),
        ({"SourcePortRange": {"FromPort": 1, "ToPort": 9}}, ["FILTER_AT_DESTINATION_SOURCE_PORT_RANGE"]),
        ({"DestinationPortRange": {"FromPort": 400, "ToPort": 500}}, []),
        ({"SourceAddress": instance(ec2, guests[0])["PrivateIpAddress"]}, []),
    ):
        found = analysis(cloud, path(ec2, *guests, FilterAtDestination=filters))
        assert (codes(found), found["NetworkPathFound"]) == (expected, not expected)


def test_components_that_must_or_must_not_be_passed(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str], refused: Any
) -> None:
    allow(ec2, groups[1], tcp(443, VPC))
    id = path(ec2, *guests, DestinationPort=443)
    group = f"arn:aws:ec2:us-east-1:{OPERATOR}:security-group/{groups[1]}"
    igw = f"arn:aws:ec2:us-east-1:{OPERATOR}:internet-gateway/{gateway(ec2)}"
    found = analysis(cloud, id, FilterInArns=[group], FilterOutArns=[igw])
    assert found["NetworkPathFound"] is True
    assert (found["FilterInArns"], found["FilterOutArns"]) == ([group], [igw])
    for asked, lost in (({"FilterInArns": [igw]}, igw), ({"FilterOutArns": [group]}, group)):
        (why,) = analysis(cloud, id, **asked)["Explanations"]
        assert (why["ExplanationCode"], why["Component"]["Arn"]) == ("COMPONENT_FILTER_RESTRICTION", lost)
    with refused("InvalidParameterValue"):
        start(ec2, id, FilterInArns=["sg-1"])
    with refused("UnsupportedOperation"):
        start(ec2, id, AdditionalAccounts=["222222222222"])


def test_a_source_that_is_not_the_interfaces_own_is_explained(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], groups: tuple[str, str]
) -> None:
    found = analysis(cloud, path(ec2, *guests, SourceIp="192.0.2.1", DestinationPort=443))
    (why,) = found["Explanations"]
    assert (why["ExplanationCode"], why["Direction"]) == ("ENI_SOURCE_DEST_CHECK_RESTRICTION", "egress")
    assert why["Addresses"] == ["192.0.2.1"]


def test_what_is_not_in_the_network_is_explained(cloud: Cloud, ec2: Any, guests: tuple[str, str]) -> None:
    spare = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert codes(analysis(cloud, path(ec2, guests[0], spare))) == ["UNASSOCIATED_COMPONENT"]
    nobody = path(ec2, guests[0], DestinationIp="172.31.0.250", DestinationPort=80)
    assert codes(analysis(cloud, nobody)) == ["NO_POSSIBLE_DESTINATION"]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    far = launch(ec2, subnet, make(ec2, "far", VpcId=vpc))
    cloud.settle()
    (why,) = analysis(cloud, path(ec2, guests[0], far))["Explanations"]
    assert why["ExplanationCode"] == "DISCONNECTED_VPCS"
    assert why["DestinationVpc"]["Id"] == vpc
    ec2.stop_instances(InstanceIds=[guests[1]])
    cloud.settle()
    (why,) = analysis(cloud, path(ec2, *guests))["Explanations"]
    assert (why["ExplanationCode"], why["State"], why["Component"]["Id"]) == ("BAD_STATE", "stopped", guests[1])
    loose = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    assert codes(analysis(cloud, path(ec2, guests[0], loose))) == ["BAD_STATE"]


def test_analyses_are_found_by_path_state_result_and_time(cloud: Cloud, ec2: Any, guests: tuple[str, str]) -> None:
    one, other = path(ec2, *guests, DestinationPort=80), path(ec2, guests[0], gateway(ec2), DestinationPort=80)
    first, second = analysis(cloud, one), analysis(cloud, other)
    third = start(ec2, one)

    def ids(**asked: Any) -> set[str]:
        shown = ec2.describe_network_insights_analyses(**asked)["NetworkInsightsAnalyses"]
        return {each["NetworkInsightsAnalysisId"] for each in shown}

    no, yes = first["NetworkInsightsAnalysisId"], second["NetworkInsightsAnalysisId"]
    assert ids() == {no, yes, third}
    assert ids(NetworkInsightsPathId=one) == {no, third}
    assert ids(Filters=[{"Name": "path-found", "Values": ["true"]}]) == {yes}
    assert ids(Filters=[{"Name": "path-found", "Values": ["false"]}]) == {no}
    assert ids(Filters=[{"Name": "status", "Values": ["running"]}]) == {third}
    assert ids(AnalysisStartTime=second["StartDate"]) == {yes, third}
    assert ids(AnalysisEndTime=first["StartDate"]) == {no}
    cloud.settle()


def test_a_network_that_does_not_answer_fails_an_analysis(
    cloud: Cloud, ec2: Any, guests: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trace(packet: object) -> None:
        raise DriverError("no answer")

    id = start(ec2, path(ec2, *guests, DestinationPort=80))
    monkeypatch.setattr(cloud.backend.network, "trace", trace)
    cloud.settle()
    (found,) = ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=[id])["NetworkInsightsAnalyses"]
    assert found["Status"] == "failed"
    assert found["StatusMessage"]
    assert "NetworkPathFound" not in found


def test_an_analysis_may_be_deleted_while_it_runs(cloud: Cloud, ec2: Any, guests: tuple[str, str]) -> None:
    id = start(ec2, path(ec2, *guests, DestinationPort=80))
    ec2.delete_network_insights_analysis(NetworkInsightsAnalysisId=id)
    cloud.settle()
    assert ec2.describe_network_insights_analyses()["NetworkInsightsAnalyses"] == []


def test_the_same_token_starts_one_analysis(ec2: Any, guests: tuple[str, str]) -> None:
    id = path(ec2, *guests, DestinationPort=80)
    assert start(ec2, id, ClientToken="once") == start(ec2, id, ClientToken="once")

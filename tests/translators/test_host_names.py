"""The names that instances go by are the same in their descriptions, in filters and in their metadata."""

from typing import Any

import pytest
from sqlalchemy import update

from engine.metadata.facts import find_facts
from engine.metadata.tree import read, tree
from engine.state import DhcpOptions, Vpc
from tests.cloud import Cloud
from tests.engine.imds import describe, run_instance


def told(cloud: Cloud, instance: dict[str, Any], path: str) -> str:
    """Return what an instance's metadata says."""
    with cloud.database.read() as db:
        facts = find_facts(db, instance["VpcId"], instance["PrivateIpAddress"])
    assert facts is not None
    return str(read(tree(facts, {}), f"latest/meta-data/{path}"))


def names(cloud: Cloud, instance: dict[str, Any]) -> set[str]:
    """Return every name that an instance is said to go by: one."""
    found = describe(cloud, instance["InstanceId"])["PrivateDnsName"]
    filtered = cloud.ec2.describe_instances(Filters=[{"Name": "private-dns-name", "Values": [found]}])
    assert [r["Instances"][0]["InstanceId"] for r in filtered["Reservations"]] == [instance["InstanceId"]]
    card = f"network/interfaces/macs/{instance['NetworkInterfaces'][0]['MacAddress']}/local-hostname"
    return {found, *(told(cloud, instance, path) for path in ("hostname", "local-hostname", card))}


def of_address(instance: dict[str, Any], domain: str) -> str:
    return f"ip-{instance['PrivateIpAddress'].replace('.', '-')}.{domain}"


def give_domain(cloud: Cloud, vpc_id: str, *domains: str) -> None:
    """Give a VPC a DHCP options set with these words as its domain name."""
    options = {"domain-name": list(domains), "domain-name-servers": ["10.0.0.53"]}
    with cloud.database.write() as db:
        owner = {"account": "000000000000", "region": "us-east-1"}
        db.merge(DhcpOptions(id="dopt-1", **owner, options=options))
        db.execute(update(Vpc).where(Vpc.id == vpc_id).values(dhcp_options_id="dopt-1"))


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud)


def test_an_instance_goes_by_its_address(cloud: Cloud, instance: dict[str, Any]) -> None:
    assert names(cloud, instance) == {of_address(instance, "ec2.internal")}


def test_or_by_its_id(cloud: Cloud) -> None:
    instance = run_instance(cloud, PrivateDnsNameOptions={"HostnameType": "resource-name"})
    assert names(cloud, instance) == {f"{instance['InstanceId']}.ec2.internal"}
    give_domain(cloud, instance["VpcId"], "example.com")
    cloud.ec2.modify_vpc_attribute(VpcId=instance["VpcId"], EnableDnsHostnames={"Value": False})
    assert names(cloud, instance) == {f"{instance['InstanceId']}.example.com"}


@pytest.mark.parametrize("attribute", ["EnableDnsHostnames", "EnableDnsSupport"])
def test_a_domain_of_the_users_own_counts_where_ec2s_names_do_not_resolve(
    cloud: Cloud, instance: dict[str, Any], attribute: str
) -> None:
    vpc = instance["VpcId"]
    give_domain(cloud, vpc, "example.com")
    assert names(cloud, instance) == {of_address(instance, "ec2.internal")}
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": False}})
    assert names(cloud, instance) == {of_address(instance, "example.com")}
    give_domain(cloud, vpc, "example.com example.org")
    assert names(cloud, instance) == {of_address(instance, "ec2.internal")}
    with cloud.database.write() as db:
        db.execute(update(Vpc).where(Vpc.id == vpc).values(dhcp_options_id="default"))
    assert names(cloud, instance) == {of_address(instance, "ec2.internal")}


def test_a_terminated_instance_has_no_name(cloud: Cloud, instance: dict[str, Any]) -> None:
    cloud.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    cloud.settle()
    assert describe(cloud, instance["InstanceId"])["PrivateDnsName"] == ""

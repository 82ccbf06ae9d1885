"""What names mean inside a VPC: interfaces and instances, by address and back, peers, and endpoints."""

from ipaddress import ip_address
from typing import Any

import pytest
from sqlalchemy import update

from engine.resolver.names import Known, find_name
from engine.resolver.realms import Realms, find_realm
from engine.state import (
    Endpoint,
    EndpointService,
    Instance,
    Ipv6Address,
    NetworkInterface,
    Peering,
    SubnetCidrBlock,
    Vpc,
    VpcCidrBlock,
)
from tests.cloud import IMAGE, Cloud
from tests.engine.imds import describe, run_instance

OWNER = {"account": "123456789012", "region": "us-east-1"}


def look(cloud: Cloud, vpc_id: str, name: str) -> Known | None:
    with cloud.database.read() as db:
        realm = find_realm(db, vpc_id)
        assert realm is not None
        return find_name(db, realm, name)


def records(cloud: Cloud, vpc_id: str, name: str) -> dict[str, Any] | None:
    """Return what a name has; None where the VPC says that it is not there."""
    known = look(cloud, vpc_id, name)
    assert known is not None, f"{name} would be asked of others"
    return {kind: list(values) for kind, values in known.records.items()} if known.exists else None


def pointer(address: str) -> str:
    return ip_address(address).reverse_pointer


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud)


@pytest.fixture
def vpc(instance: dict[str, Any]) -> str:
    return str(instance["VpcId"])


def change(cloud: Cloud, id: str, **columns: Any) -> None:
    with cloud.database.write() as db:
        db.execute(update(Instance).where(Instance.id == id).values(**columns))


def a_vpc(cloud: Cloud, cidr: str, hostnames: bool = True) -> tuple[str, str]:
    vpc = cloud.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": hostnames})
    return vpc, subnet


# -- addresses ---------------------------------------------------------------------


def test_an_address_that_somebody_has_has_a_name(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    address = instance["PrivateIpAddress"]
    name = f"ip-{address.replace('.', '-')}.ec2.internal"
    assert instance["PrivateDnsName"] == name
    assert records(cloud, vpc, name) == {"A": [address]}
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"{name}."]}


def test_an_address_that_nobody_has_has_none(cloud: Cloud, vpc: str) -> None:
    assert records(cloud, vpc, "ip-172-31-200-200.ec2.internal") is None
    assert records(cloud, vpc, pointer("172.31.200.200")) is None


@pytest.mark.parametrize(
    "host", ["ip-172-31-0", "ip-172-31-0-256", "ip-172-31-0-04", "ip-1-2-3-4", "ip-", "x", "a.ip-172-31-0-4", "*"]
)
def test_a_name_that_nothing_has_is_not_there(cloud: Cloud, vpc: str, host: str) -> None:
    assert records(cloud, vpc, f"{host}.ec2.internal") is None


def test_the_domain_itself_is_there(cloud: Cloud, vpc: str) -> None:
    assert records(cloud, vpc, "ec2.internal") == {}
    assert records(cloud, vpc, "31.172.in-addr.arpa") == {}
    assert records(cloud, vpc, "0.31.172.in-addr.arpa") == {}


def test_the_metadata_service_has_its_old_name(cloud: Cloud, vpc: str) -> None:
    assert records(cloud, vpc, "instance-data.ec2.internal") == {"A": ["169.254.169.254"]}


def test_what_is_no_business_of_the_vpc_is_left_to_others(cloud: Cloud, vpc: str) -> None:
    others = (pointer("10.0.0.4"), pointer("192.0.2.1"), pointer("2001:db8::1"), f"1.{pointer('172.31.0.4')}")
    above = (".", "internal", "in-addr.arpa", "172.in-addr.arpa", "ip6.arpa")
    for name in (
        *others,
        *above,
        "example.com",
        "xec2.internal",
        "eu-west-1.compute.internal",
        "x.31.172.in-addr.arpa",
    ):
        assert look(cloud, vpc, name) is None, name


def test_other_regions_have_a_domain_each(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    with cloud.database.write() as db:
        db.execute(update(Vpc).where(Vpc.id == vpc).values(region="dc-1"))
    address = instance["PrivateIpAddress"]
    name = f"ip-{address.replace('.', '-')}.dc-1.compute.internal"
    assert records(cloud, vpc, name) == {"A": [address]}
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"{name}."]}


def test_without_dns_hostnames_there_are_no_names(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    change(cloud, instance["InstanceId"], dns_a_record=True)
    assert records(cloud, vpc, instance["PrivateDnsName"]) is None
    assert records(cloud, vpc, f"{instance['InstanceId']}.ec2.internal") is None
    assert records(cloud, vpc, pointer(instance["PrivateIpAddress"])) is None


def test_an_address_means_nothing_in_another_vpc(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    with cloud.database.read() as db:
        cidr = db.get_one(Vpc, vpc).cidr
    twin, _ = a_vpc(cloud, cidr)
    assert records(cloud, twin, instance["PrivateDnsName"]) is None
    assert records(cloud, twin, pointer(instance["PrivateIpAddress"])) is None


def test_an_address_of_a_second_range_has_a_name(cloud: Cloud) -> None:
    vpc, subnet = a_vpc(cloud, "10.7.16.0/20")
    with cloud.database.write() as db:
        db.add(VpcCidrBlock(id="vpc-cidr-assoc-2", vpc_id=vpc, cidr="100.64.0.0/16"))
    address = run_instance(cloud, SubnetId=subnet)["PrivateIpAddress"]
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"ip-{address.replace('.', '-')}.ec2.internal."]}
    assert records(cloud, vpc, pointer("100.64.3.4")) is None
    assert look(cloud, vpc, pointer("10.7.32.4")) is None


# -- instances ---------------------------------------------------------------------


def test_an_instance_has_a_name_of_its_own_as_its_options_say(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    id, address = instance["InstanceId"], instance["PrivateIpAddress"]
    assert records(cloud, vpc, f"{id}.ec2.internal") is None
    change(cloud, id, dns_a_record=True)
    assert records(cloud, vpc, f"{id}.ec2.internal") == {"A": [address]}
    change(cloud, id, dns_a_record=False, dns_aaaa_record=True)
    assert records(cloud, vpc, f"{id}.ec2.internal") == {"AAAA": []}


def test_who_goes_by_that_name_is_called_so_by_its_address(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    id, address = instance["InstanceId"], instance["PrivateIpAddress"]
    change(cloud, id, hostname_type="resource-name", dns_a_record=True)
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"{id}.ec2.internal."]}
    # A name that leads nowhere is none.
    change(cloud, id, dns_a_record=False)
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"{instance['PrivateDnsName']}."]}
    assert records(cloud, vpc, instance["PrivateDnsName"]) == {"A": [address]}


def test_an_instance_of_another_vpc_has_no_name_here(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    change(cloud, instance["InstanceId"], dns_a_record=True)
    other, _ = a_vpc(cloud, "10.7.0.0/16")
    assert records(cloud, other, f"{instance['InstanceId']}.ec2.internal") is None


def test_a_stopped_instance_keeps_its_names_and_a_terminated_one_does_not(
    cloud: Cloud, vpc: str, instance: dict[str, Any]
) -> None:
    id = instance["InstanceId"]
    change(cloud, id, dns_a_record=True)
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    assert records(cloud, vpc, f"{id}.ec2.internal") and records(cloud, vpc, instance["PrivateDnsName"])
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert records(cloud, vpc, f"{id}.ec2.internal") is None
    assert records(cloud, vpc, instance["PrivateDnsName"]) is None


def test_an_ipv6_address_leads_to_the_instance_where_the_instance_leads_to_it(
    cloud: Cloud, vpc: str, instance: dict[str, Any]
) -> None:
    id, address = instance["InstanceId"], "fd6f:6700:0:1::5"
    with cloud.database.write() as db:
        card = db.query(NetworkInterface).filter_by(instance_id=id).one()
        db.add(VpcCidrBlock(id="vpc-cidr-assoc-6", vpc_id=vpc, cidr="fd6f:6700::/56"))
        db.add(SubnetCidrBlock(id="subnet-cidr-assoc-6", subnet_id=card.subnet_id, cidr="fd6f:6700:0:1::/64"))
        db.add(Ipv6Address(subnet_id=card.subnet_id, address=address, interface_id=card.id, is_primary=True))
    assert records(cloud, vpc, pointer(address)) is None
    change(cloud, id, dns_aaaa_record=True)
    assert records(cloud, vpc, f"{id}.ec2.internal") == {"AAAA": [address]}
    assert records(cloud, vpc, pointer(address)) == {"PTR": [f"{id}.ec2.internal."]}
    assert records(cloud, vpc, pointer("fd6f:6700:0:1::6")) is None
    assert records(cloud, vpc, pointer(address)[2 * 16 :]) == {}
    assert look(cloud, vpc, pointer("fd6f:6701::1")) is None


# -- peers -------------------------------------------------------------------------


def peer(cloud: Cloud, requester: str, accepter: str, **columns: Any) -> None:
    row = {"status": "active", "expires": "", "requester_cidrs": [], "accepter_cidrs": [], **columns}
    with cloud.database.write() as db:
        db.add(
            Peering(
                id="pcx-0123456789abcdef0", **OWNER, requester_vpc_id=requester, accepter_account=OWNER["account"],
                accepter_vpc_id=accepter, **row,
            )
        )  # fmt: skip


def test_a_peers_names_are_told_where_its_side_allows_it(cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    other, subnet = a_vpc(cloud, "10.7.0.0/16")
    theirs = run_instance(cloud, SubnetId=subnet)
    change(cloud, theirs["InstanceId"], dns_a_record=True)
    peer(cloud, vpc, other, accepter_dns=True)
    assert records(cloud, vpc, theirs["PrivateDnsName"]) == {"A": [theirs["PrivateIpAddress"]]}
    assert records(cloud, vpc, f"{theirs['InstanceId']}.ec2.internal") == {"A": [theirs["PrivateIpAddress"]]}
    assert records(cloud, vpc, pointer(theirs["PrivateIpAddress"])) == {"PTR": [f"{theirs['PrivateDnsName']}."]}
    assert records(cloud, other, instance["PrivateDnsName"]) is None, "the requester's side does not allow it"


@pytest.mark.parametrize("columns", [{"accepter_dns": False}, {"accepter_dns": True, "status": "deleted"}])
def test_a_peers_names_are_not_told_otherwise(cloud: Cloud, vpc: str, columns: dict[str, Any]) -> None:
    other, subnet = a_vpc(cloud, "10.7.0.0/16")
    theirs = run_instance(cloud, SubnetId=subnet)
    peer(cloud, vpc, other, **columns)
    assert records(cloud, vpc, theirs["PrivateDnsName"]) is None
    assert look(cloud, vpc, pointer(theirs["PrivateIpAddress"])) is None


def test_a_peer_without_names_tells_none(cloud: Cloud, vpc: str) -> None:
    other, subnet = a_vpc(cloud, "10.7.0.0/16", hostnames=False)
    theirs = run_instance(cloud, SubnetId=subnet)
    peer(cloud, other, vpc, requester_dns=True)
    assert records(cloud, vpc, theirs["PrivateDnsName"]) is None


# -- endpoints ---------------------------------------------------------------------

SERVICE, ENDPOINT = "vpce-svc-0123456789abcdef0", "vpce-0123456789abcdef0"
DOMAIN = f"{SERVICE}.us-east-1.vpce.amazonaws.com"


def an_endpoint(cloud: Cloud, vpc: str, private: str = "sqs.us-east-1.amazonaws.com", **columns: Any) -> list[str]:
    """Make an endpoint with an address in two zones; return the addresses in the order of the zones."""
    subnets = cloud.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    found = []
    with cloud.database.write() as db:
        db.add(
            EndpointService(
                id=SERVICE, **OWNER, name="com.amazonaws.us-east-1.sqs", kind="Interface", targets=["127.0.0.1:1"],
                private_dns_name=private,
            )
        )  # fmt: skip
        db.flush()
        row = {"state": "available", "private_dns": True, **columns}
        db.add(Endpoint(id=ENDPOINT, **OWNER, vpc_id=vpc, service_id=SERVICE, kind="Interface", **row))
        for number, subnet in enumerate(sorted(subnets, key=lambda subnet: str(subnet["AvailabilityZone"]))[:2]):
            address = subnet["CidrBlock"].rsplit(".", 1)[0] + ".77"
            db.add(
                NetworkInterface(
                    id=f"eni-{number}", **OWNER, vpc_id=vpc, subnet_id=subnet["SubnetId"], private_ip=address,
                    zone=subnet["AvailabilityZone"], mac=f"06:00:00:00:00:0{number}", kind="vpc_endpoint",
                    managed_by=ENDPOINT,
                )
            )  # fmt: skip
            found.append(address)
    return found


def both(cloud: Cloud, vpc: str, name: str) -> list[str]:
    return sorted((records(cloud, vpc, name) or {"A": []})["A"])


def test_an_endpoint_has_a_name_and_one_for_each_zone_in_every_vpc(cloud: Cloud, vpc: str) -> None:
    addresses = an_endpoint(cloud, vpc, private_dns=False)
    other, _ = a_vpc(cloud, "10.7.0.0/16", hostnames=False)
    for asking in (vpc, other):
        assert both(cloud, asking, f"{ENDPOINT}.{DOMAIN}") == sorted(addresses)
        assert both(cloud, asking, f"{ENDPOINT}-us-east-1a.{DOMAIN}") == addresses[:1]
        assert records(cloud, asking, f"{ENDPOINT}-us-east-1f.{DOMAIN}") is None
    assert look(cloud, vpc, f"vpce-0123456789abcdef1.{DOMAIN}") is None
    assert look(cloud, vpc, f"{ENDPOINT}.vpce-svc-0123456789abcdef1.us-east-1.vpce.amazonaws.com") is None
    assert look(cloud, vpc, "sqs.us-east-1.amazonaws.com") is None


def test_a_services_name_leads_to_the_vpcs_endpoint(cloud: Cloud, vpc: str) -> None:
    addresses = an_endpoint(cloud, vpc)
    assert both(cloud, vpc, "sqs.us-east-1.amazonaws.com") == sorted(addresses)
    assert look(cloud, vpc, "x.sqs.us-east-1.amazonaws.com") is None
    other, _ = a_vpc(cloud, "10.7.0.0/16")
    assert look(cloud, other, "sqs.us-east-1.amazonaws.com") is None


def test_a_services_name_may_stand_for_many(cloud: Cloud, vpc: str) -> None:
    addresses = an_endpoint(cloud, vpc, private="*.S3.example.com")
    assert both(cloud, vpc, "bucket.s3.example.com") == sorted(addresses)
    assert look(cloud, vpc, "s3.example.com") is None
    assert look(cloud, vpc, "a.bucket.s3.example.com") is None


@pytest.mark.parametrize("columns", [{"state": "pending"}, {"private_dns": False}])
def test_a_services_name_is_not_taken_otherwise(cloud: Cloud, vpc: str, columns: dict[str, Any]) -> None:
    an_endpoint(cloud, vpc, **columns)
    assert look(cloud, vpc, "sqs.us-east-1.amazonaws.com") is None


def test_a_vpc_without_dns_hostnames_takes_no_services_name(cloud: Cloud, vpc: str) -> None:
    an_endpoint(cloud, vpc)
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    assert look(cloud, vpc, "sqs.us-east-1.amazonaws.com") is None


# -- realms ------------------------------------------------------------------------


def test_changes_are_seen_within_a_second(cloud: Cloud, vpc: str) -> None:
    moment = 0.0
    realms = Realms(cloud.database, lambda: moment)
    assert (found := realms.get(vpc)) and found.names and found.lets_ask("172.31.0.9")
    assert found.lets_ask("fe80::1") and not found.lets_ask("10.0.0.4")
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    moment = 0.4
    assert realms.get(vpc) is found
    moment = 0.6
    assert (found := realms.get(vpc)) and not found.names
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    moment = 1.2
    assert (found := realms.get(vpc)) and not found.lets_ask("172.31.0.9")
    assert realms.get("vpc-0") is None


def test_launches_and_descriptions_agree(cloud: Cloud, vpc: str) -> None:
    made = cloud.ec2.run_instances(
        ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="t3.micro",
        PrivateDnsNameOptions={"HostnameType": "resource-name", "EnableResourceNameDnsARecord": True},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    cloud.settle()
    described = describe(cloud, made)
    assert records(cloud, vpc, f"{made}.ec2.internal") == {"A": [described["PrivateIpAddress"]]}
    assert described["PrivateDnsName"] == f"{made}.ec2.internal"

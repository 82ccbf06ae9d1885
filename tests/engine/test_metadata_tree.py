"""What an instance is told: all of it true, and found where EC2 has it."""

import re
from ipaddress import ip_network
from typing import Any

import pytest

from engine.metadata.facts import Facts, find_facts
from engine.metadata.places import places_on
from engine.metadata.tree import VERSIONS, read, tree
from engine.state import PrivateAddress
from tests.cloud import Cloud
from tests.engine.imds import describe, run_instance

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH3vQ2mKp8rLxT9wYc4dNb1sZgViJu6Oa5TkE0NrXwPv"


def facts_of(cloud: Cloud, instance: dict[str, Any]) -> Facts | None:
    with cloud.database.read() as db:
        return find_facts(db, instance["VpcId"], instance["PrivateIpAddress"])


class Told:
    """What an instance is told, by path under ``latest/meta-data``."""

    def __init__(self, cloud: Cloud, instance: dict[str, Any]) -> None:
        facts = facts_of(cloud, instance)
        assert facts is not None
        self.root = tree(facts, {"document": "{}", "signature": lambda: "signed"})

    def __call__(self, path: str) -> str | bytes | None:
        return read(self.root, f"/latest/meta-data/{path}")

    def at(self, path: str) -> str | bytes | None:
        return read(self.root, path)


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud)


@pytest.fixture
def told(cloud: Cloud, instance: dict[str, Any]) -> Told:
    return Told(cloud, instance)


# -- listings ----------------------------------------------------------------------


def test_the_root_lists_the_versions(told: Told) -> None:
    assert told.at("/") == "\n".join(VERSIONS)
    assert told.at("") == told.at("/")


def test_every_version_can_be_walked(told: Told, instance: dict[str, Any]) -> None:
    for version in VERSIONS:
        assert told.at(f"/{version}") == told.at(f"/{version}/") == "dynamic\nmeta-data"
        assert told.at(f"/{version}/meta-data/instance-id") == instance["InstanceId"]


def test_a_listing_marks_directories_and_ends_without_a_new_line(told: Told) -> None:
    listing = told("")
    assert isinstance(listing, str)
    names = listing.split("\n")
    assert names == sorted(names)
    assert {"ami-id", "block-device-mapping/", "network/", "placement/", "hostname", "mac"} <= set(names)
    assert told("placement") == told("placement/") == "availability-zone\navailability-zone-id\nregion"
    assert told.at("/latest/dynamic") == "instance-identity/"
    assert told.at("/latest/dynamic/instance-identity/signature") == "signed"


def test_a_slash_too_many_does_no_harm(told: Told, instance: dict[str, Any]) -> None:
    assert told.at("//latest//meta-data/instance-id/") == instance["InstanceId"]


def test_what_it_does_not_have_is_not_there(told: Told) -> None:
    below = ("iam/", "iam/security-credentials/", "instance-id/more", "tags/instance/", "spot/", "public-keys/")
    for path in ("/later", "/latest/meta", "/latest/user-data", *(f"/latest/meta-data/{name}" for name in below)):
        assert told.at(path) is None, path


def test_whatever_is_listed_can_be_read(told: Told) -> None:
    """Walk as cloud-init does."""
    seen: list[str] = []

    def walk(path: str) -> None:
        found = told(path)
        assert isinstance(found, str), path
        seen.append(path)
        if path == "" or path.endswith("/"):
            for name in found.split("\n"):
                walk(path + name)

    walk("")
    assert len(seen) > 40


# -- leaves ------------------------------------------------------------------------


def test_it_is_what_describe_instances_says(cloud: Cloud, told: Told, instance: dict[str, Any]) -> None:
    placement = instance["Placement"]
    reservation = cloud.ec2.describe_instances()["Reservations"][0]["ReservationId"]
    assert {
        "ami-id": instance["ImageId"],
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping/ami": "/dev/xvda",
        "block-device-mapping/root": "/dev/xvda",
        "events/maintenance/history": "[]",
        "events/maintenance/scheduled": "[]",
        "hibernation/configured": "false",
        "hostname": instance["PrivateDnsName"],
        "local-hostname": instance["PrivateDnsName"],
        "instance-action": "none",
        "instance-id": instance["InstanceId"],
        "instance-life-cycle": "on-demand",
        "instance-type": "t3.micro",
        "local-ipv4": instance["PrivateIpAddress"],
        "mac": instance["NetworkInterfaces"][0]["MacAddress"],
        "placement/availability-zone": placement["AvailabilityZone"],
        "placement/availability-zone-id": placement["AvailabilityZoneId"],
        "placement/region": "us-east-1",
        "profile": "default-hvm",
        "public-hostname": instance["PublicDnsName"],
        "public-ipv4": instance["PublicIpAddress"],
        "reservation-id": reservation,
        "security-groups": "default",
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }.items() <= Everything(told).items()


def test_each_interface_is_described(cloud: Cloud, told: Told, instance: dict[str, Any]) -> None:
    card = instance["NetworkInterfaces"][0]
    subnet = cloud.ec2.describe_subnets(SubnetIds=[instance["SubnetId"]])["Subnets"][0]
    mac = card["MacAddress"]
    assert told("network/interfaces/macs/") == f"{mac}/"
    here = f"network/interfaces/macs/{mac}"
    public, private = instance["PublicIpAddress"], instance["PrivateIpAddress"]
    assert told(f"{here}/ipv4-associations/") == public
    expected = {
        "device-number": "0",
        "interface-id": card["NetworkInterfaceId"],
        f"ipv4-associations/{public}": private,
        "local-hostname": instance["PrivateDnsName"],
        "local-ipv4s": private,
        "mac": mac,
        "network-card": "0",
        "owner-id": card["OwnerId"],
        "public-hostname": public,
        "public-ipv4s": public,
        "security-group-ids": card["Groups"][0]["GroupId"],
        "security-groups": "default",
        "subnet-id": card["SubnetId"],
        "subnet-ipv4-cidr-block": subnet["CidrBlock"],
        "vpc-id": card["VpcId"],
        "vpc-ipv4-cidr-block": "172.31.0.0/16",
        "vpc-ipv4-cidr-blocks": "172.31.0.0/16",
    }
    assert {name: told(f"{here}/{name}") for name in expected} == expected


class Everything(dict[str, str]):
    """Every leaf of ``meta-data``."""

    def __init__(self, told: Told, path: str = "") -> None:
        super().__init__()
        listing = told(path)
        assert isinstance(listing, str)
        for name in listing.split("\n"):
            if name.endswith("/"):
                self |= Everything(told, path + name)
            else:
                leaf = told(path + name)
                assert isinstance(leaf, str)
                self[path + name] = leaf


def test_without_a_public_address_there_is_none_in_the_tree(cloud: Cloud) -> None:
    cards = [{"DeviceIndex": 0, "AssociatePublicIpAddress": False}]
    leaves = Everything(Told(cloud, run_instance(cloud, NetworkInterfaces=cards)))
    assert not [path for path in leaves if "public" in path or "associations" in path]


def test_without_dns_host_names_there_is_no_public_name(cloud: Cloud, instance: dict[str, Any]) -> None:
    cloud.ec2.modify_vpc_attribute(VpcId=instance["VpcId"], EnableDnsHostnames={"Value": False})
    leaves = Everything(Told(cloud, instance))
    assert leaves["public-ipv4"] == instance["PublicIpAddress"]
    assert not [path for path in leaves if "public-hostname" in path]


def test_an_instance_may_be_named_after_its_id(cloud: Cloud) -> None:
    told = Told(cloud, run_instance(cloud, PrivateDnsNameOptions={"HostnameType": "resource-name"}))
    assert told("hostname") == told("local-hostname") == f"{told('instance-id')}.ec2.internal"


def test_the_launch_key_is_there_as_ssh_wants_it(cloud: Cloud) -> None:
    cloud.ec2.import_key_pair(KeyName="my=key", PublicKeyMaterial=PUBLIC_KEY.encode())
    told = Told(cloud, run_instance(cloud, KeyName="my=key"))
    assert told("public-keys/") == told("public-keys") == "0=my=key"
    assert told("public-keys/0/") == "openssh-key"
    assert told("public-keys/0/openssh-key") == f"{PUBLIC_KEY} my=key"
    cloud.ec2.delete_key_pair(KeyName="my=key")
    assert told("public-keys/0/openssh-key") == f"{PUBLIC_KEY} my=key"


def test_user_data_comes_as_the_bytes_that_went_in(cloud: Cloud) -> None:
    raw = bytes(range(256)) * 64
    told = Told(cloud, run_instance(cloud, UserData=raw))
    assert told.at("/latest/user-data") == told.at("/2009-04-04/user-data") == raw
    assert told.at("/latest/") == "dynamic\nmeta-data\nuser-data"


def test_other_volumes_are_numbered(cloud: Cloud) -> None:
    mappings = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
    ]
    told = Told(cloud, run_instance(cloud, BlockDeviceMappings=mappings))
    assert told("block-device-mapping/") == "ami\nebs1\nebs2\nroot"
    assert (told("block-device-mapping/ebs1"), told("block-device-mapping/ebs2")) == ("sdf", "sdg")


def test_tags_are_there_only_where_they_are_enabled(cloud: Cloud) -> None:
    tags = [{"Key": "Name", "Value": "a b/c"}, {"Key": "team=x", "Value": ""}]
    specification = [{"ResourceType": "instance", "Tags": tags}]
    instance = run_instance(cloud, TagSpecifications=specification)
    assert Told(cloud, instance)("tags/") is None
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance["InstanceId"], InstanceMetadataTags="enabled")
    told = Told(cloud, instance)
    assert told("tags/") == "instance/"
    assert told("tags/instance/") == "Name\nteam=x"
    assert told("tags/instance/Name") == "a b/c"
    assert told("tags/instance/team=x") == ""


def test_a_tag_that_cannot_be_a_name_is_left_out(cloud: Cloud, instance: dict[str, Any]) -> None:
    tags = [{"Key": key, "Value": "v"} for key in ("a/b", "a b", "..", "fine")]
    cloud.ec2.create_tags(Resources=[instance["InstanceId"]], Tags=tags)
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance["InstanceId"], InstanceMetadataTags="enabled")
    assert Told(cloud, instance)("tags/instance/") == "fine"


def test_a_second_interface_leads_to_the_same_instance(cloud: Cloud) -> None:
    cards = [{"DeviceIndex": 0}, {"DeviceIndex": 1}]
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance = run_instance(cloud, NetworkInterfaces=[{**card, "SubnetId": subnet} for card in cards])
    first, second = instance["NetworkInterfaces"]
    told = Told(cloud, {**instance, "PrivateIpAddress": second["PrivateIpAddress"]})
    assert told("instance-id") == instance["InstanceId"]
    assert told("mac") == first["MacAddress"]
    assert told(f"network/interfaces/macs/{second['MacAddress']}/device-number") == "1"
    here = re.sub(r"\.", "-", second["PrivateIpAddress"])
    assert told(f"network/interfaces/macs/{second['MacAddress']}/local-hostname") == f"ip-{here}.ec2.internal"


def test_secondary_addresses_follow_the_primary_one(cloud: Cloud, instance: dict[str, Any]) -> None:
    card = instance["NetworkInterfaces"][0]
    with cloud.database.write() as db:
        primary = db.query(PrivateAddress).filter_by(interface_id=card["NetworkInterfaceId"]).one()
        db.add(
            PrivateAddress(
                subnet_id=primary.subnet_id, number=1, address="0.0.0.1", interface_id=primary.interface_id,
                is_primary=False,
            )
        )  # fmt: skip
    told = Told(cloud, instance)
    assert told(f"network/interfaces/macs/{card['MacAddress']}/local-ipv4s") == f"{primary.address}\n0.0.0.1"
    assert Told(cloud, {**instance, "PrivateIpAddress": "0.0.0.1"})("instance-id") == instance["InstanceId"]


# -- who asks ----------------------------------------------------------------------


def test_an_address_means_nothing_in_another_vpc(cloud: Cloud, instance: dict[str, Any]) -> None:
    assert facts_of(cloud, instance) is not None
    assert facts_of(cloud, {**instance, "VpcId": "vpc-0"}) is None
    assert facts_of(cloud, {**instance, "PrivateIpAddress": "10.9.9.9"}) is None


def test_whoever_is_off_is_told_nothing(cloud: Cloud, instance: dict[str, Any]) -> None:
    def served() -> set[str]:
        with cloud.database.read() as db:
            return set(places_on(db, {"simulated-us-east-1"}))

    assert served() == {instance["VpcId"]}
    with cloud.database.read() as db:
        assert places_on(db, {"another host"}) == {}
    cloud.ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
    assert facts_of(cloud, instance) is not None
    cloud.settle()
    assert describe(cloud, instance["InstanceId"])["State"]["Name"] == "stopped"
    assert facts_of(cloud, instance) is None
    assert served() == set()


# -- more than one address ---------------------------------------------------------


@pytest.fixture
def dual(cloud: Cloud) -> dict[str, Any]:
    """An instance with addresses of IPv6, secondary ones and prefixes."""
    ec2 = cloud.ec2
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    block = ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], AmazonProvidedIpv6CidrBlock=True)
    cidr6 = block["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=cidr6.replace("/56", "/64"))
    card = {"DeviceIndex": 0, "SubnetId": subnet, "SecondaryPrivateIpAddressCount": 1, "Ipv6AddressCount": 2}
    return run_instance(cloud, NetworkInterfaces=[card], InstanceType="t3.medium")


def test_each_card_tells_all_of_its_addresses(cloud: Cloud, dual: dict[str, Any]) -> None:
    card = dual["NetworkInterfaces"][0]
    told, here = Told(cloud, dual), f"network/interfaces/macs/{card['MacAddress']}"
    private = [each["PrivateIpAddress"] for each in card["PrivateIpAddresses"]]
    sixth = [each["Ipv6Address"] for each in card["Ipv6Addresses"]]
    assert told(f"{here}/local-ipv4s") == "\n".join(private)
    assert told(f"{here}/ipv6s") == "\n".join(sixth) and told("ipv6") == sixth[0]
    (vpc,) = cloud.ec2.describe_vpcs()["Vpcs"]
    (block,) = vpc["Ipv6CidrBlockAssociationSet"]
    assert told(f"{here}/vpc-ipv6-cidr-blocks") == block["Ipv6CidrBlock"]
    assert told(f"{here}/vpc-ipv4-cidr-blocks") == vpc["CidrBlock"]
    assert told(f"{here}/subnet-ipv6-cidr-blocks") == block["Ipv6CidrBlock"].replace("/56", "/64")
    assert told(f"{here}/ipv4-prefix") is None and told(f"{here}/ipv6-prefix") is None
    cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=card["NetworkInterfaceId"], Ipv4PrefixCount=1)
    cloud.ec2.assign_ipv6_addresses(NetworkInterfaceId=card["NetworkInterfaceId"], Ipv6PrefixCount=1)
    told = Told(cloud, dual)
    assert str(told(f"{here}/ipv4-prefix")).endswith("/28") and str(told(f"{here}/ipv6-prefix")).endswith("/80")


def test_it_may_ask_from_any_address_of_its_own(cloud: Cloud, dual: dict[str, Any]) -> None:
    card = dual["NetworkInterfaces"][0]
    given = cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=card["NetworkInterfaceId"], Ipv4PrefixCount=1)
    inside = str(ip_network(given["AssignedIpv4Prefixes"][0]["Ipv4Prefix"])[3])
    for address in (*(each["PrivateIpAddress"] for each in card["PrivateIpAddresses"]), inside):
        found = facts_of(cloud, dual | {"PrivateIpAddress": address})
        assert found is not None and found.id == dual["InstanceId"], address


def test_without_ipv6_there_is_no_word_of_it(told: Told, instance: dict[str, Any]) -> None:
    here = f"network/interfaces/macs/{instance['NetworkInterfaces'][0]['MacAddress']}"
    listing = told(here + "/")
    assert isinstance(listing, str) and "ipv6" not in listing and told("ipv6") is None

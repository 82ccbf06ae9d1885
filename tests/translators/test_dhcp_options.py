"""DHCP options through a real client."""

from typing import Any

from tests.cloud import OPERATOR


def told(client: Any) -> dict[str, list[str]]:
    (options,) = client.describe_dhcp_options()["DhcpOptions"]
    assert options["OwnerId"] == OPERATOR
    return {c["Key"]: [v["Value"] for v in c["Values"]] for c in options["DhcpConfigurations"]}


def test_every_region_has_its_own_domain(make_cloud: Any) -> None:
    cloud = make_cloud(regions="us-east-1,eu-central-1")
    assert told(cloud.ec2) == {"domain-name": ["ec2.internal"], "domain-name-servers": ["AmazonProvidedDNS"]}
    there = cloud.client(region="eu-central-1")
    assert told(there)["domain-name"] == ["eu-central-1.compute.internal"]
    for client, domain in ((cloud.ec2, "ec2.internal"), (there, "eu-central-1.*")):
        assert len(client.describe_dhcp_options(Filters=[{"Name": "value", "Values": [domain]}])["DhcpOptions"]) == 1
        assert not client.describe_dhcp_options(Filters=[{"Name": "value", "Values": ["x"]}])["DhcpOptions"]


def test_a_vpc_names_the_options_it_has(ec2: Any, refused: Any) -> None:
    id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["DhcpOptionsId"]
    assert ec2.describe_dhcp_options(DhcpOptionsIds=[id])["DhcpOptions"]
    for key, count in (("domain-name", 1), ("*servers", 1), ("ntp-servers", 0)):
        assert len(ec2.describe_dhcp_options(Filters=[{"Name": "key", "Values": [key]}])["DhcpOptions"]) == count
    with refused("InvalidDhcpOptionID.NotFound"):
        ec2.describe_dhcp_options(DhcpOptionsIds=["dopt-00000000000000000"])

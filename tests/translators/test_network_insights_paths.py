"""Network insights paths through a real client."""

from typing import Any

import pytest

from tests.cloud import OPERATOR, Cloud
from tests.translators.groups import make
from tests.translators.insights import analysis, gateway, pair, path, start


@pytest.fixture
def groups(ec2: Any) -> tuple[str, str]:
    return make(ec2, "client"), make(ec2, "server")


@pytest.fixture
def guests(cloud: Cloud, groups: tuple[str, str]) -> tuple[str, str]:
    """Two instances of the default VPC, in two subnets; nobody may come in."""
    return pair(cloud, *groups)


def test_a_path_reads_back_as_it_was_made(ec2: Any, guests: tuple[str, str]) -> None:
    source, destination = guests
    tags = [{"Key": "Name", "Value": "web"}]
    made = ec2.create_network_insights_path(
        Source=f"arn:aws:ec2:us-east-1:{OPERATOR}:instance/{source}", Destination=destination, Protocol="tcp",
        SourceIp="172.31.0.9", DestinationPort=443,
        TagSpecifications=[{"ResourceType": "network-insights-path", "Tags": tags}],
    )["NetworkInsightsPath"]  # fmt: skip
    assert made.pop("CreatedDate")
    id = made["NetworkInsightsPathId"]
    assert made == {
        "NetworkInsightsPathId": id,
        "NetworkInsightsPathArn": f"arn:aws:ec2:us-east-1:{OPERATOR}:network-insights-path/{id}",
        "Source": source, "SourceArn": f"arn:aws:ec2:us-east-1:{OPERATOR}:instance/{source}",
        "Destination": destination, "DestinationArn": f"arn:aws:ec2:us-east-1:{OPERATOR}:instance/{destination}",
        "SourceIp": "172.31.0.9", "Protocol": "tcp", "DestinationPort": 443, "Tags": tags,
    }  # fmt: skip
    (found,) = ec2.describe_network_insights_paths(NetworkInsightsPathIds=[id])["NetworkInsightsPaths"]
    assert found.pop("CreatedDate")
    assert found == made


def test_filters_at_both_ends_read_back(ec2: Any, guests: tuple[str, str]) -> None:
    ports = {"FromPort": 80, "ToPort": 90}
    at_source = {
        "DestinationAddress": "172.31.16.9",
        "DestinationPortRange": ports,
        "SourcePortRange": {"FromPort": 1024},
    }
    at_destination = {"SourceAddress": "172.31.0.9", "SourcePortRange": ports}
    id = path(ec2, guests[0], FilterAtSource=at_source, FilterAtDestination=at_destination)
    (found,) = ec2.describe_network_insights_paths(NetworkInsightsPathIds=[id])["NetworkInsightsPaths"]
    assert found["FilterAtSource"] == {**at_source, "SourcePortRange": {"FromPort": 1024, "ToPort": 65535}}
    assert found["FilterAtDestination"] == at_destination
    assert "Destination" not in found
    for name, value in {
        "source": guests[0], "destination": "", "protocol": "tcp",
        "filter-at-source.destination-address": "172.31.16.*", "filter-at-source.destination-port-range": "80-90",
        "filter-at-source.source-port-range": "1024-65535", "filter-at-destination.source-address": "172.31.0.9",
        "filter-at-destination.source-port-range": "80-90",
    }.items():  # fmt: skip
        for values, expected in (([value], [id]), (["x"], [])):
            filters = [{"Name": name, "Values": values}]
            shown = ec2.describe_network_insights_paths(Filters=filters)["NetworkInsightsPaths"]
            assert [each["NetworkInsightsPathId"] for each in shown] == expected, name


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Destination": None}, "MissingParameter"),
        ({"Destination": "SOURCE"}, "InvalidParameterValue"),
        ({"Source": "vpc-0123456789abcdef0"}, "InvalidParameterValue"),
        ({"Source": "pcx-0123456789abcdef0"}, "InvalidParameterValue"),
        ({"Source": "GATEWAY", "Destination": None, "DestinationIp": "10.0.0.1"}, "InvalidParameterValue"),
        ({"Source": "i-0123456789abcdef0"}, "InvalidInstanceID.NotFound"),
        ({"Destination": "eni-0123456789abcdef0"}, "InvalidNetworkInterfaceID.NotFound"),
        ({"Destination": "igw-0123456789abcdef0"}, "InvalidInternetGatewayID.NotFound"),
        ({"Destination": "pcx-0123456789abcdef0"}, "InvalidVpcPeeringConnectionID.NotFound"),
        ({"Source": "arn:aws:ec2:us-east-1:999999999999:instance/i-0123456789abcdef0"}, "InvalidParameterValue"),
        ({"Source": "arn:aws:ec2"}, "InvalidParameterValue"),
        ({"Protocol": "icmp"}, "InvalidParameterValue"),
        ({"DestinationPort": 65536}, "InvalidParameterValue"),
        ({"SourceIp": "10.0.0.300"}, "InvalidParameterValue"),
        ({"SourceIp": "10.0.0.1", "FilterAtSource": {"SourceAddress": "10.0.0.1"}}, "InvalidParameterCombination"),
        ({"DestinationPort": 1, "FilterAtSource": {"SourceAddress": "10.0.0.1"}}, "InvalidParameterCombination"),
        (
            {"DestinationIp": "10.0.0.1", "FilterAtDestination": {"SourceAddress": "10.0.0.1"}},
            "InvalidParameterCombination",
        ),
        ({"FilterAtSource": {"SourcePortRange": {"FromPort": 2, "ToPort": 1}}}, "InvalidParameterValue"),
    ],
)
def test_a_path_that_cannot_be_is_refused(
    ec2: Any, guests: tuple[str, str], refused: Any, change: dict[str, Any], code: str
) -> None:
    known = {"SOURCE": guests[0], "GATEWAY": gateway(ec2)}
    asked = {"Source": guests[0], "Destination": guests[1], "Protocol": "tcp", **change}
    with refused(code):
        ec2.create_network_insights_path(**{k: known.get(str(v), v) for k, v in asked.items() if v is not None})
    assert ec2.describe_network_insights_paths()["NetworkInsightsPaths"] == []


def test_paths_are_paged_and_limited(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(quotas={"network insights paths": 3})
    eni = cloud.ec2.create_network_interface(SubnetId=cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"])
    source = eni["NetworkInterface"]["NetworkInterfaceId"]
    made = [path(cloud.ec2, source, DestinationIp=f"10.0.0.{n}") for n in range(3)]
    pages = cloud.ec2.get_paginator("describe_network_insights_paths").paginate(PaginationConfig={"PageSize": 2})
    assert [p["NetworkInsightsPathId"] for page in pages for p in page["NetworkInsightsPaths"]] == sorted(made)
    with refused("NetworkInsightsPath.LimitExceeded"):
        path(cloud.ec2, source, DestinationIp="10.0.0.9")


def test_a_path_goes_after_its_analyses(cloud: Cloud, ec2: Any, guests: tuple[str, str], refused: Any) -> None:
    id = path(ec2, *guests, DestinationPort=80)
    first = analysis(cloud, id)["NetworkInsightsAnalysisId"]
    with refused("AnalysisExistsForNetworkInsightsPath"):
        ec2.delete_network_insights_path(NetworkInsightsPathId=id)
    gone = ec2.delete_network_insights_analysis(NetworkInsightsAnalysisId=first)
    assert gone["NetworkInsightsAnalysisId"] == first
    assert ec2.delete_network_insights_path(NetworkInsightsPathId=id)["NetworkInsightsPathId"] == id
    with refused("InvalidNetworkInsightsPathId.NotFound"):
        ec2.describe_network_insights_paths(NetworkInsightsPathIds=[id])
    with refused("InvalidNetworkInsightsAnalysisId.NotFound"):
        ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=[first])


def test_another_account_sees_nothing(cloud: Cloud, ec2: Any, guests: tuple[str, str], refused: Any) -> None:
    id = path(ec2, *guests, DestinationPort=80)
    found = start(ec2, id)
    other = cloud.another_account()
    assert other.describe_network_insights_paths()["NetworkInsightsPaths"] == []
    assert other.describe_network_insights_analyses()["NetworkInsightsAnalyses"] == []
    with refused("InvalidInstanceID.NotFound"):
        path(other, *guests)
    for act in (
        lambda: other.delete_network_insights_path(NetworkInsightsPathId=id),
        lambda: other.start_network_insights_analysis(NetworkInsightsPathId=id),
        lambda: other.describe_network_insights_analyses(NetworkInsightsPathId=id),
    ):
        with refused("InvalidNetworkInsightsPathId.NotFound"):
            act()
    with refused("InvalidNetworkInsightsAnalysisId.NotFound"):
        other.delete_network_insights_analysis(NetworkInsightsAnalysisId=found)

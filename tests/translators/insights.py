"""Paths between instances, and what is found about them, as tests write and read them."""

from typing import Any

from tests.cloud import IMAGE, Cloud


def pair(cloud: Cloud, *groups: str) -> tuple[str, str]:
    """Launch an instance in each of two subnets of the default VPC, in these groups."""
    subnets = [subnet["SubnetId"] for subnet in cloud.ec2.describe_subnets()["Subnets"]]
    first, second = (launch(cloud.ec2, subnet, group) for subnet, group in zip(subnets, groups, strict=False))
    cloud.settle()
    return first, second


def launch(ec2: Any, subnet: str, group: str) -> str:
    kind = {"ImageId": IMAGE, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}
    return str(ec2.run_instances(**kind, SubnetId=subnet, SecurityGroupIds=[group])["Instances"][0]["InstanceId"])


def instance(ec2: Any, id: str) -> Any:
    return ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]


def interface(ec2: Any, id: str) -> str:
    return str(instance(ec2, id)["NetworkInterfaces"][0]["NetworkInterfaceId"])


def gateway(ec2: Any) -> str:
    return str(ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"])


def path(ec2: Any, source: str, destination: str = "", **more: Any) -> str:
    to = {"Destination": destination} if destination else {}
    made = ec2.create_network_insights_path(**{"Source": source, "Protocol": "tcp", **to, **more})
    return str(made["NetworkInsightsPath"]["NetworkInsightsPathId"])


def start(ec2: Any, path_id: str, **more: Any) -> str:
    begun = ec2.start_network_insights_analysis(NetworkInsightsPathId=path_id, **more)["NetworkInsightsAnalysis"]
    assert begun["Status"] == "running"
    return str(begun["NetworkInsightsAnalysisId"])


def analysis(cloud: Cloud, path_id: str, **more: Any) -> Any:
    id = start(cloud.ec2, path_id, **more)
    cloud.settle()
    (found,) = cloud.ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=[id])["NetworkInsightsAnalyses"]
    assert found["Status"] == "succeeded"
    return found


def codes(found: Any) -> list[str]:
    return [each["ExplanationCode"] for each in found.get("Explanations", [])]


def names(components: Any) -> list[str]:
    return [each["Component"]["Id"].rpartition("-")[0] for each in components]

"""Flow logs through a real client."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from engine import desired
from engine.drivers.networking import Network
from engine.flow_logs.fields import DEFAULT, VERSIONS
from tests.cloud import OPERATOR, Cloud

ROLE = "arn:aws:iam::123456789012:role/flow-logs"
GROUP = {"LogGroupName": "traffic", "DeliverLogsPermissionArn": ROLE}
BUCKET = {"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs/vpc"}


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


@pytest.fixture
def interface(ec2: Any, subnet: str) -> str:
    return str(ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"])


def create(ec2: Any, resource: str, **options: Any) -> Any:
    kind = {"vpc": "VPC", "subnet": "Subnet", "eni": "NetworkInterface"}[resource.partition("-")[0]]
    place = {} if "LogDestination" in options or "LogGroupName" in options else GROUP
    asked = {"ResourceIds": [resource], "ResourceType": kind, "TrafficType": "ALL", **place, **options}
    return ec2.create_flow_logs(**{name: value for name, value in asked.items() if value is not None})


def created(ec2: Any, resource: str, **options: Any) -> str:
    (id,) = create(ec2, resource, **options)["FlowLogIds"]
    return str(id)


def described(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = ec2.describe_flow_logs(FlowLogIds=[id])["FlowLogs"]
    return dict(found)


# -- what is made ------------------------------------------------------------------


def test_a_log_to_a_group_reads_back_as_it_was_asked_for(ec2: Any, vpc: str) -> None:
    tags = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "Name", "Value": "all"}]}]
    answer = create(ec2, vpc, TagSpecifications=tags, ClientToken="once")
    assert (answer["Unsuccessful"], answer["ClientToken"]) == ([], "once")
    found = described(ec2, answer["FlowLogIds"][0])
    assert found.pop("CreationTime")
    assert found == {
        "FlowLogId": answer["FlowLogIds"][0],
        "FlowLogStatus": "ACTIVE",
        "ResourceId": vpc,
        "TrafficType": "ALL",
        "DeliverLogsStatus": "SUCCESS",
        "DeliverLogsPermissionArn": ROLE,
        "LogDestinationType": "cloud-watch-logs",
        "LogGroupName": "traffic",
        "LogFormat": DEFAULT,
        "MaxAggregationInterval": 600,
        "Tags": [{"Key": "Name", "Value": "all"}],
    }
    assert create(ec2, vpc, TagSpecifications=tags, ClientToken="once")["FlowLogIds"] == answer["FlowLogIds"]


def test_the_default_format_is_the_documented_one() -> None:
    assert DEFAULT == (
        "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
        "${bytes} ${start} ${end} ${action} ${log-status}"
    )


def test_a_log_to_a_bucket_reads_back_as_it_was_asked_for(make_cloud: Callable[..., Cloud]) -> None:
    ec2 = make_cloud(flow_log_store="file:///nowhere").ec2
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    options = {"HiveCompatiblePartitions": True, "PerHourPartition": True}
    text = "${srcaddr} ${dstaddr} ${tcp-flags}"
    asked = {"DestinationOptions": options, "LogFormat": text, "MaxAggregationInterval": 60, "TrafficType": "REJECT"}
    found = described(ec2, created(ec2, vpc, **BUCKET, **asked))
    assert found["DestinationOptions"] == {**options, "FileFormat": "plain-text"}
    assert {name: found[name] for name in (*BUCKET, "LogFormat", "MaxAggregationInterval", "TrafficType")} == {
        **BUCKET, "LogFormat": text, "MaxAggregationInterval": 60, "TrafficType": "REJECT"
    }  # fmt: skip
    assert not {"LogGroupName", "DeliverLogsPermissionArn"} & found.keys()


def test_a_group_may_be_named_by_its_arn(ec2: Any, vpc: str) -> None:
    arn = f"arn:aws:logs:us-east-1:{OPERATOR}:log-group:/aws/vpc"
    found = described(ec2, created(ec2, vpc, LogDestination=arn, DeliverLogsPermissionArn=ROLE))
    assert (found["LogDestination"], found["LogGroupName"]) == (arn, "/aws/vpc")


def test_every_field_may_be_asked_for(ec2: Any, vpc: str) -> None:
    text = " ".join(f"${{{name}}}" for name in VERSIONS)
    assert described(ec2, created(ec2, vpc, LogFormat=text))["LogFormat"] == text


def test_one_request_makes_a_log_for_each_resource_that_there_is(ec2: Any, vpc: str) -> None:
    lost = "vpc-00000000000000000"
    answer = ec2.create_flow_logs(ResourceIds=[vpc, lost, vpc], ResourceType="VPC", TrafficType="ALL", **GROUP)
    assert len(answer["FlowLogIds"]) == 1
    (failure,) = answer["Unsuccessful"]
    assert (failure["ResourceId"], failure["Error"]["Code"]) == (lost, "InvalidVpcID.NotFound")


# -- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"TrafficType": None}, "MissingParameter", "TrafficType"),
        ({"TrafficType": "SOME"}, "InvalidParameterValue", ""),
        ({"ResourceType": "TransitGateway"}, "UnsupportedOperation", "ResourceType"),
        ({"MaxAggregationInterval": 300}, "InvalidParameter", "Invalid Flow Log Max Aggregation Interval"),
        ({"LogDestinationType": "kinesis-data-firehose"}, "UnsupportedOperation", "LogDestinationType"),
        ({"LogGroupName": "", "DeliverLogsPermissionArn": ROLE}, "InvalidParameter", "LogDestination can't be empty"),
        ({**GROUP, "LogDestination": "arn:aws:s3:::logs"}, "InvalidParameter", "Please only provide LogGroupName or"),
        ({"LogGroupName": "traffic"}, "InvalidParameter", "DeliverLogsPermissionArn can't be empty"),
        ({**GROUP, "DeliverLogsPermissionArn": "me"}, "InvalidParameterValue", "IAM role"),
        ({**GROUP, "LogGroupName": "a b"}, "InvalidParameterValue", "LogGroupName"),
        ({**GROUP, "LogGroupName": "a" * 256}, "InvalidParameterValue", "too long"),
        ({**GROUP, "LogDestinationType": "s3"}, "InvalidParameter", "type must be cloud-watch-logs"),
        (
            {"LogDestination": "arn:aws:s3:::logs", "DeliverLogsPermissionArn": ROLE},
            "InvalidParameterValue",
            "not the ARN of a log group",
        ),
        (
            {
                "LogDestination": "arn:aws:logs:eu-west-1:123456789012:log-group:a",
                "DeliverLogsPermissionArn": ROLE,
            },
            "InvalidParameterValue",
            "same account and Region",
        ),
        ({**GROUP, "DestinationOptions": {"PerHourPartition": True}}, "InvalidParameter", "DestinationOptions"),
        ({"DeliverCrossAccountRole": ROLE}, "UnsupportedOperation", "DeliverCrossAccountRole"),
        ({"LogFormat": "srcaddr"}, "InvalidParameterValue", "'srcaddr' at 'logFormat' has an invalid format"),
        ({"LogFormat": "${srcaddr} "}, "InvalidParameterValue", "at 'logFormat' has an invalid format"),
        ({"LogFormat": "${srcaddr} ${ecs-task-id}"}, "InvalidParameter", "Unknown fields provided: ecs-task-id"),
        ({"LogFormat": "${srcaddr} ${srcaddr}"}, "InvalidParameter", "Duplicate"),
        ({**BUCKET}, "UnsupportedOperation", "flow_log_store is not set"),
        ({**BUCKET, "DeliverLogsPermissionArn": ROLE}, "InvalidParameter", "not applicable for s3 delivery"),
        ({**BUCKET, "LogDestination": "logs"}, "InvalidParameterValue", "not the ARN of a bucket"),
        ({**BUCKET, "LogDestination": "arn:aws:s3:::logs/AWSLogs/"}, "InvalidParameterValue", "reserved"),
        ({"ResourceIds": ["vpc-00000000000000000"]}, "InvalidVpcID.NotFound", ""),
        ({"ResourceIds": ["vpc-00000000000000000"] * 301}, "InvalidParameterValue", "300"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]}, "InvalidParameterValue", "vpc"),
    ],
)
def test_what_cannot_be_is_refused(
    ec2: Any, vpc: str, refused: Any, options: dict[str, Any], code: str, text: str
) -> None:
    with refused(code, text):
        create(ec2, vpc, **options)
    assert ec2.describe_flow_logs()["FlowLogs"] == []


def test_parquet_is_refused(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    ec2 = make_cloud(flow_log_store="http://store.test").ec2
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    with refused("UnsupportedOperation", "FileFormat"):
        create(ec2, vpc, **BUCKET, DestinationOptions={"FileFormat": "parquet"})


def test_a_second_log_with_the_same_destination_is_refused_and_a_third_one_is_too_many(
    ec2: Any, vpc: str, refused: Any
) -> None:
    created(ec2, vpc)
    with refused("FlowLogAlreadyExists", "existing Flow Log with the same configuration and log destination"):
        create(ec2, vpc, MaxAggregationInterval=60)
    created(ec2, vpc, LogGroupName="other", DeliverLogsPermissionArn=ROLE)
    with refused("FlowLogsLimitExceeded"):
        create(ec2, vpc, LogGroupName="third", DeliverLogsPermissionArn=ROLE)


# -- what is found -----------------------------------------------------------------


def test_filters_find_logs(ec2: Any, vpc: str, subnet: str, interface: str) -> None:
    first = created(ec2, vpc)
    second = created(ec2, subnet, TrafficType="REJECT", LogGroupName="denied", DeliverLogsPermissionArn=ROLE)
    third = created(ec2, interface, TrafficType="ACCEPT")
    ec2.create_tags(Resources=[third], Tags=[{"Key": "Name", "Value": "card"}])

    def found(name: str, value: str) -> set[str]:
        logs = ec2.describe_flow_logs(Filters=[{"Name": name, "Values": [value]}])["FlowLogs"]
        return {log["FlowLogId"] for log in logs}

    assert found("resource-id", vpc) == {first}
    assert (
        found("traffic-type", "REJECT") == found("log-group-name", "den*") == found("flow-log-id", second) == {second}
    )
    assert found("tag:Name", "card") == found("tag-key", "Name") == {third}
    assert found("log-destination-type", "cloud-watch-logs") == {first, second, third}
    assert found("deliver-log-status", "SUCCESS") == {first, second, third}
    assert found("deliver-log-status", "FAILED") == set()


def test_logs_come_in_pages(ec2: Any, vpc: str, subnet: str, interface: str) -> None:
    ids = {created(ec2, resource) for resource in (vpc, subnet, interface)}
    first = ec2.describe_flow_logs(MaxResults=2)
    second = ec2.describe_flow_logs(MaxResults=2, NextToken=first["NextToken"])
    assert {log["FlowLogId"] for log in (*first["FlowLogs"], *second["FlowLogs"])} == ids
    assert "NextToken" not in second


def test_another_account_sees_nothing(cloud: Cloud, ec2: Any, vpc: str, refused: Any) -> None:
    log = created(ec2, vpc)
    other = cloud.another_account()
    assert other.describe_flow_logs()["FlowLogs"] == []
    for act in (
        partial(other.describe_flow_logs, FlowLogIds=[log]),
        partial(other.delete_flow_logs, FlowLogIds=[log]),
    ):
        with refused("InvalidFlowLogId.NotFound"):
            act()
    with refused("InvalidVpcID.NotFound"):
        create(other, vpc)


# -- what follows ------------------------------------------------------------------


def network(cloud: Cloud, vpc: str) -> Network:
    found = cloud.look(partial(desired.network, settings=cloud.settings, vpc_id=vpc))
    assert found is not None
    return found


def test_a_network_is_logged_for_as_long_as_anything_in_it_is(
    cloud: Cloud, ec2: Any, vpc: str, subnet: str, interface: str
) -> None:
    for resource in (vpc, subnet, interface):
        log = created(ec2, resource)
        assert network(cloud, vpc).is_logged
        assert ec2.delete_flow_logs(FlowLogIds=[log])["Unsuccessful"] == []
        assert not network(cloud, vpc).is_logged


def test_the_network_follows(cloud: Cloud, ec2: Any) -> None:
    launched = ec2.run_instances(ImageId="ami-00000000000000001", MinCount=1, MaxCount=1)["Instances"][0]
    cloud.settle()
    vpc = launched["VpcId"]

    def is_logged() -> bool:
        cloud.settle()
        return bool(cloud.backend.network._networks[vpc].is_logged)

    assert not is_logged()
    log = created(ec2, vpc)
    assert is_logged()
    ec2.delete_flow_logs(FlowLogIds=[log])
    assert not is_logged()


def test_logs_are_deleted_together_or_not_at_all(ec2: Any, vpc: str, refused: Any) -> None:
    log, lost = created(ec2, vpc), "fl-00000000000000000"
    with refused("InvalidFlowLogId.NotFound", f"not found: [TotalCount: 1] {lost}"):
        ec2.delete_flow_logs(FlowLogIds=[log, lost])
    assert described(ec2, log)
    ec2.delete_flow_logs(FlowLogIds=[log])
    assert ec2.describe_flow_logs()["FlowLogs"] == ec2.describe_tags()["Tags"] == []


def test_a_log_goes_with_what_it_is_of(ec2: Any, vpc: str, subnet: str, interface: str) -> None:
    tags = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    logs = [created(ec2, resource, TagSpecifications=tags) for resource in (interface, subnet, vpc)]
    deletions = (
        lambda: ec2.delete_network_interface(NetworkInterfaceId=interface),
        lambda: ec2.delete_subnet(SubnetId=subnet),
        lambda: ec2.delete_vpc(VpcId=vpc),
    )
    for left, delete in zip((2, 1, 0), deletions, strict=True):
        delete()
        assert len(ec2.describe_flow_logs()["FlowLogs"]) == left
    assert logs and ec2.describe_tags()["Tags"] == []


def test_a_dry_run_makes_nothing(ec2: Any, vpc: str, refused: Any) -> None:
    with refused("DryRunOperation"):
        create(ec2, vpc, DryRun=True)
    assert ec2.describe_flow_logs()["FlowLogs"] == []

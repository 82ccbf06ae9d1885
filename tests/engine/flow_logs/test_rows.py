"""What the collector is told by the database, and what it tells it."""

from functools import partial
from typing import Any

import pytest

from engine.flow_logs.rows import Facts, facts, wanted
from engine.flow_logs.service import Rows
from engine.state import InterfacePrefix, Ipv6Address
from tests.cloud import IMAGE, OPERATOR, Cloud

HOST = "simulated-us-east-1"
ROLE = "arn:aws:iam::123456789012:role/flow-logs"


@pytest.fixture
def instance(cloud: Cloud, ec2: Any) -> dict[str, Any]:
    launched = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]
    cloud.settle()
    return dict(launched)


def log(ec2: Any, resource: str, kind: str, group: str = "traffic", **options: Any) -> str:
    asked = {"TrafficType": "ALL", "LogGroupName": group, "DeliverLogsPermissionArn": ROLE, **options}
    (id,) = ec2.create_flow_logs(ResourceIds=[resource], ResourceType=kind, **asked)["FlowLogIds"]
    return str(id)


def known(cloud: Cloud, *hosts: str) -> Facts:
    return cloud.look(partial(facts, settings=cloud.settings, hosts=hosts or (HOST,)))


def test_a_card_is_counted_for_the_logs_of_all_that_it_is_in(cloud: Cloud, ec2: Any, instance: dict[str, Any]) -> None:
    card = instance["NetworkInterfaces"][0]
    id, look = card["NetworkInterfaceId"], partial(cloud.look, partial(wanted, hosts=(HOST,)))
    assert look() == {}
    log(ec2, instance["VpcId"], "VPC", MaxAggregationInterval=60)
    assert look() == {id: (card["MacAddress"], {60})}
    log(ec2, instance["SubnetId"], "Subnet", MaxAggregationInterval=60)
    log(ec2, id, "NetworkInterface")
    assert look() == {id: (card["MacAddress"], {60, 600})}
    assert cloud.look(partial(wanted, hosts=("another",))) == {}
    ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
    cloud.settle()
    assert look() == {}


def test_lines_are_written_from_what_the_database_knows(cloud: Cloud, ec2: Any, instance: dict[str, Any]) -> None:
    assert known(cloud) == Facts()
    id = log(ec2, instance["SubnetId"], "Subnet", MaxAggregationInterval=60, LogFormat="${action} ${bytes}")
    shown = instance["NetworkInterfaces"][0]
    with cloud.database.write() as db:
        place = {"subnet_id": instance["SubnetId"], "interface_id": shown["NetworkInterfaceId"]}
        db.add(Ipv6Address(**place, address="2001:db8::4"))
        db.add(InterfacePrefix(**place, cidr="172.31.0.16/28"))
    found = known(cloud)
    (one,) = found.logs
    assert (one.id, one.fields, one.interval, one.group) == (id, ("action", "bytes"), 60, "traffic")
    assert abs(one.created - instance["LaunchTime"].timestamp()) < 60
    card = found.cards[shown["NetworkInterfaceId"]]
    assert (card.account, card.mac, card.instance_id) == (OPERATOR, shown["MacAddress"], instance["InstanceId"])
    assert card.addresses == (card.primary, "2001:db8::4") == (instance["PrivateIpAddress"], "2001:db8::4")
    assert (card.ranges, card.zone_id[:5], card.here, card.forwarding) == (("172.31.0.16/28",), "use1-", True, False)
    assert one.concerns(card)
    assert found.networks[instance["VpcId"]].is_logged
    assert not known(cloud, "another").cards[card.id].here


def test_what_becomes_of_a_delivery_is_described(cloud: Cloud, ec2: Any, instance: dict[str, Any]) -> None:
    id = log(ec2, instance["VpcId"], "VPC")
    rows = Rows(cloud.database, cloud.settings, (HOST,))
    assert rows.known() == {id}

    def described() -> tuple[str, str | None]:
        (found,) = ec2.describe_flow_logs(FlowLogIds=[id])["FlowLogs"]
        return found["DeliverLogsStatus"], found.get("DeliverLogsErrorMessage")

    rows.note({id: "Access error", "fl-00000000000000000": ""})
    assert described() == ("FAILED", "Access error")
    assert len(ec2.describe_flow_logs(Filters=[{"Name": "deliver-log-status", "Values": ["FAILED"]}])["FlowLogs"]) == 1
    rows.note({id: ""})
    assert described() == ("SUCCESS", None)


def test_an_interface_that_goes_takes_its_log_along(cloud: Cloud, ec2: Any, instance: dict[str, Any]) -> None:
    log(ec2, instance["NetworkInterfaces"][0]["NetworkInterfaceId"], "NetworkInterface")
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    cloud.settle()
    assert ec2.describe_flow_logs()["FlowLogs"] == []
    assert known(cloud) == Facts()

"""Flow logs of a real guest: what it may do, what it may not, and a collector that is killed in between."""

import gzip
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import supervisor
from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, answers, launch, make_key, terminate

pytestmark = pytest.mark.acceptance

ROLE = "arn:aws:iam::123456789012:role/flow-logs"
FIELDS = ("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
          "bytes", "start", "end", "action", "log-status")  # fmt: skip
PATTERN = re.compile(
    r"2 \d{12} eni-[0-9a-f]{17} "
    r"(([0-9a-f.:]+ ){2}(\d+ ){7}(ACCEPT|REJECT) OK|(- ){7}\d+ \d+ - (NODATA|SKIPDATA))"
)
HOST = "198.18.0.1"
DENIED, WITHHELD = 8081, 8082
CUSTOM = "${flow-direction} ${action} ${dstport} ${tcp-flags} ${traffic-path} ${instance-id} ${pkt-dstaddr}"


@dataclass
class Scene:
    """A guest whose group lets in SSH and lets nothing out, and the logs of its VPC."""

    deployment: Deployment
    guest: Guest
    group_log: str
    bucket_log: str
    bucket: Path

    @property
    def card(self) -> dict[str, Any]:
        return dict(self.guest.describe()["NetworkInterfaces"][0])

    def files(self) -> list[Path]:
        streams = self.deployment.data / "flow-logs"
        return sorted(streams.glob(f"*/*/acceptance/{self.card['NetworkInterfaceId']}-all/*_{self.group_log}.log"))

    def lines(self) -> list[dict[str, str]]:
        texts = [line for file in self.files() for line in file.read_text().splitlines()]
        assert [text for text in texts if not PATTERN.fullmatch(text)] == []
        return [dict(zip(FIELDS, text.split(), strict=True)) for text in texts]

    def tables(self) -> list[str]:
        said = subprocess.run(["nft", "list", "tables", "netdev"], capture_output=True, text=True, check=True).stdout
        return [line for line in said.splitlines() if self.card["NetworkInterfaceId"] in line]


@pytest.fixture(scope="module")
def scene(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    ec2 = deployment.ec2
    key = make_key(ec2, "logged", tmp_path_factory.mktemp("logged"))
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="logged", Description="SSH alone", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    guest = launch(ec2, key, SecurityGroupIds=[group])
    guest.wait_until("running")
    guest.ssh("true")
    bucket = deployment.home / "store" / "acceptance"
    common = {"ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL", "MaxAggregationInterval": 60}
    first = ec2.create_flow_logs(**common, LogGroupName="acceptance", DeliverLogsPermissionArn=ROLE)
    second = ec2.create_flow_logs(
        **common, LogDestinationType="s3", LogDestination="arn:aws:s3:::acceptance/logs", LogFormat=CUSTOM
    )
    logs = [*first["FlowLogIds"], *second["FlowLogIds"]]
    yield Scene(deployment, guest, *logs, bucket)
    left = {log["FlowLogId"] for log in ec2.describe_flow_logs()["FlowLogs"]}
    if left:
        ec2.delete_flow_logs(FlowLogIds=sorted(left))
    terminate(guest)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_key_pair(KeyName="logged")


def kill_collector(deployment: Deployment) -> None:
    (process,) = [each for each in supervisor.status(deployment.settings) if each.name == "metadata"]
    os.kill(process.pid, signal.SIGKILL)


def test_what_passes_and_what_is_dropped_is_written_down_once(scene: Scene) -> None:
    eventually(scene.tables, "counters of the guest's card")
    if (left := 60 - time.time() % 60) < 15:
        time.sleep(left + 2)  # What follows is to happen within one period.
    public, begun = scene.guest.public_ip, time.time()
    scene.guest.ssh("head -c 20000 /dev/zero | wc -c")
    assert not answers(public, DENIED)
    kill_collector(scene.deployment)
    scene.guest.told(f"nc -w 1 {HOST} {WITHHELD} < /dev/null")
    wanted = begun // 60 * 60 + 60
    eventually(lambda: any(float(line["end"]) >= wanted for line in scene.lines()), "lines", seconds=75)
    lines = [line for line in scene.lines() if float(line["end"]) == wanted]
    own, account = scene.card["PrivateIpAddress"], scene.card["OwnerId"]
    assert {(line["account-id"], line["log-status"]) for line in lines} == {(account, "OK")}
    assert all(float(line["start"]) <= begun <= float(line["end"]) for line in lines)

    def found(action: str, **values: str) -> list[dict[str, str]]:
        asked = {name.replace("_", "-"): value for name, value in values.items()}
        return [line for line in lines if line["action"] == action and asked.items() <= line.items()]

    inward = found("ACCEPT", srcaddr=HOST, dstaddr=own, dstport="22", protocol="6")
    outward = found("ACCEPT", srcaddr=own, dstaddr=HOST, srcport="22", protocol="6")
    assert len(inward) == len({line["srcport"] for line in inward}) >= 2
    assert {line["srcport"] for line in inward} == {line["dstport"] for line in outward}
    for connection in (inward, outward):
        sizes = [(int(line["packets"]), int(line["bytes"])) for line in connection]
        assert all(40 * packets <= size <= 1500 * packets for packets, size in sizes)
        # That of the command takes a handshake, keys and their exchange.
        assert 8 <= max(sizes)[0] <= 200 and 2000 <= max(sizes)[1] <= 40000
    (denied,) = {line["srcport"]: line for line in found("REJECT", dstaddr=own, dstport=str(DENIED))}.values()
    assert (denied["srcaddr"], denied["protocol"]) == (HOST, "6")
    (withheld,) = found("REJECT", srcaddr=own, dstaddr=HOST, dstport=str(WITHHELD))
    assert int(withheld["packets"]) >= 1 and int(withheld["bytes"]) >= 40 * int(withheld["packets"])
    assert not found("ACCEPT", dstport=str(DENIED)) and not found("ACCEPT", dstport=str(WITHHELD))
    files = [file.name for file in scene.files()]
    assert len(files) == len(set(files))


def test_a_bucket_has_an_object_with_the_fields_that_were_asked_for(scene: Scene) -> None:
    objects = sorted(scene.bucket.glob(f"logs/AWSLogs/*/vpcflowlogs/us-east-1/*/*/*/*_{scene.bucket_log}_*.log.gz"))
    texts = [line for file in objects for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    assert texts[0] == CUSTOM.replace("${", "").replace("}", "")
    own = scene.card["PrivateIpAddress"]
    assert f"ingress REJECT {DENIED} 2 - {scene.guest.id} {own}" in texts
    assert f"egress REJECT {WITHHELD} 2 8 {scene.guest.id} {HOST}" in texts
    (log,) = scene.guest.ec2.describe_flow_logs(FlowLogIds=[scene.bucket_log])["FlowLogs"]
    assert log["DeliverLogsStatus"] == "SUCCESS"


def test_a_log_that_is_deleted_stops_at_once(scene: Scene) -> None:
    assert scene.tables()
    scene.guest.ec2.delete_flow_logs(FlowLogIds=[scene.group_log, scene.bucket_log])
    before = scene.files()
    eventually(lambda: not scene.tables(), "end of the counters", seconds=10)
    scene.guest.ssh("true")
    time.sleep(62 - time.time() % 60 if time.time() % 60 > 50 else 1)
    assert scene.files() == before

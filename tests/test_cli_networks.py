"""``groundfog trace`` and ``groundfog networks``, on the database of a cloud in this process."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import select
from typer.testing import CliRunner

from cli import app
from engine import tasks
from engine.state import NetworkAclEntry, Vpc
from tests.cloud import OPERATOR, Cloud
from tests.translators.groups import allow, make, tcp
from tests.translators.insights import instance, interface, pair

Groundfog = Callable[..., str]


@pytest.fixture
def groundfog(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Groundfog:
    """Run a command; return what it says, or how it fails."""
    for name, value in {"ENGINE": "simulated", "DATA": cloud.settings.data, "DATABASE": cloud.database.url}.items():
        monkeypatch.setenv(f"GROUNDFOG_{name}", str(value))

    def run(*words: str, code: int = 0) -> str:
        done: Result = CliRunner().invoke(app, list(words))
        told = str(done.exception) if done.exception and not isinstance(done.exception, SystemExit) else done.output
        assert done.exit_code == code, told
        return told

    return run


@pytest.fixture
def guests(cloud: Cloud, ec2: Any) -> tuple[str, str]:
    """A client and a server in two subnets of the default VPC."""
    return pair(cloud, make(ec2, "client"), make(ec2, "server"))


def group(ec2: Any, id: str) -> str:
    return str(instance(ec2, id)["SecurityGroups"][0]["GroupId"])


# -- trace -------------------------------------------------------------------------


def test_trace_says_what_stops_a_packet_and_what_to_do(groundfog: Groundfog, ec2: Any, guests: tuple[str, str]) -> None:
    client, server = guests
    told = groundfog("trace", client, f"{server}:443", code=1)
    assert f"stops   no rule of {group(ec2, server)} allows it at {interface(ec2, server)} of {server}" in told
    assert "It does not arrive." in told
    source = instance(ec2, client)["PrivateIpAddress"]
    assert f"To change that, add an ingress rule to {group(ec2, server)}: tcp 443 from {source}/32." in told


def test_trace_says_which_rules_let_a_packet_and_its_answer_pass(
    cloud: Cloud, groundfog: Groundfog, ec2: Any, guests: tuple[str, str]
) -> None:
    client, server = guests
    (rule,) = allow(ec2, group(ec2, server), tcp(443, "172.31.0.0/16"))
    cloud.settle()
    told = groundfog("trace", interface(ec2, client), f"{instance(ec2, server)['PrivateIpAddress']}:443")
    assert f"{rule['SecurityGroupRuleId']} (tcp 443 from 172.31.0.0/16)" in told
    assert re.search(r"acl-\w+ lets it out of subnet-\w+: rule 100 \(allow everything to 0.0.0.0/0\)", told)
    assert re.search(r"rtb-\w+ has a route from subnet-\w+: 172.31.0.0/16 to local", told)
    assert "it answers what passed before" in told
    assert told.rstrip().endswith("It arrives, and so does the answer.")


def test_trace_finds_the_acl_that_stops_an_answer(
    cloud: Cloud, groundfog: Groundfog, ec2: Any, guests: tuple[str, str]
) -> None:
    client, server = guests
    allow(ec2, group(ec2, server), tcp(443, "172.31.0.0/16"))
    (acl,) = ec2.describe_network_acls()["NetworkAcls"]
    with cloud.database.write() as db:
        columns = {"protocol": "6", "action": "deny", "cidr": "0.0.0.0/0", "from_port": 1024, "to_port": 65535}
        db.add(NetworkAclEntry(acl_id=acl["NetworkAclId"], egress=False, number=90, **columns))
        tasks.start(db, acl["VpcId"], "sync_network", "us-east-1")
    cloud.settle()
    told = groundfog("trace", client, f"{server}:443", code=1)
    assert "and the answer" in told
    assert f"{acl['NetworkAclId']} stops it at the edge of" in told
    assert "rule 90 (deny tcp 1024-65535 from 0.0.0.0/0)" in told
    assert "The answer does not arrive." in told
    assert f"add an ingress rule to {acl['NetworkAclId']} before number 90: allow tcp 49152 from" in told


def test_trace_goes_outside_and_comes_from_there(
    cloud: Cloud, groundfog: Groundfog, ec2: Any, guests: tuple[str, str]
) -> None:
    client, server = guests
    public = instance(ec2, client)["PublicIpAddress"]
    told = groundfog("trace", client, "203.0.113.7", "--protocol", "icmp")
    assert re.search(rf"igw-\w+ sends it outside as {public}", told)
    assert "no rule of" in groundfog("trace", server, ":22", "--from-outside", code=1)
    allow(ec2, group(ec2, server), tcp(22, "203.0.113.0/24"))
    cloud.settle()
    assert "It arrives, and so does the answer." in groundfog("trace", server, "203.0.113.9:22", "--from-outside")
    assert "no rule of" in groundfog("trace", server, "198.51.100.1:22", "--from-outside", code=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["i-0123456789abcdef0", "10.0.0.1:80"], "cannot find i-0123456789abcdef0: it is no instance"),
        (["CLIENT", "10.0.0.1"], "it names no port; write it as 10.0.0.1:443"),
        (["CLIENT", "10.0.0.1:http"], "it names no port"),
        (["CLIENT", "db.example.com:80"], "cannot trace to db.example.com: it is no address"),
        (["CLIENT", ":80"], "cannot trace to nowhere"),
        (["CLIENT", "[fd00::1]:80"], "has no IPv6 address"),
    ],
)
def test_trace_says_what_it_does_not_understand(
    groundfog: Groundfog, guests: tuple[str, str], words: list[str], told: str
) -> None:
    words = [guests[0] if word == "CLIENT" else word for word in words]
    assert told in groundfog("trace", *words, code=1)


def test_trace_says_that_an_instance_does_not_run(
    cloud: Cloud, groundfog: Groundfog, ec2: Any, guests: tuple[str, str]
) -> None:
    ec2.stop_instances(InstanceIds=[guests[0]])
    cloud.settle()
    assert "cannot trace the packet: there is no port eni-" in groundfog("trace", guests[0], "10.0.0.1:80", code=1)


# -- networks ----------------------------------------------------------------------


def vlan(cloud: Cloud, vpc: str) -> tuple[int | None, bool]:
    with cloud.database.read() as db:
        row = db.get_one(Vpc, vpc)
        return row.vlan, row.vlan_is_mapped


@pytest.fixture
def worker(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is at once done with what a command starts."""
    monkeypatch.setattr("time.sleep", lambda _: cloud.settle())


def test_networks_are_listed(groundfog: Groundfog, cloud: Cloud, ec2: Any, guests: tuple[str, str]) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "main"}])
    other = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    told = groundfog("networks")
    with cloud.database.read() as db:
        uplink = db.get_one(Vpc, vpc).uplink_address
    subnets = len(ec2.describe_subnets()["Subnets"])
    assert re.search(
        rf"{vpc}\s+{OPERATOR}\s+us-east-1\s+main\s+172.31.0.0/16\s+nothing: simulated\s+{subnets}\s+2\s+{uplink}", told
    )
    assert re.search(rf"{other}\s+{OPERATOR}\s+us-east-1\s+10.0.0.0/16\s+nothing: simulated\s+0\s+0\s", told)


@pytest.mark.usefixtures("worker")
def test_a_network_is_mapped_to_a_vlan_and_back(
    groundfog: Groundfog, cloud: Cloud, ec2: Any, guests: tuple[str, str]
) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    assert groundfog("networks", "map", vpc, "--vlan", "42").strip() == f"{vpc} is on VLAN 42"
    assert vlan(cloud, vpc) == (42, True)
    assert cloud.backend.network._networks[vpc].vlan == 42
    assert re.search(rf"{vpc}.*VLAN 42 \(mapped\)", groundfog("networks"))
    assert "is on VLAN 4094" in groundfog("networks", "map", vpc, "--vlan", "4094")
    assert groundfog("networks", "unmap", vpc).strip() == f"{vpc} is mapped no more: it is on nothing: simulated"
    assert vlan(cloud, vpc) == (None, False)
    assert cloud.backend.network._networks[vpc].vlan is None


def test_a_vlan_that_cannot_be_is_refused(groundfog: Groundfog, cloud: Cloud, ec2: Any) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with cloud.database.write() as db:
        db.get_one(Vpc, other).vlan = 7
    for id in ("0", "4095", "-1"):
        assert "ids are from 1 to 4094" in groundfog("networks", "map", vpc, "--vlan", id, code=1)
    assert f"it is that of {other}" in groundfog("networks", "map", vpc, "--vlan", "7", code=1)
    assert "cannot find the VPC vpc-none" in groundfog("networks", "map", "vpc-none", "--vlan", "8", code=1)
    assert "it is not mapped" in groundfog("networks", "unmap", vpc, code=1)
    assert vlan(cloud, vpc) == (None, False)


def test_without_a_worker_the_change_waits(
    groundfog: Groundfog, cloud: Cloud, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("cli.networks.time.monotonic", lambda: next(clock))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    assert "the network follows when the worker can" in groundfog("networks", "map", vpc, "--vlan", "42")
    with cloud.database.read() as db:
        assert db.scalars(select(Vpc.vlan).where(Vpc.id == vpc)).one() == 42


@pytest.mark.parametrize("command", ["trace", "networks", "networks map", "networks unmap"])
def test_help_teaches_by_example(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert f"groundfog {command}" in " ".join(shown.output.split())

"""Two accounts with equal default VPCs: neither's guests or objects are there for the other."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, default_group, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def guests(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Guest]]:
    """One guest of each account, at the same private address."""
    found = []
    for name in ("tenant-a", "tenant-b"):
        ec2 = deployment.create_account(name)
        key = make_key(ec2, name, tmp_path_factory.mktemp(name))
        let_in(ec2, 22)
        (subnet,) = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"]
        address = subnet["CidrBlock"].rpartition(".")[0] + ".77"
        found.append(launch(ec2, key, SubnetId=subnet["SubnetId"], PrivateIpAddress=address))
    yield found
    for guest in found:
        terminate(guest)


def test_equal_private_addresses_are_two_guests(guests: list[Guest]) -> None:
    first, second = (guest.wait_until("running") for guest in guests)
    assert first["PrivateIpAddress"] == second["PrivateIpAddress"]
    assert first["PublicIpAddress"] != second["PublicIpAddress"]
    names = [guest.ssh("curl -s http://169.254.169.254/latest/meta-data/instance-id") for guest in guests]
    assert names == [guest.id for guest in guests]


def test_nothing_of_the_other_account_is_on_ones_network(guests: list[Guest]) -> None:
    one, other = guests
    theirs = other.describe()["NetworkInterfaces"][0]["MacAddress"]
    # Asking every address of the neighbourhood fills the table with whoever answers.
    around = one.describe()["PrivateIpAddress"].rpartition(".")[0]
    one.ssh(f"for n in $(seq 70 85); do ping -c 1 -W 1 {around}.$n > /dev/null 2>&1 & done; sleep 3")
    assert theirs not in one.ssh("cat /proc/net/arp")


def test_another_accounts_objects_are_not_found(guests: list[Guest]) -> None:
    one, other = guests
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        one.ec2.terminate_instances(InstanceIds=[other.id])
    assert other.id not in str(one.ec2.describe_instances())


def test_a_rule_lets_packets_in_within_seconds_and_its_loss_keeps_them_out(guests: list[Guest]) -> None:
    guest = guests[0]
    guest.ssh("(busybox httpd -p 8080 -h /tmp || httpd -p 8080 -h /tmp); true")
    address = guest.public_ip
    assert not _answers(address, 8080)
    let_in(guest.ec2, 8080)
    eventually(lambda: _answers(address, 8080), "answer at the port that a rule opened", seconds=20)
    guest.ec2.revoke_security_group_ingress(
        GroupId=default_group(guest.ec2), IpProtocol="tcp", FromPort=8080, ToPort=8080, CidrIp="0.0.0.0/0"
    )
    eventually(lambda: not _answers(address, 8080), "silence at the port that a rule closed", seconds=20)


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_keys_of_one_account_open_no_guest_of_the_other(guests: list[Guest], tmp_path: Path) -> None:
    one, other = guests
    stranger = Guest(other.ec2, other.id, one.key)
    assert stranger.told("echo in") == ""

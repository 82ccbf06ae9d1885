"""Names in a VPC of real guests: each other's, by the VPC's own resolver; all others by the operator's."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

OUTSIDE = "outside.example"


@pytest.fixture(scope="module")
def ec2(deployment: Deployment) -> Any:
    return deployment.create_account("names")


@pytest.fixture(scope="module")
def guests(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Guest]]:
    """Two guests in two subnets of the default VPC."""
    key = make_key(ec2, "names", Path(tmp_path_factory.mktemp("key")))
    let_in(ec2, 22)
    subnets = ec2.describe_subnets()["Subnets"][:2]
    made = [launch(ec2, key, SubnetId=subnet["SubnetId"]) for subnet in subnets]
    for guest in made:
        guest.wait_until("running")
        guest.ssh("true")
    yield made
    terminate(*made)


@pytest.fixture
def upstream(deployment: Deployment) -> Iterator[list[str]]:
    """The operator's resolver, which knows one name; yields what it is asked."""
    asked: list[str] = []
    hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearing.bind(("127.0.0.1", deployment.resolver_port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                wire, peer = hearing.recvfrom(4096)
                query = dns.message.from_wire(wire)
                asked.append(query.question[0].name.to_text(omit_final_dot=True))
                answer = dns.message.make_response(query, recursion_available=True)
                if asked[-1] == OUTSIDE:
                    answer.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", "192.0.2.77"))
                hearing.sendto(answer.to_wire(), peer)

    threading.Thread(target=serve, daemon=True).start()
    yield asked
    hearing.close()


def looked_up(guest: Guest, name: str, server: str = "") -> str:
    return guest.told(f"nslookup {name} {server} 2>&1")


def test_guests_are_told_the_resolver_of_their_vpc(guests: list[Guest]) -> None:
    for guest in guests:
        said = guest.ssh("cat /etc/resolv.conf")
        assert "nameserver 172.31.0.2" in said and "ec2.internal" in said


def test_guests_know_each_other_by_name(guests: list[Guest]) -> None:
    one, other = guests
    address, name = other.describe()["PrivateIpAddress"], other.describe()["PrivateDnsName"]
    for server in ("", "169.254.169.253"):
        assert address in looked_up(one, name, server)
    assert name in looked_up(one, address)
    assert "NXDOMAIN" in looked_up(one, "nobody.ec2.internal")


def test_other_names_are_asked_for_outside(guests: list[Guest], upstream: list[str]) -> None:
    assert "192.0.2.77" in looked_up(guests[0], OUTSIDE)
    assert OUTSIDE in upstream
    assert not any(name.endswith("ec2.internal") for name in upstream)


def test_a_vpc_without_dns_support_has_no_resolver(ec2: Any, guests: list[Guest]) -> None:
    guest = guests[0].describe()
    vpc, name = guest["VpcId"], guest["PrivateDnsName"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    try:
        eventually(lambda: guest["PrivateIpAddress"] not in looked_up(guests[1], name), "silence")
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
    eventually(lambda: guest["PrivateIpAddress"] in looked_up(guests[1], name), "names again")

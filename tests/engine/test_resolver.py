"""Names as a VPC's resolver answers them: its own from the database, all others by asking elsewhere."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from engine.endpoints import add_interface_service
from engine.resolver.forwarder import Forwarder
from engine.resolver.records import Records
from engine.resolver.server import NameServer, Resolver
from engine.state import Instance, Ipv6Address, NetworkInterface, Peering, Vpc
from tests.cloud import REGION, Cloud
from tests.engine.imds import run_instance

HERE, DOMAIN = "127.0.0.1", "ec2.internal"


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud)


def asked(cloud: Cloud, vpc: str, name: str, kind: str = "A") -> tuple[str, list[str]]:
    """Return the code and the data of an answer; ``elsewhere`` for what is not the VPC's own."""
    found = Records(cloud.database).answer(vpc, dns.message.make_query(name, kind))
    if found is None:
        return "elsewhere", []
    return dns.rcode.to_text(found.rcode()), [str(data) for rows in found.answer for data in rows]


def ip_name(address: str) -> str:
    return f"ip-{address.replace('.', '-')}.{DOMAIN}"


# -- a VPC's own names ---------------------------------------------------------------


def test_an_address_has_a_name_and_the_name_its_address(cloud: Cloud, instance: dict[str, Any]) -> None:
    vpc, address = instance["VpcId"], instance["PrivateIpAddress"]
    assert instance["PrivateDnsName"] == ip_name(address)
    assert asked(cloud, vpc, ip_name(address)) == ("NOERROR", [address])
    assert asked(cloud, vpc, ip_name(address).upper()) == ("NOERROR", [address])
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert asked(cloud, vpc, reverse, "PTR") == ("NOERROR", [f"{ip_name(address)}."])
    assert asked(cloud, vpc, ip_name(address), "AAAA") == ("NOERROR", [])


def test_what_is_not_there_does_not_exist_and_nobody_outside_is_asked(cloud: Cloud, instance: dict[str, Any]) -> None:
    for name in (ip_name("10.9.9.9"), f"nobody.{DOMAIN}", f"i-00000000000000000.{DOMAIN}", f"ip-1-2-3.{DOMAIN}"):
        assert asked(cloud, instance["VpcId"], name) == ("NXDOMAIN", [])
    assert asked(cloud, instance["VpcId"], DOMAIN) == ("NOERROR", [])
    for name in ("example.com", "internal", "1.1.1.1.in-addr.arpa"):
        assert asked(cloud, instance["VpcId"], name)[0] == "elsewhere"


def test_what_does_not_exist_says_for_how_long(cloud: Cloud, instance: dict[str, Any]) -> None:
    found = Records(cloud.database).answer(instance["VpcId"], dns.message.make_query(f"no.{DOMAIN}", "A"))
    assert found is not None
    (soa,) = found.authority
    assert soa.name.to_text() == f"{DOMAIN}." and soa[0].minimum == 60


def test_another_vpc_knows_nothing_of_it(cloud: Cloud, instance: dict[str, Any]) -> None:
    other = cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    assert asked(cloud, other, ip_name(instance["PrivateIpAddress"])) == ("NXDOMAIN", [])


def test_a_resource_name_has_the_records_that_were_asked_for(cloud: Cloud, instance: dict[str, Any]) -> None:
    id, vpc, name = instance["InstanceId"], instance["VpcId"], f"{instance['InstanceId']}.{DOMAIN}"
    assert asked(cloud, vpc, name) == ("NOERROR", [])
    with cloud.database.write() as db:
        row = db.get_one(Instance, id)
        row.dns_a_record = row.dns_aaaa_record = True
        row.hostname_type = "resource-name"
        card = db.query(NetworkInterface).filter_by(instance_id=id).one()
        db.add(Ipv6Address(subnet_id=card.subnet_id, address="fd6f::1", interface_id=card.id))
    assert asked(cloud, vpc, name) == ("NOERROR", [instance["PrivateIpAddress"]])
    assert asked(cloud, vpc, name, "AAAA") == ("NOERROR", ["fd6f::1"])
    reverse = ".".join(reversed(instance["PrivateIpAddress"].split("."))) + ".in-addr.arpa"
    assert asked(cloud, vpc, reverse, "PTR") == ("NOERROR", [f"{name}."])


def test_without_dns_support_there_is_no_answer(cloud: Cloud, instance: dict[str, Any]) -> None:
    cloud.ec2.modify_vpc_attribute(VpcId=instance["VpcId"], EnableDnsSupport={"Value": False})
    assert asked(cloud, instance["VpcId"], ip_name(instance["PrivateIpAddress"])) == ("REFUSED", [])


def test_a_region_has_its_own_domain(make_cloud: Any) -> None:
    cloud = make_cloud(regions="eu-west-1")
    with cloud.database.write() as db:
        vpc = db.query(Vpc).first()
        assert vpc is not None
        vpc.region = "eu-west-1"
    assert asked(cloud, vpc.id, "x.eu-west-1.compute.internal") == ("NXDOMAIN", [])
    assert asked(cloud, vpc.id, f"x.{DOMAIN}")[0] == "elsewhere"


def test_a_peers_names_are_known_if_the_peer_lets_them_be(cloud: Cloud, instance: dict[str, Any]) -> None:
    other = cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    peering = Peering(
        id=Peering.new_id(), account="1", region=REGION, requester_vpc_id=other, requester_cidrs=[],
        accepter_account="1", accepter_vpc_id=instance["VpcId"], accepter_cidrs=[], status="active", expires="",
        accepter_dns=False,
    )  # fmt: skip
    with cloud.database.write() as db:
        db.add(peering)
    name = ip_name(instance["PrivateIpAddress"])
    assert asked(cloud, other, name)[0] == "NXDOMAIN"
    with cloud.database.write() as db:
        db.get_one(Peering, peering.id).accepter_dns = True
    assert asked(cloud, other, name) == ("NOERROR", [instance["PrivateIpAddress"]])


def test_an_endpoint_answers_to_its_own_names_and_to_the_services(cloud: Cloud, instance: dict[str, Any]) -> None:
    with cloud.database.write() as db:
        add_interface_service(db, REGION, "com.example.registry", ["192.0.2.1:1"], [443], "registry.example")
    made = cloud.ec2.create_vpc_endpoint(
        VpcId=instance["VpcId"], ServiceName="com.example.registry", VpcEndpointType="Interface",
        SubnetIds=[instance["SubnetId"]],
    )["VpcEndpoint"]  # fmt: skip
    chosen = {"NetworkInterfaceIds": made["NetworkInterfaceIds"]}
    (card,) = cloud.ec2.describe_network_interfaces(**chosen)["NetworkInterfaces"]
    regional, zonal, own = (entry["DnsName"] for entry in made["DnsEntries"])
    for name in (regional, zonal, own):
        assert asked(cloud, instance["VpcId"], name) == ("NOERROR", [card["PrivateIpAddress"]])
    assert asked(cloud, instance["VpcId"], zonal.replace("us-east-1", "us-west-1", 1)) == ("NXDOMAIN", [])
    cloud.ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], PrivateDnsEnabled=False)
    assert asked(cloud, instance["VpcId"], own)[0] == "elsewhere"


# -- on the wire ---------------------------------------------------------------------


class Upstream:
    """A resolver that answers every A query with 192.0.2.7, by UDP and TCP; a ``silent`` one does not."""

    def __init__(self, silent: bool = False) -> None:
        self.heard: list[bytes] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((HERE, 0))
        self.port = self._udp.getsockname()[1]
        self._tcp = socket.create_server((HERE, self.port))
        if not silent:
            for work in (self._by_udp, self._by_tcp):
                threading.Thread(target=work, daemon=True).start()

    def _answer(self, wire: bytes) -> bytes:
        self.heard.append(wire)
        answer = dns.message.make_response(dns.message.from_wire(wire), recursion_available=True)
        answer.answer.append(dns.rrset.from_text(answer.question[0].name, 5, "IN", "A", "192.0.2.7"))
        return answer.to_wire()

    def _by_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(4096)
            self._udp.sendto(self._answer(wire), peer)

    def _by_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                (length,) = struct.unpack("!H", connection.recv(2))
                answer = self._answer(connection.recv(length))
                connection.sendall(struct.pack("!H", len(answer)) + answer)


@contextmanager
def serving(cloud: Cloud, vpc: str, *servers: str) -> Iterator[int]:
    """Serve a VPC's names on loopback; yield the port."""
    stream = socket.create_server((HERE, 0))
    port = stream.getsockname()[1]
    hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearing.bind((HERE, port))
    loop, threads = asyncio.new_event_loop(), ThreadPoolExecutor(2)
    server = NameServer(vpc, Resolver(Records(cloud.database), Forwarder(servers), threads))
    loop.run_until_complete(server.open([stream], [hearing]))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        threads.shutdown()


def test_guests_ask_by_udp_and_tcp(cloud: Cloud, instance: dict[str, Any]) -> None:
    query = dns.message.make_query(ip_name(instance["PrivateIpAddress"]), "A")
    with serving(cloud, instance["VpcId"]) as port:
        for ask in (dns.query.udp, dns.query.tcp):
            answer = ask(query, HERE, timeout=5, port=port)
            assert [str(data) for data in answer.answer[0]] == [instance["PrivateIpAddress"]]


def test_other_names_are_asked_for_elsewhere_under_an_id_that_nobody_can_guess(
    cloud: Cloud, instance: dict[str, Any]
) -> None:
    upstream, query = Upstream(), dns.message.make_query("example.com", "A")
    with serving(cloud, instance["VpcId"], f"{HERE}#{upstream.port}") as port:
        for ask in (dns.query.udp, dns.query.tcp):
            answer = ask(query, HERE, timeout=5, port=port)
            assert [str(data) for data in answer.answer[0]] == ["192.0.2.7"] and answer.id == query.id
        for _ in range(4):
            dns.query.udp(query, HERE, timeout=5, port=port)
    assert len({wire[:2] for wire in upstream.heard}) > 2


def test_the_next_resolver_is_asked_when_one_is_silent(cloud: Cloud, instance: dict[str, Any]) -> None:
    silent, upstream = Upstream(silent=True), Upstream()
    query = dns.message.make_query("example.com", "A")
    with serving(cloud, instance["VpcId"], f"{HERE}#{silent.port}", f"{HERE}#{upstream.port}") as port:
        assert dns.query.udp(query, HERE, timeout=6, port=port).answer


def test_who_is_never_answered_is_told_so(cloud: Cloud, instance: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((HERE, 0))
        nobody = closed.getsockname()[1]
    with serving(cloud, instance["VpcId"], f"{HERE}#{nobody}") as port:
        answer = dns.query.udp(dns.message.make_query("example.com", "A"), HERE, timeout=6, port=port)
    assert answer.rcode() == dns.rcode.SERVFAIL


def test_nonsense_hurts_nobody(cloud: Cloud, instance: dict[str, Any]) -> None:
    query = dns.message.make_query(ip_name(instance["PrivateIpAddress"]), "A")
    answer = dns.message.make_response(query).to_wire()
    broken = query.to_wire()[:-3]
    with serving(cloud, instance["VpcId"]) as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        guest.settimeout(0.3)
        for wire, replied in ((b"", False), (b"x" * 11, False), (answer, False), (broken, True), (b"\0" * 12, True)):
            guest.sendto(wire, (HERE, port))
            began = time.monotonic()
            try:
                assert guest.recv(4096)[3] & 0x0F == dns.rcode.FORMERR and replied
            except TimeoutError:
                assert not replied, (wire, time.monotonic() - began)
        with socket.create_connection((HERE, port)) as connection:
            connection.sendall(b"\xff\xff half")
        assert dns.query.udp(query, HERE, timeout=5, port=port).answer

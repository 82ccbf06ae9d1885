"""Names as guests ask for them: by UDP and TCP, each by the doors of its VPC."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rrset
import pytest
from sqlalchemy import update

from engine.metadata.identity import open_identity
from tests.cloud import Cloud
from tests.engine.dns import OUTSIDE, RESOLVER, Fake, ask, code, knows, let_loopback_ask, texts, truncated
from tests.engine.imds import HERE, Loopback, Running, eventually, run_instance

HOST = "simulated-us-east-1"


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "identity"
    open_identity(directory)
    return directory


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud], identity: Path, fake: Fake) -> Cloud:
    cloud = make_cloud(guest_dns=f"127.0.0.1:{fake.port}")
    shutil.copytree(identity, cloud.settings.data / "identity")
    return cloud


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud)


@pytest.fixture
def vpc(cloud: Cloud, instance: dict[str, Any]) -> str:
    let_loopback_ask(cloud.database, instance["VpcId"])
    return str(instance["VpcId"])


@pytest.fixture
def net(cloud: Cloud, vpc: str) -> Iterator[Loopback]:
    listeners = Loopback()
    running = Running(cloud.settings, cloud.database, listeners, HOST)
    assert eventually(lambda: len(listeners.open_places(vpc)) == 5)
    yield listeners
    running.stop()


def name_of(instance: dict[str, Any]) -> str:
    return f"ip-{instance['PrivateIpAddress'].replace('.', '-')}.ec2.internal"


# -- what is answered --------------------------------------------------------------


def test_the_name_of_an_address_is_answered_from_what_is_there(
    net: Loopback, vpc: str, instance: dict[str, Any], fake: Fake
) -> None:
    reply = ask(net, vpc, name_of(instance))
    assert (code(reply), texts(reply)) == ("NOERROR", [instance["PrivateIpAddress"]])
    assert reply.flags & dns.flags.RA and reply.answer[0].ttl == 60
    missing = ask(net, vpc, "ip-172-31-255-7.ec2.internal")
    assert (code(missing), missing.answer) == ("NXDOMAIN", [])
    assert [rrset.to_text() for rrset in missing.authority] == [
        "ec2.internal. 60 IN SOA ns.ec2.internal. hostmaster.ec2.internal. 1 3600 900 604800 60"
    ]
    assert fake.asked == []


def test_what_is_not_the_vpcs_own_is_asked_of_the_operators_resolver(net: Loopback, vpc: str, fake: Fake) -> None:
    for how in ("datagram", "stream"):
        reply = ask(net, vpc, "www.example.com", how=how)
        assert (code(reply), texts(reply)) == ("NOERROR", [OUTSIDE])
    assert fake.names == ["www.example.com."] * 2
    assert len({query.id for query in fake.asked}) == 2 and all(query.edns == 0 for query in fake.asked)


def test_a_launch_is_seen_at_once(net: Loopback, vpc: str, cloud: Cloud) -> None:
    other = run_instance(cloud)
    assert texts(ask(net, vpc, name_of(other))) == [other["PrivateIpAddress"]]
    cloud.ec2.terminate_instances(InstanceIds=[other["InstanceId"]])
    cloud.settle()
    assert code(ask(net, vpc, name_of(other))) == "NXDOMAIN"


def test_what_others_say_comes_through_as_it_is(net: Loopback, vpc: str, fake: Fake) -> None:
    fake.say = lambda query, _: knows(query, code=dns.rcode.NXDOMAIN)
    assert code(ask(net, vpc, "nothing.example.com")) == "NXDOMAIN"
    fake.say = lambda query, _: knows(query, code=dns.rcode.REFUSED)
    assert code(ask(net, vpc, "closed.example.com")) == "REFUSED"
    assert len(fake.asked) == 3, "a refusal is asked for twice"


def test_dnssec_comes_through_for_who_wants_it(net: Loopback, vpc: str, fake: Fake) -> None:
    def say(query: dns.message.Message, _: str) -> dns.message.Message:
        reply = knows(query)
        reply.flags |= dns.flags.AD
        return reply

    fake.say = say
    assert ask(net, vpc, "example.com", want_dnssec=True).flags & dns.flags.AD
    assert fake.asked[-1].ednsflags & dns.flags.DO
    ask(net, vpc, "example.com")
    assert not fake.asked[-1].ednsflags & dns.flags.DO


# -- long answers ------------------------------------------------------------------


def test_an_answer_too_long_for_udp_is_asked_for_by_tcp(net: Loopback, vpc: str, fake: Fake) -> None:
    many = [f"192.0.2.{n}" for n in range(100)]
    fake.say = lambda query, how: knows(query, *many) if how == "tcp" else truncated(query)
    short = ask(net, vpc, "many.example.com")
    assert short.flags & dns.flags.TC and not short.answer
    assert len(short.to_wire()) <= 512
    assert sorted(texts(ask(net, vpc, "many.example.com", how="stream"))) == sorted(many)


def test_who_takes_more_is_given_more(net: Loopback, vpc: str, fake: Fake) -> None:
    some = [f"192.0.2.{n}" for n in range(50)]
    fake.say = lambda query, _: knows(query, *some)
    assert ask(net, vpc, "some.example.com").flags & dns.flags.TC
    assert len(texts(ask(net, vpc, "some.example.com", use_edns=0, payload=4096))) == 50
    fake.say = lambda query, _: knows(query, *[f"192.0.2.{n}" for n in range(200)])
    long = ask(net, vpc, "some.example.com", use_edns=0, payload=4096)
    assert long.flags & dns.flags.TC and len(long.to_wire()) <= 1232


# -- servers that fail -------------------------------------------------------------


def test_the_next_server_is_asked_where_one_is_silent(
    make_cloud: Callable[..., Cloud], identity: Path, fake: Fake
) -> None:
    silent = Fake(lambda *_: None)
    cloud = make_cloud(guest_dns=f"127.0.0.1:{silent.port}, 127.0.0.1:{fake.port}")
    shutil.copytree(identity, cloud.settings.data / "identity")
    vpc = run_instance(cloud)["VpcId"]
    let_loopback_ask(cloud.database, vpc)
    listeners = Loopback()
    running = Running(cloud.settings, cloud.database, listeners, HOST)
    try:
        assert texts(ask(listeners, vpc, "example.com")) == [OUTSIDE]
        began = time.monotonic()
        assert texts(ask(listeners, vpc, "example.org")) == [OUTSIDE]
        assert time.monotonic() - began < 0.5, "what answered last is asked first"
    finally:
        running.stop()
        silent.close()


def test_without_any_server_there_is_an_answer_before_the_guest_asks_again(
    net: Loopback, vpc: str, fake: Fake, instance: dict[str, Any]
) -> None:
    fake.say = lambda *_: None
    began = time.monotonic()
    assert code(ask(net, vpc, "example.com")) == "SERVFAIL"
    assert time.monotonic() - began < 4.9
    assert texts(ask(net, vpc, name_of(instance)))


def test_an_answer_to_another_question_is_not_believed(net: Loopback, vpc: str, fake: Fake) -> None:
    def lie(query: dns.message.Message, _: str) -> dns.message.Message:
        other = dns.message.make_query("other.example.com", "A", id=query.id)
        return knows(other)

    fake.say = lie
    assert code(ask(net, vpc, "example.com")) == "SERVFAIL"


def test_the_database_may_fail(net: Loopback, vpc: str, monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr("engine.resolver.resolver.find_name", fail)
        assert code(ask(net, vpc, "example.com")) == "SERVFAIL"
    assert code(ask(net, vpc, "example.com")) == "NOERROR"


# -- who is answered ---------------------------------------------------------------


def test_a_vpc_without_dns_support_is_silent(net: Loopback, vpc: str, cloud: Cloud) -> None:
    assert {place[0] for place in net.open_places(vpc)} == {"169.254.169.254", RESOLVER, "172.31.0.2"}
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    assert eventually(lambda: net.open_places(vpc) == {("169.254.169.254", 80, "stream")})
    assert net.addresses[vpc] == {"169.254.169.254"}
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
    assert eventually(lambda: len(net.open_places(vpc)) == 5)
    assert code(ask(net, vpc, "example.com")) == "NOERROR"


def test_the_doors_that_stay_are_not_shut_meanwhile(net: Loopback, vpc: str, cloud: Cloud) -> None:
    before = net.sockets[vpc]
    cloud.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    assert eventually(lambda: len(net.open_places(vpc)) == 1)
    assert net.sockets[vpc] is before


def test_strangers_are_not_answered(net: Loopback, vpc: str, cloud: Cloud, fake: Fake) -> None:
    with cloud.database.write() as db:
        from engine.state import VpcCidrBlock

        db.execute(update(VpcCidrBlock).where(VpcCidrBlock.cidr == "127.0.0.0/8").values(cidr="127.0.0.0/30"))
    assert code(ask(net, vpc, "example.com")) == "NOERROR"
    time.sleep(0.6)
    before = len(fake.asked)
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(
            dns.message.make_query("example.com", "A"), HERE, timeout=0.5, source="127.0.0.9",
            port=net.port_of(vpc, RESOLVER, "datagram"),
        )  # fmt: skip
    with pytest.raises(EOFError):
        ask(net, vpc, "example.com", how="stream", guest="127.0.0.9")
    assert len(fake.asked) == before


def test_a_guest_that_asks_too_much_is_not_heard_and_others_are(
    net: Loopback, vpc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = net.port_of(vpc, RESOLVER, "datagram")
    wire = dns.message.make_query("ec2.internal", "SOA").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
        greedy.bind((HERE, 0))
        greedy.settimeout(0.5)
        began = time.monotonic()
        for _ in range(4000):
            greedy.sendto(wire, (HERE, port))
        answered = 0
        try:
            while True:
                greedy.recv(4096)
                answered += 1
        except TimeoutError:
            pass
        assert 0 < answered <= 1024 * (time.monotonic() - began + 1)

    def other_is_heard() -> bool:
        with suppress(dns.exception.Timeout):
            return code(ask(net, vpc, "ec2.internal", "SOA", guest="127.0.0.3")) == "NOERROR"
        return False

    assert eventually(other_is_heard)


def test_the_doors_of_a_vpc_with_ipv6_are_there_by_ipv6_too(net: Loopback, vpc: str, cloud: Cloud) -> None:
    from engine.state import SubnetCidrBlock

    subnet = cloud.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]["SubnetId"]
    with cloud.database.write() as db:
        db.add(SubnetCidrBlock(id="subnet-cidr-assoc-1", subnet_id=subnet, cidr="fd6f:6700::/64"))
    assert eventually(lambda: len(net.open_places(vpc)) == 9)
    assert net.addresses[vpc] >= {"fd00:ec2::254", "fd00:ec2::253"}


# -- packets that are none ---------------------------------------------------------


def test_a_packet_that_is_no_question_does_no_harm(net: Loopback, vpc: str) -> None:
    query = dns.message.make_query("example.com", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        guest.settimeout(0.3)
        guest.connect((HERE, net.port_of(vpc, RESOLVER, "datagram")))
        for wire in (b"", b"x", query[:11], bytes([*query[:2], 0x80, *query[3:]])):
            guest.send(wire)
        with pytest.raises(TimeoutError):
            guest.recv(4096)
        guest.settimeout(3)
        for wire in (query[:14], query + b"junk", query[:12] + b"\xc0\x0c\x00\x01\x00\x01"):
            guest.send(wire)
            reply = guest.recv(4096)
            assert (reply[:2], reply[3] & 15, len(reply)) == (query[:2], dns.rcode.FORMERR, 12)
    assert code(ask(net, vpc, "example.com")) == "NOERROR"


def test_a_connection_may_end_at_any_moment(net: Loopback, vpc: str) -> None:
    address = (HERE, net.port_of(vpc, RESOLVER, "stream"))
    for sent in (b"", b"\x00", b"\x00\x20abc", b"\x00\x00", b"\xff\xff" + bytes(100)):
        with socket.create_connection(address, timeout=3) as connection:
            connection.sendall(sent)
    assert code(ask(net, vpc, "example.com", how="stream")) == "NOERROR"


def test_one_connection_serves_several_questions(net: Loopback, vpc: str) -> None:
    with socket.create_connection((HERE, net.port_of(vpc, RESOLVER, "stream")), timeout=3) as connection:
        for name in ("a.example.com", "b.example.com"):
            query = dns.message.make_query(name, "A")
            dns.query.send_tcp(connection, query)
            reply, _ = dns.query.receive_tcp(connection)
            assert query.is_response(reply)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rdtype": "AXFR"}, "REFUSED"),
        ({"rdtype": "TXT", "rdclass": "CH"}, "REFUSED"),
        ({"rdtype": "A", "use_edns": 1}, "BADVERS"),
    ],
)
def test_some_questions_are_refused(net: Loopback, vpc: str, change: dict[str, Any], expected: str, fake: Fake) -> None:
    query = dns.message.make_query("example.com", **change)
    reply = dns.query.tcp(query, HERE, timeout=3, port=net.port_of(vpc, RESOLVER, "stream"), one_rr_per_rrset=True)
    assert code(reply) == expected
    assert fake.asked == []


def test_other_operations_are_not_implemented(net: Loopback, vpc: str) -> None:
    query = dns.message.make_query("example.com", "SOA")
    query.set_opcode(dns.opcode.NOTIFY)
    assert code(dns.query.udp(query, HERE, timeout=3, port=net.port_of(vpc, RESOLVER, "datagram"))) == "NOTIMP"

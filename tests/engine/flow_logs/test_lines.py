"""The lines, field by field."""

from dataclasses import replace

import pytest

from engine.drivers.flows import ACK, SYN, Flow
from engine.flow_logs.fields import VERSIONS, fields_of
from engine.flow_logs.lines import lines_of, path_to
from engine.flow_logs.records import Found, Record
from engine.flow_logs.rows import Card, Log
from tests.engine.flow_logs.scene import CARD, END, LOG, NETWORK, OUT, OWN, OWN_6, PEER, PEER_6, SECOND, SSH, START

IN = Record(SSH, True, "ACCEPT", 20, 4249, SYN)
REJECTED = Record(OUT, False, "REJECT", 1, 60, SYN)


def lines(*records: Record, log: Log = LOG, card: Card = CARD, skipped: frozenset[str] = frozenset()) -> list[str]:
    return lines_of(log, card, NETWORK, START, END, Found(records, skipped))


def of(*names: str, **columns: object) -> Log:
    return replace(LOG, fields=names, **columns)  # type: ignore[arg-type]


def test_a_line_of_the_default_format_is_as_documented() -> None:
    assert lines(IN, REJECTED) == [
        f"2 123456789012 eni-1 {PEER} {OWN} 40000 22 6 20 4249 {START} {END} ACCEPT OK",
        f"2 123456789012 eni-1 {OWN} {PEER} 50000 443 6 1 60 {START} {END} REJECT OK",
    ]


def test_a_period_without_traffic_says_so() -> None:
    assert lines() == [f"2 123456789012 eni-1 - - - - - - - {START} {END} - NODATA"]


def test_a_period_that_lacks_something_says_so() -> None:
    missing = f"2 123456789012 eni-1 - - - - - - - {START} {END} - SKIPDATA"
    assert lines(skipped=frozenset({"ACCEPT"})) == [missing]
    assert lines(IN, skipped=frozenset({"ACCEPT"}))[1:] == [missing]
    assert lines(REJECTED, log=replace(LOG, traffic="REJECT"), skipped=frozenset({"ACCEPT"}))[1:] == []


@pytest.mark.parametrize(
    ("traffic", "actions"), [("ALL", ["ACCEPT", "REJECT"]), ("ACCEPT", ["ACCEPT"]), ("REJECT", ["REJECT"])]
)
def test_a_log_has_the_traffic_that_it_is_of(traffic: str, actions: list[str]) -> None:
    assert lines(IN, REJECTED, log=of("action", traffic=traffic)) == actions


def test_a_log_of_other_traffic_than_there_was_has_no_line() -> None:
    assert lines(IN, log=replace(LOG, traffic="REJECT")) == []


def test_every_field_has_a_value() -> None:
    (line,) = lines(REJECTED, log=of(*VERSIONS))
    assert dict(zip(VERSIONS, line.split(), strict=True)) == {
        "version": "5", "account-id": "123456789012", "interface-id": "eni-1", "srcaddr": OWN, "dstaddr": PEER,
        "srcport": "50000", "dstport": "443", "protocol": "6", "packets": "1", "bytes": "60", "start": str(START),
        "end": str(END), "action": "REJECT", "log-status": "OK", "vpc-id": "vpc-1", "subnet-id": "subnet-1",
        "instance-id": "i-1", "tcp-flags": "2", "type": "IPv4", "pkt-srcaddr": OWN, "pkt-dstaddr": PEER,
        "region": "us-east-1", "az-id": "use1-az1", "sublocation-type": "-", "sublocation-id": "-",
        "pkt-src-aws-service": "-", "pkt-dst-aws-service": "-", "flow-direction": "egress", "traffic-path": "8",
    }  # fmt: skip


def test_a_card_without_an_instance_has_none() -> None:
    assert lines(IN, log=of("instance-id", "flow-direction", "traffic-path"), card=replace(CARD, instance_id="")) == [
        "- ingress -"
    ]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("${version}", "2"),
        ("${version} ${vpc-id}", "3"),
        ("${version} ${az-id}", "4"),
        ("${version} ${traffic-path} ${region}", "5"),
    ],
)
def test_the_version_is_the_highest_of_the_fields(text: str, version: str) -> None:
    (line,) = lines(IN, log=replace(LOG, fields=fields_of(text)))
    assert line.split()[0] == version


def test_the_cards_own_address_is_its_primary_one_whichever_the_packets_had() -> None:
    to_second = replace(IN, flow=SSH._replace(destination=SECOND))
    log = of("srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr")
    assert lines(to_second, log=log) == [f"{PEER} {OWN} {PEER} {SECOND}"]
    through = Record(Flow("172.20.0.5", PEER, 1), False, "ACCEPT", 1, 84, 0)
    assert lines(through, log=log) == [f"{OWN} {PEER} 172.20.0.5 {PEER}"]


def test_an_ipv6_address_is_the_packets_if_it_is_the_cards() -> None:
    log = of("type", "srcaddr", "dstaddr")
    assert lines(Record(Flow(PEER_6, OWN_6, 58), True, "ACCEPT", 1, 104, 0), log=log) == [f"IPv6 {PEER_6} {OWN_6}"]
    assert lines(Record(Flow(PEER_6, "2001:db8::99", 58), True, "ACCEPT", 1, 104, 0), log=log) == [
        f"IPv6 {PEER_6} {OWN_6}"
    ]


def test_flows_that_look_the_same_are_one_line() -> None:
    again = replace(IN, flow=SSH._replace(destination=SECOND), packets=5, bytes=100, tcp_flags=SYN | ACK)
    assert lines(IN, again, log=of("dstaddr", "packets", "bytes", "tcp-flags")) == [f"{OWN} 25 4349 18"]
    assert len(lines(IN, again, log=of("pkt-dstaddr", "packets"))) == 2


def test_what_is_not_tcp_has_no_flags() -> None:
    assert lines(Record(Flow(PEER, OWN, 17, 1, 2), True, "ACCEPT", 1, 28, 0), log=of("protocol", "tcp-flags")) == [
        "17 0"
    ]


@pytest.mark.parametrize(
    ("destination", "path"),
    [
        ("10.0.2.4", "1"),
        ("172.16.0.1", "1"),
        ("10.9.1.1", "4"),
        ("198.51.100.7", "7"),
        ("8.8.8.8", "8"),
        ("172.20.0.1", "-"),
        ("2001:db8:ffff::1", "-"),
        ("2001:db8::9", "1"),
    ],
)
def test_the_path_is_that_of_the_longest_route(destination: str, path: str) -> None:
    assert path_to(NETWORK, "subnet-1", destination) == path


def test_a_subnet_without_routes_leads_inside_only() -> None:
    assert [path_to(NETWORK, "subnet-2", there) for there in ("10.0.1.4", "8.8.8.8")] == ["1", "-"]

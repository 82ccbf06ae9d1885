"""Router advertisements: who asks is told of its own subnet's router, and so is who does not, after a while."""

import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from engine.advertisements import advertiser
from engine.advertisements.packets import Solicitor, checksum, read_solicitation
from engine.metadata.identity import open_identity
from engine.state import Instance, Ipv6Address, NetworkInterface, SubnetCidrBlock
from tests.cloud import Cloud
from tests.engine.imds import Loopback, Running, eventually, run_instance

HOST = "simulated-us-east-1"
MAC, OWN, PREFIX = "06:01:02:03:04:05", "fe80::401:2ff:fe03:405", "fd6f:6700:0:1::"


def solicitation(mac: str = MAC, source: str = OWN, hops: int = 255, code: int = 0, options: bytes = b"") -> bytes:
    body = struct.pack("!BBHI", 133, code, 0, 0) + options
    ends = IPv6Address(source).packed, IPv6Address("ff02::2").packed
    body = body[:2] + struct.pack("!H", checksum(*ends, body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, hops) + b"".join(ends)
    return bytes.fromhex("333300000002" + mac.replace(":", "") + "86dd") + header + body


LINK = bytes([1, 1]) + bytes.fromhex(MAC.replace(":", ""))


# -- what is a solicitation --------------------------------------------------------


def test_a_solicitation_is_read() -> None:
    assert read_solicitation(solicitation(options=LINK)) == Solicitor(MAC, OWN)
    assert read_solicitation(solicitation()) == Solicitor(MAC, OWN)
    assert read_solicitation(solicitation(source="::")) == Solicitor(MAC, "ff02::1")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        solicitation()[:-1],
        solicitation(hops=254),
        solicitation(code=1),
        solicitation(source="2001:db8::1"),
        solicitation(source="::", options=LINK),
        solicitation(options=bytes([1, 0, 0, 0, 0, 0, 0, 0])),
        solicitation(options=bytes([1, 2, 0, 0, 0, 0, 0, 0])),
        solicitation(options=LINK[:4]),
        solicitation()[:54] + b"\x86" + solicitation()[55:],
        solicitation()[:57] + b"\x00" + solicitation()[58:],
    ],
)
def test_what_is_no_valid_solicitation_is_not(frame: bytes) -> None:
    assert read_solicitation(frame) is None


@given(st.binary(max_size=120), st.integers(0, 200))
def test_anything_may_come(junk: bytes, place: int) -> None:
    frame = solicitation(options=LINK)
    read_solicitation(junk)
    read_solicitation(frame[:place] + junk)
    read_solicitation(frame[:place] + junk + frame[place + len(junk) :])


# -- what is answered --------------------------------------------------------------


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "identity"
    open_identity(directory)
    return directory


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    instance = run_instance(cloud)
    with cloud.database.write() as db:
        db.execute(update(NetworkInterface).where(NetworkInterface.id == card(instance)).values(mac=MAC))
        block = {"subnet_id": instance["SubnetId"], "cidr": f"{PREFIX}/64"}
        db.add(SubnetCidrBlock(id="subnet-cidr-assoc-1", **block))
    return instance


def card(instance: dict[str, Any]) -> str:
    return str(instance["NetworkInterfaces"][0]["NetworkInterfaceId"])


def give_address(cloud: Cloud, instance: dict[str, Any]) -> None:
    with cloud.database.write() as db:
        address = {"subnet_id": instance["SubnetId"], "address": f"{PREFIX}5", "interface_id": card(instance)}
        db.add(Ipv6Address(**address))


@pytest.fixture
def wire(cloud: Cloud, instance: dict[str, Any], identity: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The wire of the instance's VPC, on which nobody says anything unasked."""
    monkeypatch.setattr(advertiser, "_LOOK_SECONDS", 3600)
    shutil.copytree(identity, cloud.settings.data / "identity")
    listeners = Loopback()
    running = Running(cloud.settings, cloud.database, listeners, HOST)
    assert eventually(lambda: instance["VpcId"] in listeners.wires)
    yield listeners.wires[instance["VpcId"]]
    running.stop()


def heard(wire: socket.socket, seconds: float = 3.0) -> bytes:
    wire.settimeout(seconds)
    with suppress(TimeoutError):
        return wire.recv(4096)
    return b""


def test_who_asks_is_told_of_its_own_router(cloud: Cloud, instance: dict[str, Any], wire: socket.socket) -> None:
    give_address(cloud, instance)
    wire.send(solicitation(options=LINK))
    frame = heard(wire)
    assert frame[:14].hex(":", 1) == f"{MAC}:f2:00:01:00:00:01:86:dd"
    assert frame[20] == 58 and frame[21] == 255
    assert IPv6Address(frame[22:38]) == IPv6Address("fe80::f000:1ff:fe00:1")
    assert IPv6Address(frame[38:54]) == IPv6Address(OWN)
    body = frame[54:]
    assert checksum(frame[22:38], frame[38:54], body) == 0
    type_, code, _, hops, flags, lifetime, reachable, retransmit = struct.unpack("!BBHBBHII", body[:16])
    assert (type_, code, hops, flags, lifetime, reachable, retransmit) == (134, 0, 64, 0x80, 65535, 0, 0)
    assert body[16:24].hex() == "0101f20001000001"
    assert struct.unpack("!BBHI", body[24:32]) == (5, 1, 0, cloud.settings.guest_mtu)
    assert struct.unpack("!BBBBIII", body[32:48]) == (3, 4, 64, 0x80, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert (len(body), IPv6Address(body[48:64])) == (64, IPv6Address(PREFIX))


def test_who_has_no_address_yet_is_answered_for_all_who_hear_it(
    cloud: Cloud, instance: dict[str, Any], wire: socket.socket
) -> None:
    give_address(cloud, instance)
    wire.send(solicitation(source="::"))
    frame = heard(wire)
    assert frame[:6].hex(":") == MAC
    assert IPv6Address(frame[38:54]) == IPv6Address("ff02::1")


def test_strangers_and_guests_without_ipv6_are_not_answered(
    cloud: Cloud, instance: dict[str, Any], wire: socket.socket
) -> None:
    wire.send(solicitation())
    assert not heard(wire, 0.4)
    give_address(cloud, instance)
    wire.send(solicitation(mac="06:01:02:03:04:06"))
    assert not heard(wire, 0.4)
    with cloud.database.write() as db:
        db.execute(update(Instance).values(host="another"))
    wire.send(solicitation())
    assert not heard(wire, 0.2)


def test_who_asks_too_often_is_not_answered(cloud: Cloud, instance: dict[str, Any], wire: socket.socket) -> None:
    give_address(cloud, instance)
    for _ in range(30):
        wire.send(solicitation())
    answers = 0
    while heard(wire, 0.6):
        answers += 1
    assert 5 <= answers <= 15


# -- what is said unasked ----------------------------------------------------------


def test_guests_are_told_unasked_soon_and_then_now_and_again(
    cloud: Cloud, instance: dict[str, Any], identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_LOOK_SECONDS", 0.05), ("_FIRST_SECONDS", 0.1), ("_SECONDS", 3600.0)):
        monkeypatch.setattr(advertiser, name, seconds)
    shutil.copytree(identity, cloud.settings.data / "identity")
    listeners = Loopback()
    running = Running(cloud.settings, cloud.database, listeners, HOST)
    try:
        assert eventually(lambda: instance["VpcId"] in listeners.wires)
        wire = listeners.wires[instance["VpcId"]]
        assert not heard(wire, 0.3)
        give_address(cloud, instance)
        frames = [heard(wire), heard(wire), heard(wire)]
        assert {frame[:6].hex(":") for frame in frames} == {MAC}
        assert {IPv6Address(frame[38:54]) for frame in frames} == {IPv6Address("ff02::1")}
        assert not heard(wire, 0.5)
    finally:
        running.stop()

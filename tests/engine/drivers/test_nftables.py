"""Packets counted by the kernel: what nftables says, and real packets on a pair of devices."""

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import pytest

from engine.drivers.base import DriverError
from engine.drivers.flows import ACK, FIN, SYN, Flow, Passed, Period
from engine.drivers.nftables import NftablesCounters, count_of

ONE, OTHER, LONG = Period(60, 100), Period(60, 160), Period(600, 100)


def held(*elements: Any, size: int = 9) -> dict[str, Any]:
    return {"size": size, "elem": list(elements)}


def counted(*key: Any, packets: int, bytes: int) -> dict[str, Any]:
    return {"elem": {"val": {"concat": list(key)}, "counter": {"packets": packets, "bytes": bytes}}}


# -- what nftables says ------------------------------------------------------------


def test_what_a_card_receives_is_counted_without_the_frames_headers() -> None:
    sets = {
        "out_ports4": held(counted("10.0.0.1", "10.0.0.2", 6, 40000, 22, packets=5, bytes=300)),
        "in_ports4": held(counted("10.0.0.2", "10.0.0.1", 6, 22, 40000, packets=4, bytes=256)),
        "in_plain6": held(counted("fd00::1", "fd00::2", 58, packets=1, bytes=118)),
        "tcp_syn4": held({"concat": ["10.0.0.1", "10.0.0.2", 40000, 22]}),
        "tcp_synack4": held({"concat": ["10.0.0.2", "10.0.0.1", 22, 40000]}),
        "tcp_fin4": held({"concat": ["10.0.0.1", "10.0.0.2", 40000, 22]}),
    }
    found = count_of(sets)
    assert found.complete
    assert set(found.passed) == {
        Passed(Flow("10.0.0.1", "10.0.0.2", 6, 40000, 22), False, 5, 300, SYN | FIN),
        Passed(Flow("10.0.0.2", "10.0.0.1", 6, 22, 40000), True, 4, 200, SYN | ACK),
        Passed(Flow("fd00::1", "fd00::2", 58), True, 1, 104),
    }


def test_a_set_that_is_full_may_lack_something() -> None:
    element = counted("10.0.0.1", "10.0.0.2", 1, packets=1, bytes=84)
    assert not count_of({"out_plain4": held(element, size=1)}).complete
    assert count_of({"out_plain4": {"size": 1}}).complete


# -- packets -----------------------------------------------------------------------


@dataclass
class Wire:
    """A guest in a namespace, and the device on this side of its cable."""

    namespace: str
    device: str
    mac: str
    here: str
    guest: str
    counters: NftablesCounters

    def count(self, *periods: Period) -> None:
        self.counters.count("eni-1", self.device, self.mac, periods)

    def read(self, period: Period) -> dict[tuple[Flow, bool], Passed]:
        found = self.counters.read("eni-1", period)
        assert found is not None
        return {(each.flow, each.inward): each for each in found.passed if ":" not in each.flow.source}

    def send(self, size: int, port: int = 5000) -> Flow:
        """Have the guest send a datagram of that many bytes."""
        script = (
            "import socket, sys\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.bind(('', 4000))\n"
            f"s.sendto(bytes({size}), ('{self.here}', {port}))\n"
        )
        run("ip", "netns", "exec", self.namespace, "python3", "-c", script)
        return Flow(self.guest, self.here, 17, 4000, port)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    word = token_hex(3)
    name, device, owner = f"flow-{word}", f"flow{word}", f"test{word}"
    counters = NftablesCounters(owner)
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", "100.127.255.1/30", "dev", device)
        run("ip", "-n", name, "address", "add", "100.127.255.2/30", "dev", "eth0")
        run("ip", "link", "set", device, "up")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        mac = run("ip", "netns", "exec", name, "cat", "/sys/class/net/eth0/address")
        yield Wire(name, device, mac, "100.127.255.1", "100.127.255.2", counters)
    finally:
        counters.forget("eni-1")
        run("ip", "netns", "delete", name)
        subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)
        assert counters.list_periods() == {}


@pytest.mark.acceptance
class TestNftablesCounters:
    def test_packets_are_counted_in_both_directions(self, wire: Wire) -> None:
        wire.count(ONE)
        flow = wire.send(100)
        wire.send(50)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.bind((wire.here, 5001))
            here.sendto(bytes(10), (wire.guest, 4001))
        found = wire.read(ONE)
        assert found[flow, False] == Passed(flow, False, 2, 2 * 28 + 150)
        back = Flow(wire.here, wire.guest, 17, 5001, 4001)
        assert found[back, True] == Passed(back, True, 1, 38)

    def test_a_connection_shows_its_flags(self, wire: Wire) -> None:
        wire.count(ONE)
        with socket.create_server((wire.here, 5002)) as server:
            script = f"import socket; print(socket.create_connection(('{wire.here}', 5002)).getsockname()[1])"
            port = int(run("ip", "netns", "exec", wire.namespace, "python3", "-c", script))
            server.accept()[0].close()
        found = wire.read(ONE)
        flow = Flow(wire.guest, wire.here, 6, port, 5002)
        assert found[flow, False].tcp_flags == SYN | FIN
        assert found[flow.reverse, True].tcp_flags & (SYN | ACK) == SYN | ACK

    def test_fragments_without_ports_are_counted(self, wire: Wire) -> None:
        wire.count(ONE)
        flow = wire.send(3000)
        found = wire.read(ONE)
        rest = found[Flow(wire.guest, wire.here, 17), False]
        assert (found[flow, False].packets, rest.packets) == (1, 2)
        assert found[flow, False].bytes + rest.bytes == 3000 + 8 + 3 * 20

    def test_the_next_period_begins_where_the_last_one_ended(self, wire: Wire) -> None:
        wire.count(ONE, LONG)
        flow = wire.send(100)
        wire.count(OTHER, LONG)
        wire.send(100)
        assert [wire.read(period)[flow, False].packets for period in (ONE, OTHER, LONG)] == [1, 1, 2]
        assert wire.counters.list_periods() == {"eni-1": {ONE, OTHER, LONG}}
        for _ in range(2):
            wire.counters.remove("eni-1", [ONE])
        assert wire.counters.list_periods() == {"eni-1": {OTHER, LONG}}
        assert wire.counters.read("eni-1", ONE) is None

    def test_counting_again_forgets_nothing(self, wire: Wire) -> None:
        for _ in range(3):
            wire.count(ONE)
            flow = wire.send(100)
        assert wire.read(ONE)[flow, False].packets == 3

    def test_frames_of_another_card_are_not_counted(self, wire: Wire) -> None:
        wire.counters.count("eni-1", wire.device, "06:00:00:00:00:99", [ONE])
        wire.send(100)
        assert wire.read(ONE) == {}

    def test_what_was_counted_outlives_the_device(self, wire: Wire) -> None:
        wire.count(ONE)
        flow = wire.send(100)
        run("ip", "link", "delete", wire.device)
        for _ in range(2):
            wire.counters.stop("eni-1")
        assert wire.read(ONE)[flow, False].packets == 1
        wire.counters.remove("eni-1", [ONE])
        assert wire.counters.list_periods() == {"eni-1": set()}

    def test_a_period_that_is_counted_cannot_be_removed(self, wire: Wire) -> None:
        wire.count(ONE)
        with pytest.raises(DriverError):
            wire.counters.remove("eni-1", [ONE])

    def test_nothing_is_known_of_another_owners_cards(self, wire: Wire) -> None:
        wire.count(ONE)
        other = NftablesCounters("other")
        assert "eni-1" not in other.list_periods()
        other.forget("eni-1")
        assert wire.counters.list_periods() == {"eni-1": {ONE}}

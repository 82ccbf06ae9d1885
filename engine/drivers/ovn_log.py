"""What OVN's ACLs dropped, as this host's ovn-controller writes it to its log.

The log is read where it lies, from the time that is asked for: nothing need be remembered; a rotation loses nothing.
"""

import gzip
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from engine.drivers.flows import ACK, FIN, RST, SYN, Dropped, Flow
from engine.drivers.ovn_names import METER, sink_mac

LOG = Path("/var/log/ovn/ovn-controller.log")
_NEAR = 64 << 10
"""Bytes of the log that are read rather than searched."""
_SECONDS = 10

_LINE = re.compile(
    r'(?P<at>\S+)\|\d+\|acl_log\([^)]*\)\|INFO\|name="(?P<network>[^"]*)", verdict=drop, severity=\w+, '
    r"direction=(?P<direction>from|to)-lport: (?P<kind>\w+),(?P<fields>.*)"
)
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_PROTOCOLS = {"tcp": 6, "tcp6": 6, "udp": 17, "udp6": 17, "icmp": 1, "icmp6": 58, "sctp": 132, "sctp6": 132}
_WITH_PORTS = (6, 17)
_FLAGS = {"fin": FIN, "syn": SYN, "rst": RST}


class AclLog:
    """Drops (see ``drivers.flows``) as the log tells them. ``bridge`` is the one whose meter bounds it."""

    def __init__(self, bridge: str = "br-int", file: Path = LOG) -> None:
        self._bridge, self._file = bridge, file

    def between(self, since: float, until: float) -> Iterator[Dropped]:
        first, last = _stamp(since), _stamp(until)
        for line in self._lines(first):
            if line[: len(last)] >= last and _STAMP.match(line):
                return
            if b"|acl_log(" in line and line[: len(first)] >= first:
                found = dropped(line.decode(errors="replace").rstrip("\n"))
                if found is not None:
                    yield found

    def lost(self) -> int:
        """Return what the meter kept out of the log; 0 where there is none (yet)."""
        listed = _said("ovn-appctl", "--target=ovn-controller", "meter-table-list")
        meter = re.search(rf"(?m)^{METER}: (\d+)$", listed)
        if meter is None:
            return 0
        told = _said("ovs-ofctl", "--protocols=OpenFlow13", "meter-stats", self._bridge, f"meter={meter[1]}")
        return sum(int(count) for count in re.findall(r"(?m)^\s*\d+: packet_count:(\d+)", told))

    def _lines(self, since: bytes) -> Iterator[bytes]:
        """Yield lines from a little before ``since`` on; the file's predecessor comes first if it reaches that far."""
        with self._file.open("rb") as file:
            beginning = next((line[:24] for line in file if _STAMP.match(line)), b"")
            if not beginning or beginning > since:
                yield from self._earlier()
                file.seek(0)
            else:
                _approach(file, since)
            yield from file

    def _earlier(self) -> Iterator[bytes]:
        with suppress(FileNotFoundError):
            with self._file.with_name(self._file.name + ".1").open("rb") as plain:
                yield from plain
                return
        with suppress(FileNotFoundError):
            with gzip.open(self._file.with_name(self._file.name + ".1.gz")) as packed:
                yield from packed


def _stamp(at: float) -> bytes:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".encode()


def _approach(file: IO[bytes], since: bytes) -> None:
    """Place the file at the beginning of a line before the first one of this time or a later one, and near to it."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > _NEAR:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        line = next((line for line in iter(file.readline, b"") if _STAMP.match(line)), b"")
        if line and line < since:
            low = middle
        else:
            high = middle
    file.seek(low)
    if low:
        file.readline()


def dropped(line: str) -> Dropped | None:
    """Return what a line of the log says was dropped; None for a line that says something else."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    fields = dict(pair.partition("=")[::2] for pair in found["fields"].split(","))
    flow = _flow(found["kind"], fields)
    if flow is None:
        return None
    return Dropped(
        at=datetime.fromisoformat(found["at"]).timestamp(),
        network=found["network"],
        flow=flow,
        leaving=found["direction"] == "from",
        source_mac=fields.get("dl_src", ""),
        destination_mac=fields.get("dl_dst", ""),
        kept_in=fields.get("dl_dst") == sink_mac(found["network"]),
        tcp_flags=_flags(fields.get("tcp_flags", "")),
    )


def _flow(kind: str, fields: Mapping[str, str]) -> Flow | None:
    source = fields.get("nw_src") or fields.get("ipv6_src")
    destination = fields.get("nw_dst") or fields.get("ipv6_dst")
    protocol = _PROTOCOLS.get(kind) or int(fields.get("nw_proto", 0))
    if not source or not destination or not protocol:
        return None
    if protocol not in _WITH_PORTS or fields.get("nw_frag") == "later":
        return Flow(source, destination, protocol)
    return Flow(source, destination, protocol, int(fields.get("tp_src", 0)), int(fields.get("tp_dst", 0)))


def _flags(text: str) -> int:
    names = text.split("|")
    value = sum(bit for name, bit in _FLAGS.items() if name in names)
    return value | ACK if value & SYN and "ack" in names else value


def _said(*command: str) -> str:
    """Return what a command says, or nothing: without its answer all that is logged counts as all that there was."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""

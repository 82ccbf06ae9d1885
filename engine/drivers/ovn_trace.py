"""What OVN says that would happen to a packet: ``ovn-trace`` is run, and what it prints is read here and nowhere else.

A trace names the logical flows that a packet meets. Each flow of the southbound database says which northbound row it
was made of by the beginning of that row's UUID (``stage-hint``).
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ovs import jsonrpc, stream

from engine.drivers.base import DriverError

_SECONDS = 20
_TRACKED = 16
"""How often a packet may be looked up in connection tracking on its way: more than it ever is."""
_MADE_OF_ROWS = ("ls_in_acl", "ls_in_acl_eval", "ls_out_acl", "ls_out_acl_eval", "lr_in_ip_routing", "lr_in_policy")
"""Tables whose flows tell which row of ours decided; OVN 23.06 split those of ACLs."""

_STEP = re.compile(r"\s*\d+\. (\w+)(?: \(\S+\))?: (.*?)(?:, priority (\d+), uuid ([0-9a-f]{8}))?")
_PASSAGE = re.compile(r'\s*(ingress|egress)\(dp="[^"]*", inport="([^"]*)"(?:, outport="([^"]*)")?\)')
_TRANSLATED = re.compile(r"\s*ct_[sd]nat\w*\(ip[46]\.(src|dst)=([^)]+)\)")
_ASIDE = re.compile(r"\s*(arp|nd_ns|icmp4\w*|icmp6\w*|tcp_reset|sctp_abort|reject|multicast\(.*)\s*")
"""Where a trace turns to another packet, or to many: what is asked for the next router's card, an error, a flood."""
_ANY_CARD = '"_MC_unknown"'
"""What a switch does with a packet for a card it does not know: it goes to the wire, if there is one."""


@dataclass(frozen=True)
class Microflow:
    """A packet at a logical port. Addresses are IP addresses of one version; ``mark`` is what routers put on it."""

    inport: str
    eth_src: str
    eth_dst: str
    source: str
    destination: str
    protocol: str
    source_port: int
    destination_port: int
    is_reply: bool
    mark: int = 0

    def expression(self) -> str:
        """Return it in OVN's language."""
        version = 6 if ":" in self.destination else 4
        terms = [f'inport == "{self.inport}"', f"eth.src == {self.eth_src}", f"eth.dst == {self.eth_dst}"]
        terms += [f"ip{version}.src == {self.source}", f"ip{version}.dst == {self.destination}", "ip.ttl == 64"]
        if self.mark:
            terms.append(f"pkt.mark == {self.mark}")
        if self.protocol == "icmp":
            kind = {(4, False): 8, (4, True): 0, (6, False): 128, (6, True): 129}[version, self.is_reply]
            terms.append(f"icmp{version}.type == {kind} && icmp{version}.code == 0")
        else:
            terms += [f"{self.protocol}.src == {self.source_port}", f"{self.protocol}.dst == {self.destination_port}"]
        return " && ".join(terms)


@dataclass(frozen=True)
class Step:
    """A logical flow that the packet met. ``hint`` is the beginning of the UUID of the row it was made of, if any."""

    table: str
    match: str
    uuid: str
    actions: tuple[str, ...] = ()
    hint: str = ""

    @property
    def drops(self) -> bool:
        return "drop;" in self.actions or self.match.startswith("no match")

    def assigned(self, name: str) -> str:
        """Return what the flow wrote into a field or register; empty where it wrote nothing."""
        found = [action for action in self.actions if action.startswith(f"{name} = ")]
        return found[-1].partition(" = ")[2].rstrip(";").strip('"') if found else ""


@dataclass(frozen=True)
class Translation:
    """An address that connection tracking put in place of another: ``field`` is ``src`` or ``dst``."""

    field: str
    address: str


@dataclass
class Passage:
    """A packet's way through one pipeline, in by ``inport`` or on its way to ``outport``."""

    pipeline: str
    inport: str
    outport: str
    events: list[Step | Translation] = field(default_factory=list)

    def steps(self, *tables: str) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step) and event.table in tables]

    def translation(self, field: str) -> str:
        """Return what an address was made into, or nothing."""
        found = [e.address for e in self.events if isinstance(e, Translation) and e.field == field]
        return found[-1] if found else ""


class Tracer:
    """Runs ``ovn-trace``. ``northbound`` and ``southbound`` are the databases in OVSDB's notation."""

    def __init__(self, northbound: str, southbound: str) -> None:
        self._northbound, self._southbound = northbound, southbound

    def catch_up(self) -> None:
        """Wait until the southbound database has what the northbound one says now. Raise DriverError after 20 s."""
        _run("ovn-nbctl", f"--db={self._northbound}", f"--timeout={_SECONDS}", "--wait=sb", "sync")

    def run(self, microflow: Microflow) -> list[Passage]:
        """Return the passages of a packet, until it arrives, ends, or would make OVN send something else first."""
        state = "est,rpl" if microflow.is_reply else "new"
        options = [f"--db={self._southbound}", "--no-friendly-names", *[f"--ct={state}"] * _TRACKED]
        passages = read(_run("ovn-trace", *options, microflow.expression()))
        self._hint(passages)
        return passages

    def _hint(self, passages: Sequence[Passage]) -> None:
        steps = [step for passage in passages for step in passage.steps(*_MADE_OF_ROWS) if step.uuid]
        hints = _hints(self._southbound, steps) if steps else {}
        for passage in passages:
            passage.events[:] = [
                replace(event, hint=hints.get(event.uuid, "")) if isinstance(event, Step) else event
                for event in passage.events
            ]


def read(text: str) -> list[Passage]:
    """Return what ``ovn-trace --detailed`` printed as passages."""
    passages: list[Passage] = []
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after.strip().startswith("---"):
            if _ASIDE.fullmatch(line) and _ANY_CARD not in line:
                break
            _read_heading(passages, line)
        elif passages and line.strip() and not line.strip().startswith("---"):
            _read_line(passages[-1], line)
    return passages


def _read_heading(passages: list[Passage], line: str) -> None:
    if found := _PASSAGE.match(line):
        passages.append(Passage(found[1], found[2], found[3] or ""))
    elif passages and (found := _TRANSLATED.match(line)):
        passages[-1].events.append(Translation(found[1], found[2]))


def _read_line(passage: Passage, line: str) -> None:
    if found := _STEP.fullmatch(line):
        passage.events.append(Step(found[1], found[2], found[4] or ""))
    elif passage.events and isinstance(step := passage.events[-1], Step):
        passage.events[-1] = replace(step, actions=(*step.actions, line.strip()))


def _run(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise DriverError(f"cannot trace a packet: there is no {program}; install ovn-common")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_SECONDS * 2, check=False)
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"cannot trace a packet: {program} does not answer") from error
    if done.returncode != 0:
        raise DriverError(f"cannot trace a packet: {done.stderr.strip()}")
    return done.stdout


# -- the southbound database -----------------------------------------------------


def _hints(remote: str, steps: Sequence[Step]) -> dict[str, str]:
    """Return what the flows of these steps were made of, by the beginning of the flow's UUID: one round trip.

    A replica, as ovsdbapp keeps it, would hold every flow of every network for the sake of a few.
    """
    operations = [
        {"op": "select", "table": "Logical_Flow", "where": [["match", "==", step.match]], "columns": _COLUMNS}
        for step in steps
    ]
    found: dict[str, str] = {}
    for rows in _transact(remote, operations):
        for row in rows.get("rows", ()):
            found[row["_uuid"][1][:8]] = dict(row["external_ids"][1]).get("stage-hint", "")
    return found


_COLUMNS = ["_uuid", "external_ids"]


def _transact(remote: str, operations: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the results (RFC 7047, 4.1.3). Raise DriverError while the database cannot be reached."""
    error, connected = stream.Stream.open_block(stream.Stream.open(remote), _SECONDS * 1000)
    if error:
        raise DriverError("cannot reach OVN's southbound database")
    connection = jsonrpc.Connection(connected)
    try:
        error, reply = connection.transact_block(
            jsonrpc.Message.create_request("transact", ["OVN_Southbound", *operations])
        )
    finally:
        connection.close()
    if error or reply.error:
        raise DriverError(f"cannot read OVN's southbound database: {reply.error if reply else error}")
    yield from reply.result

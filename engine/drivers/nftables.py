"""Packets counted by nftables: a table for each card, with a hook on either side of its device, and sets that count.

A period has sets of its own, which chains of its own fill: to begin another one is to point the hooks at other chains,
in one transaction, and what the old sets hold then is final. They are in the kernel: no process need live to count.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.drivers.base import DriverError
from engine.drivers.flows import ACK, FIN, RST, SYN, Count, Flow, Passed, Period

_RATE, _MOST, _PLAIN = 256, 65535, 1024
"""Flows that a set can count: for each second, at most, and of protocols without ports. It takes 16 bytes for each."""
_SECONDS = 30
_ETHERNET = 14
"""Bytes of the frame's header, which the hook of what a card receives counts and the other one does not."""

_ADDRESSES = {4: "ipv4_addr . ipv4_addr", 6: "ipv6_addr . ipv6_addr"}
_ENDS = {4: "ip saddr . ip daddr", 6: "ip6 saddr . ip6 daddr"}
_BOTH = "syn | ack"
_FLAGS = {"fin": ("fin", "fin"), "rst": ("rst", "rst"), "syn": (_BOTH, "syn"), "synack": (_BOTH, _BOTH)}
"""What is looked at in a packet's flags, and what must be there."""
_MEANING = {"fin": FIN, "rst": RST, "syn": SYN, "synack": SYN | ACK}
_NEIGHBOURS = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect"
_PERIOD = re.compile(r"p(\d+)_(\d+)_(out|in)")
_SET = re.compile(r"p(\d+)_(\d+)_((?:out|in|tcp)_[a-z]+[46])")


class NftablesCounters:
    """Counters (see ``drivers.flows``) of one deployment on this host; needs root, and a kernel with netdev hooks."""

    def __init__(self, owner: str) -> None:
        self._prefix = f"groundfog-{owner}-"

    def count(self, card: str, device: str, mac: str, periods: Iterable[Period]) -> None:
        self._apply("\n".join(_script(f"netdev {self._table(card)}", device, mac, list(periods))))

    def stop(self, card: str) -> None:
        table = f"netdev {self._table(card)}"
        self._apply("\n".join([f"add table {table}", *_unhooked(table, "out"), *_unhooked(table, "in"), ""]))

    def list_periods(self) -> Mapping[str, set[Period]]:
        found: dict[str, set[Period]] = {}
        for item in _listed("tables", "netdev"):
            if "table" in item and item["table"]["name"].startswith(self._prefix):
                found[item["table"]["name"].removeprefix(self._prefix)] = set()
        for item in _listed("chains") if found else ():
            chain = item.get("chain", {"table": "", "name": ""})
            name = _PERIOD.fullmatch(chain["name"])
            if name and chain["table"].startswith(self._prefix):
                card = chain["table"].removeprefix(self._prefix)
                found.setdefault(card, set()).add(Period(int(name[1]), int(name[2])))
        return found

    def read(self, card: str, period: Period) -> Count | None:
        try:
            listed = _listed("sets", "table", "netdev", self._table(card))
        except DriverError:
            return None
        held = dict(_held(listed, period))
        return count_of(held) if held else None

    def remove(self, card: str, periods: Iterable[Period]) -> None:
        for period in periods:
            try:
                self._apply("\n".join(_removal(f"netdev {self._table(card)}", period)))
            except DriverError:
                if period in self.list_periods().get(card, set()):
                    raise

    def forget(self, card: str) -> None:
        # A table that is made first can be deleted, whether it was there or not.
        self._apply(f"add table netdev {self._table(card)}\ndelete table netdev {self._table(card)}\n")

    def _table(self, card: str) -> str:
        return self._prefix + card

    def _apply(self, script: str) -> None:
        _nft("--file", "-", text=script)


# -- what nftables is told ---------------------------------------------------------


def _script(table: str, device: str, mac: str, periods: list[Period]) -> Iterator[str]:
    """Yield one transaction that makes the hooks anew; sets that are there already stay as they are."""
    yield f"add table {table}"
    for period in periods:
        for name, columns in _sets(period):
            yield f"add set {table} {name} {{ {columns} }}"
        for direction in ("out", "in"):
            chain = f"{table} {_name(period)}_{direction}"
            yield f"add chain {chain}"
            yield f"flush chain {chain}"
            yield from (f"add rule {chain} {rule}" for rule in _rules(_name(period), direction))
    for direction, hook, own in (("out", "ingress", "saddr"), ("in", "egress", "daddr")):
        # A chain keeps the device that it was made for: it is made again.
        yield from _unhooked(table, direction)
        hooked = f'type filter hook {hook} device "{device}" priority 0; policy accept;'
        yield f"add chain {table} {direction} {{ {hooked} }}"
        yield f"add rule {table} {direction} ether {own} != {mac} accept"
        yield from (f"add rule {table} {direction} jump {_name(period)}_{direction}" for period in periods)
    yield ""


def _unhooked(table: str, direction: str) -> Iterator[str]:
    """Yield what takes a hook away: a chain that is made first can be deleted, whether it was there or not."""
    yield from (f"{verb} chain {table} {direction}" for verb in ("add", "flush", "delete"))


def _name(period: Period) -> str:
    return f"p{period.interval}_{period.start}"


def _sets(period: Period) -> Iterator[tuple[str, str]]:
    """Yield the sets of a period: those that count, by direction, and those of the connections that showed a flag."""
    size = min(_RATE * period.interval, _MOST)
    for version, addresses in _ADDRESSES.items():
        for direction in ("out", "in"):
            place = f"{_name(period)}_{direction}"
            ports = f"type {addresses} . inet_proto . inet_service . inet_service"
            yield f"{place}_ports{version}", f"{ports}; flags dynamic; counter; size {size};"
            yield f"{place}_plain{version}", f"type {addresses} . inet_proto; flags dynamic; counter; size {_PLAIN};"
        for flag in _FLAGS:
            key = f"type {addresses} . inet_service . inet_service"
            yield f"{_name(period)}_tcp_{flag}{version}", f"{key}; flags dynamic; size {size};"


def _rules(period: str, direction: str) -> Iterator[str]:
    """Yield what is counted, and where. Fragments after the first have no ports; neighbours that ask for each other's
    addresses are no traffic."""
    counting = f"@{period}_{direction}"
    yield f"ip frag-off & 0x1fff != 0 update {counting}_plain4 {{ {_ENDS[4]} . ip protocol }} return"
    yield f"frag frag-off != 0 update {counting}_plain6 {{ {_ENDS[6]} . frag nexthdr }} return"
    yield f"icmpv6 type {{ {_NEIGHBOURS} }} return"
    for version, family in ((4, "ip"), (6, "ip6")):
        ends = _ENDS[version]
        for flag, (mask, value) in _FLAGS.items():
            seen = f"meta protocol {family} tcp flags & ({mask}) == {value}"
            yield f"{seen} update @{period}_tcp_{flag}{version} {{ {ends} . tcp sport . tcp dport }}"
        ports = f"{ends} . meta l4proto . th sport . th dport"
        yield f"meta l4proto {{ tcp, udp }} update {counting}_ports{version} {{ {ports} }} return"
        yield f"update {counting}_plain{version} {{ {ends} . meta l4proto }}"


def _removal(table: str, period: Period) -> Iterator[str]:
    for direction in ("out", "in"):
        yield f"flush chain {table} {_name(period)}_{direction}"
        yield f"delete chain {table} {_name(period)}_{direction}"
    yield from (f"delete set {table} {name}" for name, _ in _sets(period))
    yield ""


# -- what nftables says ------------------------------------------------------------


def _held(listed: Iterable[Mapping[str, Any]], period: Period) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in listed:
        name = _SET.fullmatch(item.get("set", {}).get("name", ""))
        if name and (int(name[1]), int(name[2])) == period:
            yield name[3], item["set"]


def count_of(sets: Mapping[str, Mapping[str, Any]]) -> Count:
    """Return what the sets of one period hold, named ``in_ports4`` and the like, as ``nft --json`` lists them."""
    flags: dict[tuple[Any, ...], int] = {}
    for name, value in _MEANING.items():
        for version in _ENDS:
            for element in _elements(sets, f"tcp_{name}{version}"):
                key = tuple(element["concat"])
                flags[key] = flags.get(key, 0) | value
    passed = [
        _passed(element["elem"], direction == "in", flags)
        for direction in ("out", "in")
        for kind in ("ports4", "ports6", "plain4", "plain6")
        for element in _elements(sets, f"{direction}_{kind}")
    ]
    return Count(passed, all(len(held.get("elem", ())) < held["size"] for held in sets.values()))


def _elements(sets: Mapping[str, Mapping[str, Any]], name: str) -> list[Any]:
    found: list[Any] = sets.get(name, {}).get("elem", [])
    return found


def _passed(element: Mapping[str, Any], inward: bool, flags: Mapping[tuple[Any, ...], int]) -> Passed:
    source, destination, protocol, *ports = element["val"]["concat"]
    packets, counted = element["counter"]["packets"], element["counter"]["bytes"]
    size = counted - _ETHERNET * packets if inward else counted
    seen = flags.get((source, destination, *ports), 0) if protocol == 6 else 0
    return Passed(Flow(source, destination, protocol, *ports), inward, packets, size, seen)


def _listed(*what: str) -> list[Mapping[str, Any]]:
    said = _nft("--json", "--numeric", "list", *what)
    found: list[Mapping[str, Any]] = json.loads(said)["nftables"] if said.strip() else []
    return found


def _nft(*words: str, text: str = "") -> str:
    # As for other commands of this host: a user's PATH may lack the directories in which they are.
    path = f"/usr/local/sbin:/usr/sbin:/sbin:{os.environ.get('PATH', '')}"
    environment = {**os.environ, "LC_ALL": "C", "PATH": path}
    try:
        done = subprocess.run(
            ["nft", *words], input=text, capture_output=True, text=True, check=True, timeout=_SECONDS, env=environment
        )
    except subprocess.CalledProcessError as error:
        raise DriverError(f"cannot count packets: nft {words[0]}: {error.stderr.strip()[:500]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"cannot count packets: {error}") from error
    return done.stdout

"""A large VPC in OVN's northbound database: one rule changed, and all of it made again, beside bare transactions."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

from ovs import jsonrpc, stream

from benchmarks import northbound
from benchmarks.northbound import NorthboundServer
from engine.drivers.base import DriverError
from engine.drivers.networking import Group, Network, Port, Route, Rule, Subnet, Uplink
from engine.drivers.ovn import External, Ovn

PORTS, GROUPS, RULES, CHANGES = 1000, 100, 50, 20
EXTERNAL = External(IPv4Network("198.18.0.0/16"), IPv4Address("198.18.0.1"), ("chassis-1",))
ANY = ("0.0.0.0/0",)
_OUT = Route("0.0.0.0/0", "uplink")
NETWORK = Network(
    "vpc-bench",
    ("10.0.0.0/16",),
    100,
    tuple(Subnet(f"subnet-{n}", f"10.0.{n * 16}.0/20", routes=(_OUT,), mac_prefix=f"06:00:0{n}") for n in range(4)),
    Uplink("198.18.0.9"),
)


def groups() -> Iterator[Group]:
    """Yield groups of which one rule in ten names another group."""
    for number in range(GROUPS):
        rules = [Rule("out", "all", ANY, id=f"sgr-{number}-out")]
        for rule in range(1, RULES):
            peer = f"sg-{(number + rule) % GROUPS}" if rule % 10 == 0 else (f"10.{number}.{rule}.0/24",)
            rules.append(Rule("in", "tcp", peer, 1000 + rule, 1000 + rule, id=f"sgr-{number}-{rule}"))
        yield Group(f"sg-{number}", NETWORK.id, tuple(rules))


def ports() -> Iterator[Port]:
    """Yield ports, each in two groups."""
    for number in range(PORTS):
        subnet, place = number % 4, number // 4 + 4
        address, mac = (
            f"10.0.{subnet * 16 + place // 256}.{place % 256}",
            f"06:00:0{subnet}:00:{place >> 8:02x}:{place & 255:02x}",
        )
        members = (f"sg-{number % GROUPS}", f"sg-{(number * 7 + 1) % GROUPS}")
        yield Port(f"eni-{number}", NETWORK.id, f"subnet-{subnet}", mac, (address,), tuple(dict.fromkeys(members)))


def make(driver: Ovn) -> None:
    driver.ensure_network(NETWORK)
    for group in groups():
        driver.ensure_group(group)
    for port in ports():
        driver.ensure_port(port)


def resynchronise(driver: Ovn) -> None:
    """Make all of it again as soon as the driver sees that the database has lost it."""
    while True:
        try:
            if not driver.list_ports():
                break
        except DriverError:
            pass
        time.sleep(0.01)
    make(driver)


def seconds(work: Callable[[], Any]) -> float:
    since = time.monotonic()
    work()
    return time.monotonic() - since


# -- the floor: what the database itself takes -----------------------------------


class Bare:
    """A connection that only sends transactions (RFC 7047)."""

    def __init__(self, server: NorthboundServer) -> None:
        error, connected = stream.Stream.open_block(stream.Stream.open(server.remote))
        assert not error, os.strerror(error)
        self._connection = jsonrpc.Connection(connected)

    def transact(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        request = jsonrpc.Message.create_request("transact", ["OVN_Northbound", *operations])
        error, reply = self._connection.transact_block(request)
        assert not error and not reply.error
        failed = [each for each in reply.result if each and "error" in each]
        assert not failed, failed
        return list(reply.result)

    def replace_rule(self, number: int) -> None:
        """Take one ACL of a group for another, as a change of a rule does."""
        group = {"table": "Port_Group", "where": [["name", "==", "pg_sg_0"]]}
        (found,) = self.transact([{"op": "select", **group, "columns": ["acls"]}])
        acls = found["rows"][0]["acls"][1]
        match = f"outport == @pg_sg_0 && ip4 && tcp && tcp.dst == {20000 + number}"
        row = {"direction": "to-lport", "priority": 1001, "match": match, "action": "allow-related"}
        mutations = [["acls", "delete", ["set", acls[-1:]]], ["acls", "insert", ["set", [["named-uuid", "new"]]]]]
        self.transact(
            [
                {"op": "insert", "table": "ACL", "row": row, "uuid-name": "new"},
                {"op": "mutate", **group, "mutations": mutations},
            ]
        )

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return every row of every table."""
        tables = list(json.loads(northbound.SCHEMA.read_text())["tables"])
        found = self.transact([{"op": "select", "table": table, "where": []} for table in tables])
        return {table: each["rows"] for table, each in zip(tables, found, strict=True) if each["rows"]}


def inserts(tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the operations that insert these rows as they are, in one transaction."""
    known = {row["_uuid"][1] for rows in tables.values() for row in rows}

    def renamed(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 2 and value[0] == "uuid" and value[1] in known:
            return ["named-uuid", _name(value[1])]
        return [renamed(each) for each in value] if isinstance(value, list) else value

    return [
        {
            "op": "insert",
            "table": table,
            "uuid-name": _name(row["_uuid"][1]),
            "row": {column: renamed(value) for column, value in row.items() if not column.startswith("_")},
        }
        for table, rows in tables.items()
        for row in rows
    ]


def _name(uuid: str) -> str:
    return "row_" + uuid.replace("-", "_")


# -- the comparison ----------------------------------------------------------------


def beside_bare_transactions() -> None:
    if reason := northbound.missing():
        print(f"\ncannot measure networks: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder, northbound.serving(Path(folder)) as server:
        driver = Ovn(server.remote, EXTERNAL)
        made = seconds(lambda: make(driver))
        changed, floor_of_change = _changes(driver, server)
        operations = inserts(Bare(server).rows())
        server.lose()
        again = seconds(lambda: resynchronise(driver))
        assert len(inserts(Bare(server).rows())) == len(operations)
        driver.close()
        server.lose()
        bare = Bare(server)
        floor = seconds(lambda: bare.transact(operations))
    size = f"{PORTS} ports, {GROUPS} groups of {RULES} rules: {len(operations)} rows"
    print(f"\n{size:42}{'groundfog':>12}{'bare OVSDB':>12}{'ratio':>8}{'target':>8}")
    for name, ours, least, target in (
        (f"ms a changed rule, median of {CHANGES}", changed * 1000, floor_of_change * 1000, "< 100"),
        ("s to make all of it again", again, floor, "< 30"),
        ("s to make it at first", made, floor, ""),
    ):
        print(f"{name:42}{ours:12.2f}{least:12.2f}{ours / least:8.1f}{target:>8}")


def _changes(driver: Ovn, server: NorthboundServer) -> tuple[float, float]:
    """Return the median seconds of a rule's change by the driver, and by bare transactions."""
    group = next(groups())
    ours, bare = [], Bare(server)
    for number in range(CHANGES):
        rules = (*group.rules[:-1], replace(group.rules[-1], from_port=10000 + number, to_port=10000 + number))
        ours.append(seconds(lambda rules=rules: driver.ensure_group(replace(group, rules=rules))))
    floor = [seconds(lambda number=number: bare.replace_rule(number)) for number in range(CHANGES)]
    driver.ensure_group(group)
    return median(ours), median(floor)

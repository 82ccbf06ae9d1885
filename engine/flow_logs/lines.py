"""The lines of a flow log, as the VPC user guide describes them under "Flow log records"."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from engine.drivers.networking import Network, Subnet
from engine.flow_logs.fields import VERSIONS
from engine.flow_logs.records import Found, Record
from engine.flow_logs.rows import Card, Log

NOTHING = "-"
"""What stands for a value that there is none of."""


@dataclass(frozen=True)
class _Line:
    """What a line is written from; without a record it tells of the period alone."""

    log: Log
    card: Card
    network: Network | None
    start: int
    end: int
    status: str
    record: Record | None = None


def lines_of(log: Log, card: Card, network: Network | None, start: int, end: int, found: Found) -> list[str]:
    """Return what a log says of a card and a period, in seconds since 1970.

    Flows that look the same in the log's format are one line. Where nothing passed, a line says so, and so does one
    where something is missing.
    """
    blank = _Line(log, card, network, start, end, "OK")
    merged: dict[tuple[str, ...], Record] = {}
    for record in found.records:
        if log.traffic in ("ALL", record.action):
            same = _alike(replace(blank, record=record))
            merged[same] = _together(merged[same], record) if same in merged else record
    lines = [_text(replace(blank, record=record)) for record in merged.values()]
    if found.skipped and (log.traffic == "ALL" or log.traffic in found.skipped):
        lines.append(_text(replace(blank, status="SKIPDATA")))
    elif not found.records and not found.skipped:
        lines.append(_text(replace(blank, status="NODATA")))
    return lines


_SUMMED = ("packets", "bytes", "tcp-flags")


def _alike(line: _Line) -> tuple[str, ...]:
    return tuple(_VALUES[name](line) for name in line.log.fields if name not in _SUMMED)


def _together(one: Record, other: Record) -> Record:
    flags = one.tcp_flags | other.tcp_flags
    return replace(one, packets=one.packets + other.packets, bytes=one.bytes + other.bytes, tcp_flags=flags)


def _text(line: _Line) -> str:
    return " ".join(_VALUES[name](line) for name in line.log.fields)


def _of_record(value: Callable[[_Line, Record], object]) -> Callable[[_Line], str]:
    return lambda line: str(value(line, line.record)) if line.record else NOTHING


def _version(line: _Line) -> str:
    return str(max(VERSIONS[name] for name in line.log.fields))


def _own(line: _Line, record: Record) -> str:
    """Return the card's own address: of IPv4 always the primary private one, whichever the packets had."""
    packets = record.flow.destination if record.inward else record.flow.source
    if ":" not in packets:
        return line.card.primary
    return packets if packets in line.card.addresses else next((a for a in line.card.addresses if ":" in a), packets)


def _source(line: _Line, record: Record) -> str:
    return record.flow.source if record.inward else _own(line, record)


def _destination(line: _Line, record: Record) -> str:
    return _own(line, record) if record.inward else record.flow.destination


def _flags(line: _Line, record: Record) -> str:
    return str(record.tcp_flags) if record.flow.protocol == 6 else "0"


def _path(line: _Line, record: Record) -> str:
    if record.inward or line.network is None:
        return NOTHING
    return path_to(line.network, line.card.subnet_id, record.flow.destination)


_VALUES: Mapping[str, Callable[[_Line], str]] = {
    "version": _version,
    "account-id": lambda line: line.card.account,
    "interface-id": lambda line: line.card.id,
    "srcaddr": _of_record(_source),
    "dstaddr": _of_record(_destination),
    "srcport": _of_record(lambda _, record: record.flow.source_port),
    "dstport": _of_record(lambda _, record: record.flow.destination_port),
    "protocol": _of_record(lambda _, record: record.flow.protocol),
    "packets": _of_record(lambda _, record: record.packets),
    "bytes": _of_record(lambda _, record: record.bytes),
    "start": lambda line: str(line.start),
    "end": lambda line: str(line.end),
    "action": _of_record(lambda _, record: record.action),
    "log-status": lambda line: line.status,
    "vpc-id": lambda line: line.card.vpc_id,
    "subnet-id": lambda line: line.card.subnet_id,
    "instance-id": lambda line: line.card.instance_id or NOTHING,
    "tcp-flags": _of_record(_flags),
    "type": _of_record(lambda _, record: "IPv6" if ":" in record.flow.source else "IPv4"),
    "pkt-srcaddr": _of_record(lambda _, record: record.flow.source),
    "pkt-dstaddr": _of_record(lambda _, record: record.flow.destination),
    "region": lambda line: line.card.region,
    "az-id": lambda line: line.card.zone_id or NOTHING,
    # There are no Wavelength zones, Outposts or AWS services here.
    "sublocation-type": lambda _: NOTHING,
    "sublocation-id": lambda _: NOTHING,
    "pkt-src-aws-service": lambda _: NOTHING,
    "pkt-dst-aws-service": lambda _: NOTHING,
    "flow-direction": _of_record(lambda _, record: "ingress" if record.inward else "egress"),
    "traffic-path": _of_record(_path),
}

# -- paths -------------------------------------------------------------------------

_INSIDE, _PEERING, _ENDPOINT, _GATEWAY = "1", "4", "7", "8"
_PATHS = {"uplink": _GATEWAY, "outlet": _ENDPOINT, "outbound": NOTHING, "blackhole": NOTHING}
"""By what EC2's traffic-path calls the ways of ``base.Route``; it has no number for an egress-only gateway."""


def path_to(network: Network, subnet_id: str, destination: str) -> str:
    """Return the number of the way that packets to an address take from a subnet: that of the longest route."""
    address = ip_address(destination)
    found, longest = NOTHING, -1
    for cidr, path in _ways(network, next((s for s in network.subnets if s.id == subnet_id), None)):
        way = ip_network(cidr)
        if address in way and way.prefixlen > longest:
            found, longest = path, way.prefixlen
    return found


def _ways(network: Network, subnet: Subnet | None) -> Iterator[tuple[str, str]]:
    for route in subnet.routes if subnet else ():
        default = _PEERING if route.via in {peering.id for peering in network.peerings} else _INSIDE
        yield route.destination, _PATHS.get(route.via, default)
    yield from ((cidr, _INSIDE) for cidr in network.cidrs)

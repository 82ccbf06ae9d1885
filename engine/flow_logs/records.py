"""What a card's packets come to in a period: which flows were accepted and which rejected, packets and bytes of each.

What passes a card on its way in was accepted. What a guest sends is counted before the network decides on it: what the
network dropped of that was rejected, and only the rest was accepted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from engine.drivers.flows import Count, Dropped, Flow, Passed
from engine.drivers.networking import Network
from engine.flow_logs.rows import Card

LATE = 1.0
"""Seconds within which the log tells of a packet that the network dropped."""

_UNLOGGED = {
    "169.254.169.123", "169.254.169.253", "169.254.169.254", "fd00:ec2::123", "fd00:ec2::253", "fd00:ec2::254",
}  # fmt: skip
"""Time, names and metadata (VPC user guide, "Flow log limitations"); so are DHCP and what the routers are sent."""
_DHCP = (67, 68, 546, 547)
_TCP, _UDP = 6, 17
_ALL = frozenset(("ACCEPT", "REJECT"))
_HEADERS = {1: 8, _TCP: 20, _UDP: 8, 58: 8}


@dataclass(frozen=True)
class Record:
    """Packets of one flow with one fate; ``inward`` when they were on their way to the card."""

    flow: Flow
    inward: bool
    action: str
    packets: int
    bytes: int
    tcp_flags: int


@dataclass
class _Tally:
    """How many packets of a flow were dropped in the period, and how many in the moment after it."""

    within: int = 0
    late: int = 0
    tcp_flags: int = 0


@dataclass(frozen=True)
class Found:
    """The records of a card, and of which actions there may have been others that nobody knows."""

    records: tuple[Record, ...]
    skipped: frozenset[str] = frozenset()


def records_of(
    card: Card, network: Network | None, count: Count | None, drops: Iterable[Dropped], end: float, lossy: bool = False
) -> Found:
    """Return what happened to a card's packets until ``end``.

    ``count`` None means that nothing was counted: what was rejected is known all the same. ``drops`` are those of this
    card in the period and LATE seconds after it. ``lossy`` tells that drops may be missing.
    """
    tallies = _tallies(card, drops, end)
    unlogged = _unlogged(network)
    rejected = [_rejected(flow, inward, tally) for (flow, inward), tally in tallies.items() if tally.within]
    if count is None:
        return Found(_logged(rejected, unlogged), frozenset(("ACCEPT",)))
    received = {passed.flow for passed in count.passed if passed.inward}
    records = [record for record in rejected if record.inward]
    doubtful = not count.complete or (lossy and bool(tallies))
    for passed in count.passed:
        if passed.inward:
            records.append(Record(passed.flow, True, "ACCEPT", passed.packets, passed.bytes, passed.tcp_flags))
        elif _may_send(card, passed.flow.source):
            answered = passed.flow.reverse in received
            shares = _fates(passed.packets, tallies.get((passed.flow, False)), answered, lossy)
            records += _sent(passed, *shares)
            doubtful = doubtful or sum(shares) < passed.packets
    return Found(_logged(records, unlogged), _ALL if doubtful else frozenset())


def _sent(passed: Passed, accepted: int, rejected: int) -> Iterator[Record]:
    for action, packets in (("ACCEPT", accepted), ("REJECT", rejected)):
        if packets:
            size = passed.bytes * packets // passed.packets
            yield Record(passed.flow, False, action, packets, size, passed.tcp_flags)


def _logged(records: Iterable[Record], unlogged: frozenset[str]) -> tuple[Record, ...]:
    return tuple(record for record in records if _is_logged(record.flow, unlogged))


def _fates(sent: int, dropped: _Tally | None, answered: bool, lossy: bool) -> tuple[int, int]:
    """Return how many of the packets that a guest sent were accepted, and how many rejected.

    The log tells of a drop a moment later: drops after the end may be of packets before it. Where it tells less than
    there was, an answer shows that packets were accepted, and a drop without one, that none was; else nobody knows.
    """
    if dropped is None:
        return (sent, 0) if answered or not lossy else (0, 0)
    if sent <= dropped.within + dropped.late or (lossy and not answered):
        return 0, sent
    return sent - dropped.within, dropped.within


def _rejected(flow: Flow, inward: bool, tally: _Tally) -> Record:
    """The log tells no sizes: what is counted are the headers that such a packet cannot be without."""
    least = (40 if ":" in flow.source else 20) + _HEADERS.get(flow.protocol, 0)
    return Record(flow, inward, "REJECT", tally.within, tally.within * least, tally.tcp_flags)


def _tallies(card: Card, drops: Iterable[Dropped], end: float) -> dict[tuple[Flow, bool], _Tally]:
    found: dict[tuple[Flow, bool], _Tally] = {}
    for drop in drops:
        inward = not drop.kept_in and not (drop.leaving and drop.source_mac == card.mac)
        tally = found.setdefault((drop.flow, inward), _Tally())
        if drop.at < end:
            tally.within += 1
            tally.tcp_flags |= drop.tcp_flags
        else:
            tally.late += 1
    return found


def by_card(drops: Iterable[Dropped], cards: Sequence[Card]) -> Iterator[tuple[str, Dropped]]:
    """Yield each drop with the id of the card at which EC2 would have dropped it; leave out what is of none of them."""
    macs = {(card.vpc_id, card.mac): card.id for card in cards}
    addresses = {(card.vpc_id, address): card.id for card in cards for address in card.addresses}
    for drop in drops:
        sender = macs.get((drop.network, drop.source_mac)) if drop.leaving else None
        if drop.kept_in:
            found = addresses.get((drop.network, drop.flow.source))
        else:
            found = sender or macs.get((drop.network, drop.destination_mac))
        if found is not None:
            yield found, drop


def _may_send(card: Card, source: str) -> bool:
    """Say whether the network takes packets with this source from a card: others it drops without a word."""
    if card.forwarding or source in card.addresses:
        return True
    address = _address(source)
    return any(address in ip_network(cidr) for cidr in card.ranges)


def _unlogged(network: Network | None) -> frozenset[str]:
    found = set(_UNLOGGED)
    if network is not None:
        found |= {network.resolver} - {""}
        ranges = (cidr for subnet in network.subnets for cidr in (subnet.cidr, subnet.cidr6) if cidr)
        found |= {str(ip_network(cidr)[1]) for cidr in ranges}
    return frozenset(found)


def _is_logged(flow: Flow, unlogged: frozenset[str]) -> bool:
    if flow.source in unlogged or flow.destination in unlogged:
        return False
    if flow.protocol == _UDP and flow.source_port in _DHCP and flow.destination_port in _DHCP:
        return False
    ends = (_address(flow.source), _address(flow.destination))
    return not any(end.is_link_local or end.is_multicast for end in ends)


@lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)

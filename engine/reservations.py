"""Parts of a subnet that are kept back: nothing of them is given to anybody unless it is asked for."""

import random
from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.state import CidrReservation

Span = tuple[int, int]
"""The first and last of neighbouring addresses, as numbers."""


def span(cidr: str) -> Span:
    network = ip_network(cidr)
    return int(network.network_address), int(network.broadcast_address)


def reserved(db: Session, subnet_id: str, version: int, kind: str = "") -> list[Span]:
    """Return the reservations of a subnet, of IP version 4 or 6: those of a ``kind`` (prefix, explicit), or all."""
    rows = select(CidrReservation.cidr).where(CidrReservation.subnet_id == subnet_id)
    if kind:
        rows = rows.where(CidrReservation.kind == kind)
    return [span(cidr) for cidr in db.scalars(rows) if (":" in cidr) == (version == 6)]


def open_spans(whole: Span, blocked: Iterable[Span]) -> list[Span]:
    """Return what is left of a span without others."""
    left, (start, end) = [], whole
    for low, high in sorted(blocked):
        if high < start or low > end:
            continue
        if low > start:
            left.append((start, low - 1))
        start = high + 1
    return [*left, (start, end)] if start <= end else left


def draw(spans: Sequence[Span]) -> int:
    """Return a number of these spans, each with the same chance; there must be one."""
    place = random.randrange(sum(high - low + 1 for low, high in spans))
    for low, high in spans:
        if place <= high - low:
            return low + place
        place -= high - low + 1
    raise AssertionError("unreachable")

"""What the database knows of flow logs, and of the cards that they are of."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, or_, select, true
from sqlalchemy.orm import Session

from engine.desired import PLUGGED, network
from engine.drivers.networking import Network
from engine.flow_logs.fields import fields_of
from engine.state import (
    FlowLog,
    Instance,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    Tag,
    Zone,
    json_rows,
)
from settings import Settings


@dataclass(frozen=True)
class Log:
    """A flow log. ``created`` is in seconds since 1970, ``destination`` a bucket's ARN where it is not a log group."""

    id: str
    account: str
    region: str
    resource_id: str
    traffic: str
    kind: str
    destination: str
    group: str
    fields: tuple[str, ...]
    interval: int
    hive: bool = False
    hourly: bool = False
    created: int = 0

    def concerns(self, card: "Card") -> bool:
        return self.resource_id in (card.id, card.subnet_id, card.vpc_id)


@dataclass(frozen=True)
class Card:
    """A network interface. ``primary`` is its first private address, ``addresses`` are all, ``ranges`` its prefixes.

    ``here`` tells whether its guest runs on this host; ``forwarding``, whether it may send from other addresses.
    """

    id: str
    account: str
    region: str
    vpc_id: str
    subnet_id: str
    instance_id: str
    mac: str
    primary: str
    addresses: tuple[str, ...]
    ranges: tuple[str, ...] = ()
    zone_id: str = ""
    forwarding: bool = False
    here: bool = True


@dataclass(frozen=True)
class Facts:
    """All flow logs; the cards that they are of, and these cards' networks, by their ids."""

    logs: tuple[Log, ...] = ()
    cards: Mapping[str, Card] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)


_concerning = or_(
    FlowLog.resource_id == NetworkInterface.id,
    FlowLog.resource_id == NetworkInterface.subnet_id,
    FlowLog.resource_id == NetworkInterface.vpc_id,
)


def wanted(db: Session, hosts: Collection[str]) -> dict[str, tuple[str, frozenset[int]]]:
    """Return the cards to count on these hosts: the MAC of each, and the intervals of the logs that are of it."""
    running = and_(Instance.host.in_(hosts), Instance.state.in_(PLUGGED))
    rows = (
        select(NetworkInterface.id, NetworkInterface.mac, FlowLog.interval)
        .distinct()
        .join(FlowLog, _concerning)
        .join(Instance, and_(Instance.id == NetworkInterface.instance_id, running))
    )
    found: dict[str, tuple[str, frozenset[int]]] = {}
    for id, mac, interval in db.execute(rows):
        found[id] = mac, found.get(id, (mac, frozenset[int]()))[1] | {interval}
    return found


def facts(db: Session, settings: Settings, hosts: Collection[str]) -> Facts:
    """Return what lines are written from."""
    logs = tuple(map(_log, db.scalars(select(FlowLog).order_by(FlowLog.id))))
    cards = {card.id: card for card in _cards(db, hosts)} if logs else {}
    found = {id: network(db, settings, id) for id in {card.vpc_id for card in cards.values()}}
    return Facts(logs, cards, {id: each for id, each in found.items() if each is not None})


def _log(row: FlowLog) -> Log:
    return Log(
        id=row.id, account=row.account, region=row.region, resource_id=row.resource_id, traffic=row.traffic_type,
        kind=row.destination_type, destination=row.destination, group=row.log_group,
        fields=fields_of(row.line_format), interval=row.interval, hive=row.hive_partitions,
        hourly=row.hourly_partitions, created=int(datetime.fromisoformat(row.created).timestamp()),
    )  # fmt: skip


_here = NetworkInterface.id
_CARDS = (
    select(
        NetworkInterface.id, NetworkInterface.account, NetworkInterface.region, NetworkInterface.vpc_id,
        NetworkInterface.subnet_id, NetworkInterface.instance_id, NetworkInterface.mac, NetworkInterface.private_ip,
        NetworkInterface.source_dest_check, Zone.zone_id, Instance.host, Instance.state,
        json_rows(PrivateAddress.address, where=PrivateAddress.interface_id == _here).label("addresses"),
        json_rows(
            Ipv6Address.address, where=Ipv6Address.interface_id == _here,
            order=(Ipv6Address.is_primary.desc(), Ipv6Address.position),
        ).label("addresses6"),
        json_rows(InterfacePrefix.cidr, where=InterfacePrefix.interface_id == _here).label("prefixes"),
    )
    .outerjoin(Zone, Zone.name == NetworkInterface.zone)
    .outerjoin(Instance, Instance.id == NetworkInterface.instance_id)
    .where(select(true()).where(_concerning).correlate(NetworkInterface).exists())
    .order_by(NetworkInterface.id)
)  # fmt: skip


def _cards(db: Session, hosts: Collection[str]) -> Iterator[Card]:
    for row in db.execute(_CARDS):
        yield Card(
            id=row.id, account=row.account, region=row.region, vpc_id=row.vpc_id, subnet_id=row.subnet_id,
            instance_id=row.instance_id or "", mac=row.mac, primary=row.private_ip,
            addresses=(*_texts(row.addresses), *_texts(row.addresses6)), ranges=tuple(_texts(row.prefixes)),
            zone_id=row.zone_id or "", forwarding=not row.source_dest_check,
            here=row.host in hosts and row.state in PLUGGED,
        )  # fmt: skip


def _texts(rows: Any) -> list[str]:
    return [text for (text,) in json.loads(rows)]


def forget_logs(db: Session, resource_id: str) -> None:
    """Delete the flow logs of a VPC, a subnet or an interface that goes."""
    ids = select(FlowLog.id).where(FlowLog.resource_id == resource_id)
    db.execute(delete(Tag).where(Tag.resource_id.in_(ids)))
    db.execute(delete(FlowLog).where(FlowLog.resource_id == resource_id))

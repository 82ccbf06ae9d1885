"""From where to where a path leads: what the ids in a question stand for, and which packets are worth a try."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import islice, product
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from engine.desired import PLUGGED
from engine.drivers.packets import EPHEMERAL, Packet
from engine.names import arn
from engine.state import (
    Address,
    InsightsPath,
    Instance,
    InterfaceGroup,
    InternetGateway,
    NetworkInterface,
    Peering,
    PrivateAddress,
    SecurityGroupRule,
    VpcCidrBlock,
)

ABROAD = "203.0.113.1"
"""Somebody on the internet, where nobody in particular is meant (RFC 5737)."""
_ANY_PORT = 80
_MOST_TRIES = 8


class Unreachable(Exception):
    """There is nothing to trace: ``explanation`` says why, in EC2's shape."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.explanation = {"ExplanationCode": code, **members}


@dataclass(frozen=True)
class End:
    """One end of a path: an interface, or a gateway or peering of a VPC, or only an address."""

    interface: NetworkInterface | None = None
    resource_id: str = ""
    vpc_id: str = ""


def end_of(db: Session, id: str, region: str, address: str = "") -> End:
    """Return what an id stands for; of an instance, the interface with ``address``, or its first. Raise Unreachable."""
    kinds = {"i": _of_instance, "eni": _of_interface, "igw": _of_gateway, "pcx": _of_peering}
    return kinds[id.partition("-")[0]](db, id, region, address)


def _of_instance(db: Session, id: str, region: str, address: str) -> End:
    instance = db.get(Instance, id)
    if instance is None:
        raise Unreachable("NO_SOURCE_OR_DESTINATION")
    if instance.state not in PLUGGED:
        component = {"Id": id, "Arn": arn(region, instance.account, id)}
        raise Unreachable("BAD_STATE", Component=component, State=instance.state)
    rows = select(NetworkInterface).filter_by(instance_id=id).order_by(NetworkInterface.device_index)
    every = list(db.scalars(rows))
    if not every:
        raise Unreachable("UNASSOCIATED_COMPONENT")
    return End(next((each for each in every if address in addresses_of(db, each)), every[0]))


def addresses_of(db: Session, interface: NetworkInterface) -> list[str]:
    """Return the private and public addresses of an interface."""
    private = db.scalars(select(PrivateAddress.address).filter_by(interface_id=interface.id))
    return [*private, *db.scalars(select(Address.public_ip).filter_by(interface_id=interface.id))]


def _of_interface(db: Session, id: str, region: str, address: str) -> End:
    interface = db.get(NetworkInterface, id)
    if interface is None:
        raise Unreachable("NO_SOURCE_OR_DESTINATION")
    if interface.kind == "interface":
        instance = db.get(Instance, interface.instance_id or "")
        if instance is None or instance.state not in PLUGGED:
            component = {"Id": id, "Arn": arn(region, interface.account, id)}
            raise Unreachable("BAD_STATE", Component=component, State=instance.state if instance else interface.status)
    return End(interface)


def _of_gateway(db: Session, id: str, region: str, address: str) -> End:
    gateway = db.get(InternetGateway, id)
    if gateway is None:
        raise Unreachable("NO_SOURCE_OR_DESTINATION")
    if not gateway.vpc_id:
        component = {"Id": id, "Arn": arn(region, gateway.account, id)}
        raise Unreachable("UNASSOCIATED_COMPONENT", Component=component, InternetGateway=component)
    return End(resource_id=id, vpc_id=gateway.vpc_id)


def _of_peering(db: Session, id: str, region: str, address: str) -> End:
    peering = db.get(Peering, id)
    if peering is None:
        raise Unreachable("NO_SOURCE_OR_DESTINATION")
    if peering.status != "active":
        component = {"Id": id, "Arn": arn(region, peering.account, id)}
        raise Unreachable("BAD_STATE", Component=component, VpcPeeringConnection=component, State=peering.status)
    return End(resource_id=id)


# -- packets -----------------------------------------------------------------------


def packets(db: Session, path: InsightsPath) -> list[Packet]:
    """Return the packets by which a path is tried, the most usual one first. Raise Unreachable.

    EC2 asks for any packet that fits. Here those are tried that a rule at either end lets pass.
    """
    wanted = path.destination_ip or path.leaving_destination or path.arriving_destination
    source = end_of(db, path.source, path.region, path.source_ip or path.leaving_source)
    destination = end_of(db, path.destination, path.region, wanted) if path.destination else End()
    _check_connected(db, source, destination)
    rules = _rules(db, path, source, destination)
    tries = product(
        _sources(db, path, source, rules),
        _destinations(db, wanted, source, destination, rules),
        _ports(path, rules),
    )
    source_port = int((path.leaving_source_ports or str(EPHEMERAL)).partition("-")[0])
    port_id = source.interface.id if source.interface else ""
    return [
        Packet(port_id, to, "tcp" if path.protocol == "tcp" else "udp", port, source=by, source_port=source_port)
        for by, to, port in islice(tries, _MOST_TRIES)
    ]


def _check_connected(db: Session, source: End, destination: End) -> None:
    """Refuse two interfaces whose VPCs have nothing to do with each other."""
    if source.interface is None or destination.interface is None:
        return
    one, other = source.interface.vpc_id, destination.interface.vpc_id
    peers = or_(
        (Peering.requester_vpc_id == one) & (Peering.accepter_vpc_id == other),
        (Peering.requester_vpc_id == other) & (Peering.accepter_vpc_id == one),
    )
    if one != other and db.scalar(select(Peering.id).where(peers, Peering.status == "active")) is None:
        accounts = (source.interface, destination.interface)
        ends = [{"Id": row.vpc_id, "Arn": arn(row.region, row.account, row.vpc_id)} for row in accounts]
        raise Unreachable("DISCONNECTED_VPCS", SourceVpc=ends[0], DestinationVpc=ends[1])


def _rules(db: Session, path: InsightsPath, source: End, destination: End) -> list[SecurityGroupRule]:
    """Return the rules for the protocol: those for what comes in at the destination, and for what leaves the source."""
    found: list[SecurityGroupRule] = []
    for end, egress in ((destination, False), (source, True)):
        if end.interface is not None:
            groups = select(InterfaceGroup.group_id).filter_by(interface_id=end.interface.id)
            rules = select(SecurityGroupRule).where(SecurityGroupRule.group_id.in_(groups), _egress == egress)
            found += db.scalars(rules.where(SecurityGroupRule.protocol.in_(["-1", path.protocol])).order_by(_rule_id))
    return found


_egress, _rule_id = SecurityGroupRule.egress, SecurityGroupRule.id


def _sources(db: Session, path: InsightsPath, source: End, rules: Sequence[SecurityGroupRule]) -> list[str]:
    given = path.source_ip or path.leaving_source
    if source.interface is not None or given:
        return [given]
    return _some([ABROAD, *_outer(db, source.vpc_id, rules, egress=False)])


def _destinations(
    db: Session, wanted: str, source: End, destination: End, rules: Sequence[SecurityGroupRule]
) -> list[str]:
    """Return the addresses that stand for a destination: an interface is reached from outside by its public ones."""
    if destination.interface is not None and source.interface is None:
        public = select(Address.public_ip).filter_by(interface_id=destination.interface.id)
        of_private = public.where(Address.private_ip == wanted) if wanted else public
        return list(db.scalars(of_private)) or [wanted or destination.interface.private_ip]
    if wanted or destination.interface is not None:
        return [wanted or destination.interface.private_ip]  # type: ignore[union-attr]
    if destination.resource_id.startswith("pcx-"):
        return _beyond(db, destination.resource_id, source)
    vpc_id = source.interface.vpc_id if source.interface else ""
    return _some([ABROAD, *_outer(db, vpc_id, rules, egress=True)])


def _beyond(db: Session, peering_id: str, source: End) -> list[str]:
    """Return an address of the VPC at the other end: an interface's, or else of the range."""
    peering = db.get_one(Peering, peering_id)
    ends = [peering.requester_vpc_id, peering.accepter_vpc_id]
    here = source.interface.vpc_id if source.interface else ""
    other = next(vpc for vpc in ends if vpc != here)
    rows = select(NetworkInterface.private_ip).where(NetworkInterface.vpc_id == other)
    there = db.scalar(rows.where(NetworkInterface.instance_id.is_not(None)).order_by(NetworkInterface.id))
    ranges = db.scalars(select(VpcCidrBlock.cidr).filter_by(vpc_id=other).order_by(VpcCidrBlock.cidr))
    return _some([there, *(_first(cidr) for cidr in ranges)])


def _outer(db: Session, vpc_id: str, rules: Sequence[SecurityGroupRule], egress: bool) -> Iterator[str]:
    """Yield an address outside of a VPC for each range that a rule names."""
    own = [ip_network(cidr) for cidr in db.scalars(select(VpcCidrBlock.cidr).filter_by(vpc_id=vpc_id))]
    for rule in rules:
        if rule.egress == egress and rule.cidr_ipv4 and not rule.cidr_ipv4.endswith("/0"):
            address = _first(rule.cidr_ipv4)
            if not any(ip_address(address) in each for each in own):
                yield address


def _first(cidr: str) -> str:
    network = ip_network(cidr)
    return str(network[0] if network.num_addresses == 1 else network[1])


def _ports(path: InsightsPath, rules: Sequence[SecurityGroupRule]) -> list[int]:
    if path.destination_port is not None:
        return [path.destination_port]
    given = path.leaving_destination_ports or path.arriving_destination_ports
    low, high = (int(part) for part in (given or "0-65535").split("-"))
    ruled = [max(low, rule.from_port) for rule in rules if rule.from_port >= 0 and rule.from_port <= high]
    usual = low if given else _ANY_PORT
    return list(dict.fromkeys([usual, *(port for port in ruled if port <= high)]))


def _some(values: Sequence[Any]) -> list[str]:
    return [str(value) for value in dict.fromkeys(values) if value]

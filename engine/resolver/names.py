"""What names mean inside a VPC: those of its interfaces and instances, by address and back, and of its endpoints.

Whether a name is there is said by "DNS attributes for your VPC" and "EC2 instance hostname types" in EC2's
documentation: a name of an address always, a name of an instance as its options say.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Any

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from engine.drivers.networking import METADATA_ADDRESS
from engine.names import endpoint_domain, private_name
from engine.resolver.realms import Address, Realm
from engine.state import Endpoint, Instance, Ipv6Address, NetworkInterface, PrivateAddress, Subnet
from engine.state.prepared import Prepared

_ADDRESS = re.compile(r"ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})")
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
_ENDPOINT = re.compile(r"(vpce-[0-9a-f]{17})(?:-([a-z0-9-]+))?\.(vpce-svc-[0-9a-f]{17}\..+)")
_METADATA = "instance-data"
"""The metadata service by name, as old software knows it."""


@dataclass(frozen=True)
class Known:
    """What is known of a name, texts by their types; ``zone`` is the domain that has it, or would."""

    zone: str
    records: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exists: bool = True


Source = Callable[[Session, Realm, str], Known | None]
"""Tells what a name (in lower case, without the last dot) means in a realm; None where it is none of its business."""


def find_name(db: Session, realm: Realm, name: str) -> Known | None:
    """Return what a name means in a VPC; None where that is not for the VPC to say."""
    for source in SOURCES:
        known = source(db, realm, name)
        if known is not None:
            return known
    return None


# -- interfaces and instances --------------------------------------------------

_taken = and_(PrivateAddress.address == bindparam("address"), Subnet.vpc_id == bindparam("vpc_id"))
_HOLDER = Prepared(
    select(
        PrivateAddress.is_primary, NetworkInterface.device_index, Instance.id, Instance.hostname_type,
        Instance.dns_a_record,
    )
    .join(Subnet, Subnet.id == PrivateAddress.subnet_id)
    .outerjoin(NetworkInterface, NetworkInterface.id == PrivateAddress.interface_id)
    .outerjoin(Instance, Instance.id == NetworkInterface.instance_id)
    .where(_taken)
)  # fmt: skip
_taken6 = and_(Ipv6Address.address == bindparam("address"), Subnet.vpc_id == bindparam("vpc_id"))
_HOLDER6 = Prepared(
    select(Instance.id, Instance.dns_aaaa_record)
    .join(NetworkInterface, NetworkInterface.instance_id == Instance.id)
    .join(Ipv6Address, Ipv6Address.interface_id == NetworkInterface.id)
    .join(Subnet, Subnet.id == Ipv6Address.subnet_id)
    .where(_taken6)
)
_INSTANCE_ROW = Prepared(
    select(
        Instance.vpc_id, Instance.private_ip, Instance.dns_a_record, Instance.dns_aaaa_record,
        select(Ipv6Address.address)
        .join(NetworkInterface, NetworkInterface.id == Ipv6Address.interface_id)
        .where(NetworkInterface.instance_id == Instance.id, NetworkInterface.device_index == 0)
        .order_by(Ipv6Address.is_primary.desc(), Ipv6Address.position)
        .limit(1).scalar_subquery().label("ipv6"),
    ).where(Instance.id == bindparam("id"), Instance.state != "terminated")
)  # fmt: skip


def names_of_the_vpc(db: Session, realm: Realm, name: str) -> Known | None:
    """Everything in the domain of private names."""
    if name == realm.domain:
        return Known(realm.domain)
    host, _, domain = name.partition(".")
    if domain != realm.domain:
        return Known(realm.domain, exists=False) if name.endswith(f".{realm.domain}") else None
    records = _of_host(db, realm, host)
    return Known(realm.domain, records, exists=bool(records))


def _of_host(db: Session, realm: Realm, host: str) -> dict[str, list[str]]:
    if host == _METADATA:
        return {"A": [METADATA_ADDRESS]}
    if _INSTANCE.fullmatch(host):
        return _of_instance(db, realm, host)
    found = _ADDRESS.fullmatch(host)
    return _of_address(db, realm, ".".join(found.groups())) if found else {}


def _of_address(db: Session, realm: Realm, text: str) -> dict[str, list[str]]:
    try:
        address = IPv4Address(text)
    except ValueError:
        return {}
    return {"A": [text]} if _holder(db, realm, address, _HOLDER) is not None else {}


def _holder(db: Session, realm: Realm, address: Address, statement: Prepared) -> Any:
    """Return who has an address in a VPC that has names here, or None."""
    for territory in realm.named:
        if territory.holds(address):
            return statement.first(db, address=str(address), vpc_id=territory.vpc_id)
    return None


def _of_instance(db: Session, realm: Realm, id: str) -> dict[str, list[str]]:
    row = _INSTANCE_ROW.first(db, id=id)
    if row is None or row.vpc_id not in {territory.vpc_id for territory in realm.named}:
        return {}
    found = {}
    if row.dns_a_record:
        found["A"] = [row.private_ip] if row.private_ip else []
    if row.dns_aaaa_record:
        found["AAAA"] = [row.ipv6] if row.ipv6 else []
    return found


def names_of_addresses(db: Session, realm: Realm, name: str) -> Known | None:
    """The way back, from the addresses of the VPC's ranges and of its neighbours'."""
    zone = _reverse_zone(realm, name)
    if zone is None:
        return None
    labels = name.split(".")
    if len(labels) < (6 if name.endswith(".in-addr.arpa") else 34):
        return Known(zone)
    text = _name_of(db, realm, _address_of(labels))
    return Known(zone, {"PTR": [f"{text}."]}) if text else Known(zone, exists=False)


def _reverse_zone(realm: Realm, name: str) -> str | None:
    """Return the domain, as large as a range, that the name of an address or of a part of a range is in."""
    for territory in (realm.own, *realm.neighbours):
        for each in territory.ranges:
            step, arpa = (8, "in-addr.arpa") if each.version == 4 else (4, "ip6.arpa")
            whole = each.network_address.reverse_pointer.removesuffix(f".{arpa}").split(".")
            zone = ".".join([*whole[len(whole) - each.prefixlen // step :], arpa])
            if name == zone or (name.endswith(f".{zone}") and _is_within(name, each.version, territory.holds)):
                return zone
    return None


def _is_within(name: str, version: int, holds: Callable[[Address], bool]) -> bool:
    """Say whether the whole range that a name stands for belongs to somebody."""
    labels = name.split(".")
    try:
        return holds(_address_of(labels, "0")) and holds(_address_of(labels, "255" if version == 4 else "f"))
    except ValueError:
        return False


def _address_of(labels: Sequence[str], missing: str = "0") -> Address:
    """Return the address of a name below in-addr.arpa or ip6.arpa; ``missing`` stands in for the parts it lacks."""
    parts = list(reversed(labels[:-2]))
    if labels[-2] == "in-addr":
        return ip_address(".".join(parts + [missing] * (4 - len(parts))))
    nibbles = "".join(parts + [missing] * (32 - len(parts)))
    return ip_address(":".join(nibbles[place : place + 4] for place in range(0, len(nibbles), 4)))


def _name_of(db: Session, realm: Realm, address: Address) -> str:
    """Return the name that leads back to an address: the instance's where that goes by it, or else the address's."""
    if address.version == 6:
        holder = _holder(db, realm, address, _HOLDER6)
        return f"{holder.id}.{realm.domain}" if holder is not None and holder.dns_aaaa_record else ""
    holder = _holder(db, realm, address, _HOLDER)
    if holder is None:
        return ""
    is_first = holder.is_primary and holder.device_index == 0
    if is_first and holder.dns_a_record and holder.hostname_type == "resource-name":
        return f"{holder.id}.{realm.domain}"
    return private_name(str(address), realm.domain)


# -- endpoints -----------------------------------------------------------------

_CARDS = Prepared(
    select(NetworkInterface.private_ip, NetworkInterface.zone)
    .where(NetworkInterface.managed_by == bindparam("id"))
    .order_by(NetworkInterface.id)
)
_SERVICE = Prepared(
    select(Endpoint.service_id, Endpoint.region).where(
        Endpoint.id == bindparam("id"), Endpoint.kind == "Interface", Endpoint.state == "available"
    )
)


def names_of_endpoints(db: Session, realm: Realm, name: str) -> Known | None:
    """An interface endpoint's own names, one for each zone and one for all: they are there in every VPC."""
    found = _ENDPOINT.fullmatch(name)
    if found is None:
        return None
    id, zone, domain = found.groups()
    service = _SERVICE.first(db, id=id)
    if service is None or domain != endpoint_domain(service.service_id, service.region):
        return None
    addresses = _addresses(db, id, zone or "")
    return Known(domain, {"A": addresses}, exists=bool(addresses))


def names_of_services(db: Session, realm: Realm, name: str) -> Known | None:
    """The names by which services are known everywhere, where an endpoint of the VPC has them lead to itself."""
    if not realm.names:
        return None
    wildcard = f"*.{name.partition('.')[2]}"
    for private, id in realm.services:
        if private and private in (name, wildcard):
            return Known(name, {"A": _addresses(db, id)})
    return None


def _addresses(db: Session, endpoint_id: str, zone: str = "") -> list[str]:
    """Return an endpoint's addresses, in any order: clients take the first."""
    found = [row.private_ip for row in _CARDS.rows(db, id=endpoint_id) if zone in ("", row.zone)]
    return random.sample(found, len(found))


SOURCES: tuple[Source, ...] = (names_of_the_vpc, names_of_addresses, names_of_services, names_of_endpoints)
"""Who is asked what a name means, in this order; whoever knows of other names adds a function."""

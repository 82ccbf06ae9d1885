"""What the database knows of the instance that asks, in one statement."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, bindparam, func, select
from sqlalchemy.orm import Session

from engine.desired import PLUGGED
from engine.instance_names import other_domain
from engine.state import (
    Address,
    Instance,
    InterfaceGroup,
    InterfacePrefix,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    SecurityGroup,
    Subnet,
    SubnetCidrBlock,
    Tag,
    VolumeAttachment,
    Vpc,
    VpcCidrBlock,
    Zone,
    json_rows,
)


@dataclass(frozen=True)
class Card:
    """A network interface. ``addresses`` begin with the primary one; ``publics`` are (public, private) pairs.

    ``vpc_cidrs`` and ``prefixes`` are of either IP version, ``subnet_cidr6`` is empty where there is none.
    """

    id: str
    mac: str
    index: int
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidr: str
    addresses: tuple[str, ...]
    vpc_cidrs: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    """(id, name) of its security groups, in the order in which they were named."""
    publics: tuple[tuple[str, str], ...]
    subnet_cidr6: str = ""
    addresses6: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """An instance as it is now. Fields that are named like columns of ``Instance`` hold what those hold."""

    id: str
    account: str
    region: str
    reservation_id: str
    launch_index: int
    image_id: str
    instance_type: str
    architecture: str
    root_device_name: str
    launch_time: str
    zone: str
    private_ip: str
    hostname_type: str
    key_name: str
    public_key: str
    user_data: str
    http_tokens: str
    http_endpoint: str
    http_hop_limit: int
    http_ipv6: str
    metadata_tags: str
    zone_id: str
    dns_hostnames: bool
    domain: str
    """The domain of the instance's name where that is not EC2's, or empty."""
    cards: tuple[Card, ...]
    """In the order of their device indexes."""
    devices: tuple[str, ...]
    """Names of the attached volumes as the user gave them, in the machine's order."""
    tags: tuple[tuple[str, str], ...]


_ID_LENGTH = len("eni-") + 17
_COLUMNS = (
    "id", "account", "region", "reservation_id", "launch_index", "image_id", "instance_type", "architecture",
    "root_device_name", "launch_time", "zone", "private_ip", "hostname_type", "key_name", "public_key", "user_data",
    "http_tokens", "http_endpoint", "http_hop_limit", "http_ipv6", "metadata_tags",
)  # fmt: skip


def _only(column: Any, where: Any) -> Any:
    return select(column).where(where).correlate_except(column.table).scalar_subquery()


_addresses = json_rows(
    PrivateAddress.address,
    where=PrivateAddress.interface_id == NetworkInterface.id,
    order=(PrivateAddress.is_primary.desc(), PrivateAddress.number),
)
_addresses6 = json_rows(
    Ipv6Address.address,
    where=Ipv6Address.interface_id == NetworkInterface.id,
    order=(Ipv6Address.is_primary.desc(), Ipv6Address.position),
)
_prefixes = json_rows(
    InterfacePrefix.cidr, where=InterfacePrefix.interface_id == NetworkInterface.id, order=(InterfacePrefix.cidr,)
)
_ranges = json_rows(
    VpcCidrBlock.cidr,
    where=and_(VpcCidrBlock.vpc_id == NetworkInterface.vpc_id, VpcCidrBlock.state == "associated"),
    order=(VpcCidrBlock.cidr,),
)
_groups = json_rows(
    SecurityGroup.id,
    SecurityGroup.name,
    where=and_(SecurityGroup.id == InterfaceGroup.group_id, InterfaceGroup.interface_id == NetworkInterface.id),
    order=(InterfaceGroup.position,),
    join=InterfaceGroup,
)
_publics = json_rows(
    Address.public_ip,
    Address.private_ip,
    where=Address.interface_id == NetworkInterface.id,
    order=(Address.elastic.desc(), Address.public_ip),
)
_cards = json_rows(
    NetworkInterface.id,
    NetworkInterface.mac,
    NetworkInterface.device_index,
    NetworkInterface.subnet_id,
    _only(Subnet.cidr, Subnet.id == NetworkInterface.subnet_id),
    NetworkInterface.vpc_id,
    _only(Vpc.cidr, Vpc.id == NetworkInterface.vpc_id),
    _addresses,
    _ranges,
    _groups,
    _publics,
    _only(SubnetCidrBlock.cidr, SubnetCidrBlock.subnet_id == NetworkInterface.subnet_id),
    _addresses6,
    _prefixes,
    where=NetworkInterface.instance_id == Instance.id,
    order=(NetworkInterface.device_index,),
)
_devices = json_rows(
    VolumeAttachment.device,
    where=and_(VolumeAttachment.instance_id == Instance.id, VolumeAttachment.state.in_(("attaching", "attached"))),
    order=(VolumeAttachment.guest_device,),
)
_tags = json_rows(
    Tag.key, Tag.value, where=and_(Tag.resource_id == Instance.id, Tag.account == Instance.account), order=(Tag.key,)
)

# A VPC's subnets do not overlap: within one VPC an address is one interface's. Whose it is as a part of a prefix
# begins with the interface's id.
_asker = (
    select(NetworkInterface.instance_id)
    .join(PrivateAddress, func.substr(PrivateAddress.interface_id, 1, _ID_LENGTH) == NetworkInterface.id)
    .where(PrivateAddress.address == bindparam("address"), NetworkInterface.vpc_id == bindparam("vpc_id"))
    .correlate(None)
    .scalar_subquery()
)
_asker6 = (
    select(NetworkInterface.instance_id)
    .join(Ipv6Address, Ipv6Address.interface_id == NetworkInterface.id)
    .join(Subnet, Subnet.id == Ipv6Address.subnet_id)
    .where(Ipv6Address.address == bindparam("address"), Subnet.vpc_id == bindparam("vpc_id"))
    .correlate(None)
    .scalar_subquery()
)
_STATEMENT = select(
    *(getattr(Instance, name) for name in _COLUMNS),
    _only(Zone.zone_id, Zone.name == Instance.zone).label("zone_id"),
    _only(Vpc.dns_hostnames, Vpc.id == Instance.vpc_id).label("dns_hostnames"),
    other_domain().scalar_subquery().label("domain"),
    _cards.label("cards"),
    _devices.label("devices"),
    _tags.label("tags"),
).where(Instance.state.in_(PLUGGED))


def find_facts(db: Session, vpc_id: str, address: str) -> Facts | None:
    """Return what is known of the instance that has an address in a VPC; None where none is powered on there."""
    statement = _STATEMENT.where(Instance.id == (_asker6 if ":" in address else _asker))
    row = db.execute(statement, {"vpc_id": vpc_id, "address": address}).one_or_none()
    return None if row is None else _facts(row)


def _facts(row: Row[Any]) -> Facts:
    return Facts(
        **{name: getattr(row, name) for name in _COLUMNS},
        zone_id=row.zone_id or "",
        dns_hostnames=bool(row.dns_hostnames),
        domain=row.domain or "",
        cards=tuple(_card(values) for values in _loaded(row.cards)),
        devices=tuple(device for (device,) in _loaded(row.devices)),
        tags=tuple((key, value) for key, value in _loaded(row.tags)),
    )


def _card(values: list[Any]) -> Card:
    (id, mac, index, subnet_id, subnet_cidr, vpc_id, vpc_cidr, addresses, ranges, groups, publics, subnet_cidr6,
     addresses6, prefixes) = values  # fmt: skip
    return Card(
        id=id,
        mac=mac,
        index=index or 0,
        subnet_id=subnet_id,
        subnet_cidr=subnet_cidr or "",
        vpc_id=vpc_id,
        vpc_cidr=vpc_cidr or "",
        addresses=tuple(address for (address,) in _loaded(addresses)),
        vpc_cidrs=tuple(cidr for (cidr,) in _loaded(ranges)),
        groups=tuple((group, name) for group, name in _loaded(groups)),
        publics=tuple((public, private or "") for public, private in _loaded(publics)),
        subnet_cidr6=subnet_cidr6 or "",
        addresses6=tuple(address for (address,) in _loaded(addresses6)),
        prefixes=tuple(cidr for (cidr,) in _loaded(prefixes)),
    )


def _loaded(value: Any) -> list[Any]:
    """JSON in JSON: SQLite nests it as text or as a list, by how the subquery was flattened."""
    found: list[Any] = json.loads(value) if isinstance(value, str) else value
    return found

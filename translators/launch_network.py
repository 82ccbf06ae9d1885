"""Where a launch is plugged in: the request's subnets, groups and interfaces as one list of cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, NoReturn

from sqlalchemy import bindparam, literal, or_, select

from engine.addresses import Exhausted, InUse, usable
from engine.attachments import new_attachment
from engine.interface_addresses import Extras
from engine.interfaces import Made, lend_public, make_interface
from engine.state import NetworkInterface, SecurityGroup, Subnet, Vpc, Zone
from engine.state.prepared import Prepared
from translators.errors import Ec2Error, combination, invalid, refuse, unsupported
from translators.find import find
from translators.interface_addresses import HONOURED, addresses_asked, check_extras, give_extras
from translators.interface_permissions import ATTACH, find_permitted
from translators.registry import Call

NO_EXTRAS = Extras()


@dataclass
class Card:
    """One interface of each instance: an existing one, or what a new one is made of."""

    index: int
    subnet: Any
    groups: list[str] = field(default_factory=list)
    interface: NetworkInterface | None = None
    private_ip: str = ""
    public: bool = False
    description: str = ""
    delete: bool = True
    extras: Extras = NO_EXTRAS

    @property
    def is_fixed(self) -> bool:
        """Whether only one instance can have it."""
        return bool(self.interface or self.private_ip or self.extras.named)


_HONOURED = HONOURED | {
    "AssociatePublicIpAddress", "DeleteOnTermination", "Description", "DeviceIndex", "Groups", "InterfaceType",
    "NetworkCardIndex", "NetworkInterfaceId", "SubnetId",
}  # fmt: skip


def cards(
    call: Call,
    interfaces: Sequence[Mapping[str, Any]] | None,
    subnet_id: str | None,
    zone: str | None,
    group_ids: Sequence[str] | None,
    group_names: Sequence[str] | None,
    addresses: Mapping[str, Any],
) -> list[Card]:
    """Return the cards of each instance, the primary one first; refuse what EC2 refuses.

    ``addresses`` are what ``addresses_asked`` reads, as the request names them for an only card.
    """
    if interfaces:
        for given, name in ((subnet_id, "subnet ID"), (group_ids or group_names, "security groups"),
                            (addresses.get("PrivateIpAddress"), "private IP address"),
                            (any(addresses.values()), "IPv6 address")):  # fmt: skip
            if given:
                raise combination(
                    f"Network interfaces and an instance-level {name} may not be specified on the same request"
                )
        return _given_cards(call, interfaces, zone)
    if group_names and subnet_id:
        raise combination("The parameter groupName cannot be used with the parameter subnet")
    subnet = _subnet(call, subnet_id, zone)
    groups = _named_groups(call, subnet.vpc_id, group_names) if group_names else []
    groups += check_groups(call, subnet.vpc_id, group_ids) if group_ids else []
    card = Card(0, subnet, groups or [default_group(call, subnet.vpc_id)], public=subnet.map_public_ip)
    _take_addresses(call, card, addresses)
    return [card]


def _take_addresses(call: Call, card: Card, given: Mapping[str, Any]) -> None:
    wanted, card.extras = addresses_asked(given, card.subnet.assign_ipv6)
    card.private_ip = _wanted(card.subnet, wanted)
    if card.extras:
        check_extras(call, card.subnet, card.extras)


def _given_cards(call: Call, interfaces: Sequence[Mapping[str, Any]], zone: str | None) -> list[Card]:
    found = [_given_card(call, given, number, zone) for number, given in enumerate(interfaces)]
    indexes = [card.index for card in found]
    if len(set(indexes)) != len(indexes):
        raise invalid("deviceIndex", indexes, "Each interface needs a device index of its own.")
    if 0 not in indexes:
        raise combination("A primary network interface (device index 0) is required.")
    if len(found) > 1 and any("AssociatePublicIpAddress" in i and i["AssociatePublicIpAddress"] for i in interfaces):
        raise combination(
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces."
        )
    if len({card.subnet.zone for card in found}) > 1 or len({card.subnet.vpc_id for card in found}) > 1:
        raise combination("All network interfaces must be in the same Availability Zone and VPC.")
    return sorted(found, key=lambda card: card.index)


def _given_card(call: Call, given: Mapping[str, Any], number: int, zone: str | None) -> Card:
    for name, value in given.items():
        if name not in _HONOURED and value not in (None, [], 0, False):
            raise unsupported(f"NetworkInterface.{number + 1}.{name}")
    if given.get("InterfaceType", "interface") != "interface" or given.get("NetworkCardIndex", 0) != 0:
        raise unsupported(f"NetworkInterface.{number + 1}", "Only ordinary interfaces on card 0 exist here.")
    if "DeviceIndex" not in given:
        raise Ec2Error("MissingParameter", "Each network interface requires a device index.")
    if given.get("NetworkInterfaceId"):
        return _existing(call, given)
    subnet = _subnet(call, given.get("SubnetId"), zone)
    groups = check_groups(call, subnet.vpc_id, given["Groups"]) if given.get("Groups") else []
    primary = number == 0 and given["DeviceIndex"] == 0
    card = Card(
        given["DeviceIndex"],
        subnet,
        groups or [default_group(call, subnet.vpc_id)],
        public=given.get("AssociatePublicIpAddress", subnet.map_public_ip and primary),
        description=given.get("Description", ""),
        delete=given.get("DeleteOnTermination", True),
    )
    _take_addresses(call, card, given)
    return card


def _existing(call: Call, given: Mapping[str, Any]) -> Card:
    for name in ("SubnetId", "Groups", "AssociatePublicIpAddress", *sorted(HONOURED)):
        if given.get(name):
            raise combination(f"{name} cannot be specified for an existing network interface.")
    interface = find_permitted(call, given["NetworkInterfaceId"], ATTACH)
    if interface.status != "available":
        refuse("InvalidNetworkInterface.InUse", f"Interface: [{interface.id}] in use.")
    subnet = call.db.get_one(Subnet, interface.subnet_id)
    return Card(given["DeviceIndex"], subnet, interface=interface, delete=given.get("DeleteOnTermination", False))


_DEFAULT_SUBNET = Prepared(
    select(
        Subnet.id, Subnet.vpc_id, Subnet.zone, Subnet.cidr, Subnet.mac_tag, Subnet.map_public_ip, Subnet.hostname_type,
        Subnet.dns_a_record, Subnet.dns_aaaa_record, Subnet.assign_ipv6,
    )
    .where(
        Subnet.account == bindparam("account"),
        Subnet.region == bindparam("region"),
        Subnet.default_for_az.is_(True),
        or_(Subnet.zone == bindparam("zone"), literal("") == bindparam("zone")),
    )
    .order_by(Subnet.available_addresses.desc(), Subnet.id)
    .limit(1)
)  # fmt: skip
"""The default subnet with the most free addresses."""


def _subnet(call: Call, subnet_id: str | None, zone: str | None) -> Any:
    if subnet_id:
        subnet = find(call, Subnet, subnet_id)
        if zone and subnet.zone != zone:
            raise invalid(
                "availabilityZone", zone, f"The subnet '{subnet_id}' is in the Availability Zone '{subnet.zone}'."
            )
        return subnet
    if zone and (call.db.get(Zone, zone) is None or call.db.get_one(Zone, zone).region != call.region):
        raise invalid("availabilityZone", zone, f"The zone '{zone}' does not exist.")
    subnet = _DEFAULT_SUBNET.first(call.db, **call.owner, zone=zone or "")
    return subnet or _no_subnet(call, zone)


def _no_subnet(call: Call, zone: str | None) -> NoReturn:
    if default_vpc(call) is None:
        refuse("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for default VPC.")
    refuse("MissingInput", f"No default subnet was found{f' in {zone!r}' if zone else ''}. Please specify a subnet.")


def default_vpc(call: Call) -> str | None:
    return call.db.scalar(select(Vpc.id).filter_by(**call.owner, is_default=True))


_DEFAULT_GROUP = Prepared(
    select(SecurityGroup.id).where(SecurityGroup.vpc_id == bindparam("vpc_id"), SecurityGroup.name == "default")
)


def default_group(call: Call, vpc_id: str) -> str:
    return str(_DEFAULT_GROUP.scalar(call.db, vpc_id=vpc_id))


def check_groups(call: Call, vpc_id: str, ids: Sequence[str]) -> list[str]:
    """Return the ids, each once; refuse one that is not a group of this VPC."""
    query = select(SecurityGroup.id).filter_by(**call.owner, vpc_id=vpc_id)
    held = set(call.db.scalars(query.where(SecurityGroup.id.in_(ids))))
    for id in ids:
        if id not in held:
            refuse("InvalidGroup.NotFound", f"The security group '{id}' does not exist in VPC '{vpc_id}'")
    return list(dict.fromkeys(ids))


def _named_groups(call: Call, vpc_id: str, names: Sequence[str]) -> list[str]:
    query = select(SecurityGroup.name, SecurityGroup.id).filter_by(**call.owner, vpc_id=vpc_id)
    held = {name: id for name, id in call.db.execute(query.where(SecurityGroup.name.in_(names)))}
    for name in names:
        if name not in held:
            refuse("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc_id}'")
    return [held[name] for name in dict.fromkeys(names)]


def _wanted(subnet: Any, address: str | None) -> str:
    if not address:
        return ""
    try:
        first, last = usable(subnet.cidr)
        if not first <= int(IPv4Address(address)) <= last:
            raise ValueError
    except ValueError:
        raise invalid("privateIpAddress", address, "Address does not fall within the subnet's address range") from None
    return address


def plug(call: Call, instance_id: str, card: Card) -> NetworkInterface | Made:
    """Attach a card to an instance that is being launched, and lend it a public address if it shall have one."""
    attachment = new_attachment(instance_id, card.index, "attaching", card.delete)
    if card.interface is not None:
        for name, value in attachment.items():
            setattr(card.interface, name, value)
        return card.interface
    try:
        interface = make_interface(
            call.db, call.owner, card.subnet, card.groups, description=card.description, private_ip=card.private_ip,
            auto_public=card.public, **attachment,
        )  # fmt: skip
    except Exhausted:
        refuse(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{card.subnet.id}' to satisfy the requested number of "
            "instances.",
        )
    except InUse as error:
        refuse("InvalidIPAddress.InUse", f"Address {error.address} is in use.")
    if card.extras:
        give_extras(call, card.subnet, interface.id, card.extras)
    if card.public:
        _lend(call, interface)
    return interface


def _lend(call: Call, interface: Made) -> None:
    try:
        lend_public(call.db, call.settings, interface)
    except Exhausted:
        refuse("InsufficientAddressCapacity", "There are not enough free public IP addresses to launch the instance.")

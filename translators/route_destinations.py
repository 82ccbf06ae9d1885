"""What a route is for: a range of either IP version, or a prefix list."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from engine.prefix_lists import entries_of
from engine.state import PrefixList
from translators.errors import combination, invalid, missing, not_found
from translators.find import find
from translators.ipv6 import network6
from translators.registry import Call
from translators.vpcs import network

Range = IPv4Network | IPv6Network
_RESERVED = (IPv4Network("169.254.168.0/22"), IPv6Network("fd00:ec2::/32"))
"""Where AWS's own services are ("Route table concepts" in the VPC user guide)."""


@dataclass(frozen=True, slots=True)
class Destination:
    """``id`` is the range or the list's id, ``name`` what the request calls it, ``ranges`` what it now stands for."""

    id: str
    name: str
    version: int
    ranges: tuple[Range, ...]
    weight: int = 1
    """How many routes it counts as: a list counts as many as it may have entries."""

    @property
    def is_listed(self) -> bool:
        return self.name == "destination-prefix-list-id"


def read_destination(call: Call, cidr: str | None, cidr6: str | None, list_id: str | None) -> Destination:
    """Return the one destination that a request gives."""
    given = [value for value in (cidr, cidr6, list_id) if value]
    if not given:
        raise missing("destinationCidrBlock")
    if len(given) > 1:
        names = "destinationCidrBlock, destinationIpv6CidrBlock and destinationPrefixListId"
        raise combination(f"Only one of the parameters {names} may be given.")
    if list_id:
        return _listed(call, list_id)
    if cidr6:
        found: Range = network6("destinationIpv6CidrBlock", cidr6)
        return Destination(str(found), "destination-ipv6-cidr-block", 6, (found,))
    found = network("destinationCidrBlock", cidr or "")
    return Destination(str(found), "destination-cidr-block", 4, (found,))


def _listed(call: Call, id: str) -> Destination:
    prefix_list = find(call, PrefixList, id)
    if prefix_list.state.startswith("delete"):
        raise not_found(PrefixList, id)
    version = 6 if prefix_list.family == "IPv6" else 4
    kind = IPv6Network if version == 6 else IPv4Network
    ranges = tuple(kind(cidr) for cidr in entries_of(call.db, id))
    return Destination(id, "destination-prefix-list-id", version, ranges, prefix_list.max_entries)


def check_reserved(destination: Destination) -> None:
    """Refuse routes to where AWS's own services are."""
    for each in destination.ranges:
        if any(is_within(each, reserved) for reserved in _RESERVED):
            raise invalid("destination", each, "It is within a range that is reserved for use by AWS services.")


def is_within(inner: Range, outer: Range) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]

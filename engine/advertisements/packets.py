"""Router solicitations and advertisements as frames (RFC 4861, section 4)."""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from engine.drivers.networking import Router

EVERYBODY = "ff02::1"
_IPV6, _ICMP = 0x86DD, 58
_SOLICITATION, _ADVERTISEMENT = 133, 134
_SOURCE_LINK, _PREFIX, _MTU = 1, 3, 5
_HOPS = 255
"""What is of this link alone has never lost one of these."""
_GUESTS_HOPS = 64
_MANAGED, _ON_LINK = 0x80, 0x80
"""Addresses are given by DHCPv6 alone; and those of the prefix are on the link, and no guest makes up one of them."""
_ROUTER_SECONDS, _PREFIX_SECONDS = 65535, 0xFFFFFFFF


@dataclass(frozen=True)
class Solicitor:
    """Who asks for routers: its MAC address, and the address to answer."""

    mac: str
    address: str


def read_solicitation(frame: bytes) -> Solicitor | None:
    """Return who sent a valid router solicitation (section 6.1.1); None for anything else."""
    if len(frame) < 62 or struct.unpack_from("!H", frame, 12)[0] != _IPV6:
        return None
    length, following, hops = struct.unpack_from("!HBB", frame, 18)
    body = frame[54 : 54 + length]
    if following != _ICMP or hops != _HOPS or len(body) != length or length < 8:
        return None
    source, destination = frame[22:38], frame[38:54]
    if body[0] != _SOLICITATION or body[1] or checksum(source, destination, body):
        return None
    address = IPv6Address(source)
    options = _options(body[8:])
    if options is None or not (address.is_link_local or (address.is_unspecified and _SOURCE_LINK not in options)):
        return None
    return Solicitor(frame[6:12].hex(":"), EVERYBODY if address.is_unspecified else str(address))


def _options(data: bytes) -> set[int] | None:
    """Return the types of the options; None where one of them is not whole."""
    found = set()
    while data:
        if len(data) < 8 or not data[1] or len(data) < data[1] * 8:
            return None
        found.add(data[0])
        data = data[data[1] * 8 :]
    return found


def advertisement(router: Router, prefix: IPv6Network, mtu: int, guest: Solicitor) -> bytes:
    """Return what a router says of itself and of its prefix, as a frame for one guest and nobody else."""
    own = bytes.fromhex(router.mac.replace(":", ""))
    body = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, _GUESTS_HOPS, _MANAGED, _ROUTER_SECONDS, 0, 0)
    body += struct.pack("!BB6s", _SOURCE_LINK, 1, own)
    body += struct.pack("!BBHI", _MTU, 1, 0, mtu)
    body += struct.pack("!BBBBIII", _PREFIX, 4, prefix.prefixlen, _ON_LINK, _PREFIX_SECONDS, _PREFIX_SECONDS, 0)
    body += prefix.network_address.packed
    source, destination = IPv6Address(router.address).packed, IPv6Address(guest.address).packed
    body = body[:2] + struct.pack("!H", checksum(source, destination, body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), _ICMP, _HOPS) + source + destination
    return bytes.fromhex(guest.mac.replace(":", "")) + own + struct.pack("!H", _IPV6) + header + body


def checksum(source: bytes, destination: bytes, body: bytes) -> int:
    """Return ICMPv6's checksum (RFC 4443, section 2.3): of a body that has one, 0 where it is right."""
    whole = source + destination + struct.pack("!II", len(body), _ICMP) + body + bytes(len(body) % 2)
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

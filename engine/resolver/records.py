"""What a VPC's resolver knows itself, by the rules of "DNS attributes for your VPC" in the VPC user guide.

``ip-10-0-1-11.<domain>`` is any address of an interface, ``i-0123....<domain>`` an instance by its resource name, and
an endpoint of a service has names of its own. What of these is not there does not exist: nobody outside is asked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
from sqlalchemy import and_, bindparam, literal, or_, select
from sqlalchemy.orm import Session

from engine.names import domain_name
from engine.state import (
    Endpoint,
    EndpointService,
    Instance,
    Ipv6Address,
    NetworkInterface,
    Peering,
    PrivateAddress,
    Vpc,
)
from engine.state.database import Database
from engine.state.prepared import Prepared

TTL = 60
"""Seconds for which an answer may be kept."""
_ENDPOINTS = "vpce.amazonaws.com"
_IP_NAME = re.compile(r"ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})")
_RESOURCE_NAME = re.compile(r"i-[0-9a-f]{8,17}")
_ENDPOINT_NAME = re.compile(r"(vpce-[0-9a-f]{17})(?:-([a-z0-9-]+))?")
_there = Instance.state.in_([literal(state) for state in ("pending", "running", "stopping", "stopped")])

_VPC = Prepared(select(Vpc.region, Vpc.dns_support).where(Vpc.id == bindparam("vpc_id")))
_open = or_(
    and_(Peering.requester_vpc_id == bindparam("vpc_id"), Peering.accepter_dns.is_(True)),
    and_(Peering.accepter_vpc_id == bindparam("vpc_id"), Peering.requester_dns.is_(True)),
)
_PEERS = Prepared(
    select(Peering.requester_vpc_id, Peering.accepter_vpc_id).where(_open, Peering.status == literal("active"))
)
_CARD = Prepared(
    select(NetworkInterface.id, NetworkInterface.instance_id, Instance.hostname_type)
    .join(PrivateAddress, PrivateAddress.interface_id == NetworkInterface.id)
    .outerjoin(Instance, Instance.id == NetworkInterface.instance_id)
    .where(PrivateAddress.address == bindparam("address"), NetworkInterface.vpc_id == bindparam("vpc_id"))
)
_INSTANCE = Prepared(
    select(Instance.private_ip, Instance.dns_a_record, Instance.dns_aaaa_record, Ipv6Address.address.label("ipv6"))
    .outerjoin(NetworkInterface, and_(NetworkInterface.instance_id == Instance.id, NetworkInterface.device_index == 0))
    .outerjoin(Ipv6Address, Ipv6Address.interface_id == NetworkInterface.id)
    .where(Instance.id == bindparam("id"), Instance.vpc_id == bindparam("vpc_id"), _there)
    .order_by(Ipv6Address.is_primary.desc(), Ipv6Address.position, Ipv6Address.address)
    .limit(1)
)
_addresses = (
    select(NetworkInterface.private_ip, NetworkInterface.zone)
    .join(Endpoint, Endpoint.id == NetworkInterface.managed_by)
    .join(EndpointService, EndpointService.id == Endpoint.service_id)
    .where(Endpoint.vpc_id == bindparam("vpc_id"))
    .order_by(NetworkInterface.private_ip)
)
_ENDPOINT = Prepared(_addresses.where(Endpoint.id == bindparam("id")))
_SERVICE = Prepared(
    _addresses.where(Endpoint.private_dns.is_(True), EndpointService.private_dns_name == bindparam("name"))
)


@dataclass(frozen=True)
class Found:
    """The addresses of a name, or the name of an address; ``exists`` though it may have none of the asked kind."""

    addresses: tuple[str, ...] = ()
    addresses6: tuple[str, ...] = ()
    name: str = ""
    exists: bool = True


_NOBODY = Found(exists=False)


class Records:
    """Answer from the database; any number of threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def answer(self, vpc_id: str, query: dns.message.Message) -> dns.message.Message | None:
        """Return the answer to a query, or None for what others have to be asked."""
        if len(query.question) != 1:
            return _failed(query, dns.rcode.FORMERR)
        name = query.question[0].name
        with self._database.read() as db:
            vpc = _VPC.first(db, vpc_id=vpc_id)
            if vpc is None or not vpc.dns_support:
                return _failed(query, dns.rcode.REFUSED)
            found = _look(db, vpc_id, vpc.region, name)
        return None if found is None else _respond(query, found, domain_name(vpc.region))


def _look(db: Session, vpc_id: str, region: str, name: dns.name.Name) -> Found | None:
    text = name.to_text(omit_final_dot=True).lower()
    if text.endswith(".in-addr.arpa"):
        return _reverse(db, vpc_id, region, name)
    if text.endswith(f".{region}.{_ENDPOINTS}"):
        return _endpoint(db, vpc_id, text)
    domain = domain_name(region)
    if text == domain:
        return Found()
    if text.endswith(f".{domain}"):
        return _own(db, vpc_id, text[: -len(domain) - 1])
    rows = _SERVICE.rows(db, vpc_id=vpc_id, name=text)
    return Found(tuple(row.private_ip for row in rows)) if rows else None


def _own(db: Session, vpc_id: str, label: str) -> Found:
    """Look a name up that is inside of the VPC's domain, there and in those peers that let their names be known."""
    for vpc in _visible(db, vpc_id):
        if (numbers := _IP_NAME.fullmatch(label)) is not None:
            address = ".".join(numbers.groups())
            if _CARD.first(db, vpc_id=vpc, address=address) is not None:
                return Found((address,))
        elif _RESOURCE_NAME.fullmatch(label):
            row = _INSTANCE.first(db, vpc_id=vpc, id=label)
            if row is not None:
                six = (row.ipv6,) if row.dns_aaaa_record and row.ipv6 else ()
                return Found((row.private_ip,) if row.dns_a_record else (), six)
    return _NOBODY


def _visible(db: Session, vpc_id: str) -> Iterator[str]:
    yield vpc_id
    for requester, accepter in _PEERS.rows(db, vpc_id=vpc_id):
        yield accepter if requester == vpc_id else requester


def _reverse(db: Session, vpc_id: str, region: str, name: dns.name.Name) -> Found | None:
    try:
        address = dns.reversename.to_address(name)
    except dns.exception.DNSException:
        return None
    for vpc in _visible(db, vpc_id):
        row = _CARD.first(db, vpc_id=vpc, address=address)
        if row is not None:
            resource = row.hostname_type == "resource-name"
            label = row.instance_id if resource else f"ip-{address.replace('.', '-')}"
            return Found(name=f"{label}.{domain_name(region)}.")
    return None


def _endpoint(db: Session, vpc_id: str, text: str) -> Found:
    named = _ENDPOINT_NAME.fullmatch(text.partition(".")[0])
    rows = _ENDPOINT.rows(db, vpc_id=vpc_id, id=named.group(1)) if named else []
    zone = named.group(2) if named else None
    chosen = tuple(row.private_ip for row in rows if zone in (None, row.zone))
    return Found(chosen) if chosen else _NOBODY


# -- messages ------------------------------------------------------------------------


def _respond(query: dns.message.Message, found: Found, domain: str) -> dns.message.Message:
    asked = query.question[0]
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.AA
    texts: dict[Any, tuple[str, ...]] = {
        dns.rdatatype.A: found.addresses,
        dns.rdatatype.AAAA: found.addresses6,
        dns.rdatatype.PTR: (found.name,) if found.name else (),
    }
    values = texts.get(asked.rdtype, ())
    if values:
        answer.answer.append(dns.rrset.from_text(asked.name, TTL, "IN", dns.rdatatype.to_text(asked.rdtype), *values))
        return answer
    if not found.exists:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    soa = f"ns.{domain}. hostmaster.{domain}. 1 3600 900 604800 {TTL}"
    answer.authority.append(dns.rrset.from_text(f"{domain}.", TTL, "IN", "SOA", soa))
    return answer


def _failed(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(code)
    return answer

"""Services that the operator offers inside of VPCs, and what an endpoint holds."""

from collections.abc import Sequence
from ipaddress import ip_network

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine.interfaces import remove_interface, replace_groups
from engine.seed import OPERATOR
from engine.state import (
    Endpoint,
    EndpointGroup,
    EndpointService,
    NetworkInterface,
    PrefixList,
    PrefixListEntry,
    Route,
    Tag,
)


class Unusable(ValueError):
    """A service cannot be as it was asked for; the message says why."""


def add_gateway_service(db: Session, region: str, name: str, cidrs: Sequence[str]) -> EndpointService:
    """Offer what is at these addresses outside, by routes that name a prefix list of the service's name."""
    ranges = _ranges(cidrs)
    owner = {"account": OPERATOR, "region": region}
    listed = PrefixList(
        id=PrefixList.new_id(), **owner, name=name, family="IPv4", max_entries=len(ranges), state="create-complete"
    )
    db.add(listed)
    db.flush()
    db.add_all(PrefixListEntry(prefix_list_id=listed.id, cidr=cidr, added=1) for cidr in ranges)
    return _add(db, region, name, kind="Gateway", targets=ranges, prefix_list_id=listed.id)


def add_interface_service(
    db: Session, region: str, name: str, targets: Sequence[str], ports: Sequence[int], private_name: str = ""
) -> EndpointService:
    """Offer servers (``host:port``) at addresses inside of VPCs, where they are reached at ``ports``."""
    for target in targets:
        host, _, port = target.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise Unusable(f"{target} is not a server: name it as host:port")
    if not targets or not ports or not all(1 <= port <= 65535 for port in ports):
        raise Unusable("a service needs a server and a port")
    listened = ",".join(str(port) for port in sorted(set(ports)))
    return _add(
        db, region, name, kind="Interface", targets=list(targets), ports=listened, private_dns_name=private_name
    )


def _ranges(cidrs: Sequence[str]) -> list[str]:
    try:
        found = sorted({ip_network(cidr) for cidr in cidrs if ":" not in cidr})
    except ValueError as error:
        raise Unusable(str(error)) from None
    if not found or len(found) != len(cidrs):
        raise Unusable("a service needs ranges of IPv4 addresses, each named once")
    return [str(each) for each in found]


def _add(db: Session, region: str, name: str, **columns: object) -> EndpointService:
    if db.scalar(select(EndpointService.id).filter_by(region=region, name=name)):
        raise Unusable(f"there is a service {name} already")
    row = EndpointService(id=EndpointService.new_id(), account=OPERATOR, region=region, name=name, **columns)
    db.add(row)
    db.flush()
    return row


def remove_service(db: Session, service: EndpointService) -> None:
    """Withdraw a service that no endpoint uses. Raise Unusable while one does."""
    used = db.scalars(select(Endpoint.id).filter_by(service_id=service.id).limit(3)).all()
    if used:
        raise Unusable(f"endpoints use it: {', '.join(used)}")
    db.delete(service)
    db.flush()
    if service.prefix_list_id:
        db.execute(delete(PrefixListEntry).where(PrefixListEntry.prefix_list_id == service.prefix_list_id))
        db.execute(delete(PrefixList).where(PrefixList.id == service.prefix_list_id))


def interfaces_of(db: Session, endpoint_id: str) -> list[NetworkInterface]:
    """Return an endpoint's interfaces, as objects to be changed."""
    rows = select(NetworkInterface).filter_by(managed_by=endpoint_id).order_by(NetworkInterface.id)
    return list(db.scalars(rows))


def groups_of(db: Session, endpoint_id: str) -> list[str]:
    """Return the ids of an endpoint's security groups, in the order in which they were named."""
    rows = select(EndpointGroup.group_id).filter_by(endpoint_id=endpoint_id)
    return list(db.scalars(rows.order_by(EndpointGroup.position, EndpointGroup.group_id)))


def put_in_groups(db: Session, endpoint_id: str, group_ids: Sequence[str]) -> None:
    """Put an endpoint, and all interfaces that it has, in these security groups and no others."""
    db.execute(delete(EndpointGroup).where(EndpointGroup.endpoint_id == endpoint_id))
    db.add_all(
        EndpointGroup(endpoint_id=endpoint_id, group_id=id, position=position) for position, id in enumerate(group_ids)
    )
    for interface in interfaces_of(db, endpoint_id):
        replace_groups(db, interface.id, group_ids)


def forget_endpoint(db: Session, endpoint: Endpoint) -> None:
    """Delete an endpoint with its interfaces and routes."""
    for interface in interfaces_of(db, endpoint.id):
        remove_interface(db, interface)
    db.execute(delete(EndpointGroup).where(EndpointGroup.endpoint_id == endpoint.id))
    db.execute(delete(Route).where(Route.target == endpoint.id))
    db.execute(delete(Tag).where(Tag.resource_id == endpoint.id))
    db.delete(endpoint)

"""Where the guests of each VPC find what their network itself serves: metadata, names, and their routers."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from engine.desired import PLUGGED, resolver_address
from engine.drivers.networking import METADATA_ADDRESS, METADATA_ADDRESS_6, RESOLVER_ADDRESS, RESOLVER_ADDRESS_6
from engine.metadata.doors import Place, Places
from engine.state import Instance, NetworkInterface, Subnet, SubnetCidrBlock, Vpc

HTTP, DNS = 80, 53
ROUTER_SOLICITATION = 133
"""What a guest asks all routers of its link for their advertisements with (RFC 4861)."""
_ALL_ROUTERS = "ff02::2"
_HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()


_block = SubnetCidrBlock.subnet_id == Subnet.id
_STATEMENT = (
    select(
        Vpc.id,
        Vpc.cidr,
        Vpc.dns_support,
        exists().where(_block, Subnet.vpc_id == Vpc.id).label("is_dual"),
    )
    .distinct()
    .join(NetworkInterface, NetworkInterface.vpc_id == Vpc.id)
    .join(Instance, Instance.id == NetworkInterface.instance_id)
    .where(Instance.state.in_(PLUGGED))
)


def places_on(db: Session, hosts: Collection[str]) -> dict[str, Places]:
    """Return where to listen on these hosts: in each VPC where an instance there has an interface."""
    return {row.id: frozenset(_places(row)) for row in db.execute(_STATEMENT.where(Instance.host.in_(hosts)))}


def _places(vpc: Any) -> Iterator[Place]:
    dual = bool(vpc.is_dual) and _HAS_IPV6
    yield Place(METADATA_ADDRESS, HTTP)
    if dual:
        yield Place(METADATA_ADDRESS_6, HTTP)
        yield Place(_ALL_ROUTERS, ROUTER_SOLICITATION, "frames")
    if vpc.dns_support:
        for address in (RESOLVER_ADDRESS, resolver_address(vpc.cidr), *([RESOLVER_ADDRESS_6] if dual else [])):
            yield Place(address, DNS, "datagram")
            yield Place(address, DNS)

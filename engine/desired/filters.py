"""What the network ACLs of a VPC's subnets let pass."""

from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from engine.drivers import networking
from engine.network_acls import ANYWHERE, LAST_RULE
from engine.state import NetworkAclAssociation, NetworkAclEntry, Subnet, SubnetCidrBlock
from engine.state.prepared import Prepared

_has_ipv6 = exists().where(SubnetCidrBlock.subnet_id == Subnet.id).correlate(Subnet)
_FILTERS = Prepared(
    select(
        NetworkAclAssociation.subnet_id, NetworkAclEntry.egress, NetworkAclEntry.number, NetworkAclEntry.protocol,
        NetworkAclEntry.action, NetworkAclEntry.cidr, NetworkAclEntry.from_port, NetworkAclEntry.to_port,
        NetworkAclEntry.icmp_type, NetworkAclEntry.icmp_code, _has_ipv6.label("has_ipv6"),
    )
    .join(Subnet, Subnet.id == NetworkAclAssociation.subnet_id)
    .outerjoin(NetworkAclEntry, NetworkAclEntry.acl_id == NetworkAclAssociation.acl_id)
    .where(Subnet.vpc_id == bindparam("id"))
    .order_by(NetworkAclAssociation.subnet_id, NetworkAclEntry.egress, NetworkAclEntry.number)
)  # fmt: skip


def filters(db: Session, vpc_id: str) -> dict[str, tuple[networking.FilterRule, ...]]:
    """Return the lines for each subnet whose ACL does not let everything pass."""
    found = {}
    for subnet, group in groupby(_FILTERS.rows(db, id=vpc_id), key=lambda row: row.subnet_id):
        rows = list(group)
        lines = [row for row in rows if row.number is not None and row.number <= LAST_RULE]
        if not _passes_everything(lines, (4, 6) if rows[0].has_ipv6 else (4,)):
            found[subnet] = tuple(_line(row) for row in lines)
    return found


def _passes_everything(lines: list[Any], versions: tuple[int, ...]) -> bool:
    """Say whether it is as every VPC's default ACL is at first: one line for each direction and IP version."""
    held = {(bool(line.egress), line.cidr) for line in lines}
    plain = all(line.action == "allow" and line.protocol == "-1" for line in lines)
    return plain and {(egress, ANYWHERE[version]) for egress in (True, False) for version in versions} <= held


def _line(row: Any) -> networking.FilterRule:
    icmp = row.protocol in ("1", "58")
    return networking.FilterRule(
        number=row.number,
        direction="out" if row.egress else "in",
        allow=row.action == "allow",
        protocol="all" if row.protocol == "-1" else row.protocol,
        cidr=row.cidr,
        from_port=row.icmp_type if icmp else row.from_port,
        to_port=row.icmp_code if icmp else row.to_port,
    )

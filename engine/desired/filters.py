"""What the network ACLs of a VPC's subnets let pass."""

from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine.drivers import base
from engine.state import NetworkAclAssociation, NetworkAclEntry, Subnet
from engine.state.prepared import Prepared

_LAST_RULE = 32767
_ALL = {"0.0.0.0/0", "::/0"}
_FILTERS = Prepared(
    select(
        NetworkAclAssociation.subnet_id, NetworkAclEntry.egress, NetworkAclEntry.number, NetworkAclEntry.protocol,
        NetworkAclEntry.action, NetworkAclEntry.cidr, NetworkAclEntry.from_port, NetworkAclEntry.to_port,
        NetworkAclEntry.icmp_type, NetworkAclEntry.icmp_code,
    )
    .join(Subnet, Subnet.id == NetworkAclAssociation.subnet_id)
    .outerjoin(NetworkAclEntry, NetworkAclEntry.acl_id == NetworkAclAssociation.acl_id)
    .where(Subnet.vpc_id == bindparam("id"))
    .order_by(NetworkAclAssociation.subnet_id, NetworkAclEntry.egress, NetworkAclEntry.number)
)  # fmt: skip


def filters(db: Session, vpc_id: str) -> dict[str, tuple[base.FilterRule, ...]]:
    """Return the lines for each subnet whose ACL does not let everything pass."""
    found = {}
    for subnet, rows in groupby(_FILTERS.rows(db, id=vpc_id), key=lambda row: row.subnet_id):
        lines = [row for row in rows if row.number is not None and row.number < _LAST_RULE]
        if not _passes_everything(lines):
            found[subnet] = tuple(_line(row) for row in lines)
    return found


def _passes_everything(lines: list[Any]) -> bool:
    """Say whether it is as every VPC's default ACL is at first: one line for each direction and IP version."""
    held = {(bool(line.egress), line.cidr) for line in lines}
    plain = all(line.action == "allow" and line.protocol == "-1" and line.cidr in _ALL for line in lines)
    return plain and {(True, "0.0.0.0/0"), (False, "0.0.0.0/0")} <= held


def _line(row: Any) -> base.FilterRule:
    icmp = row.protocol in ("1", "58")
    return base.FilterRule(
        number=row.number,
        direction="out" if row.egress else "in",
        allow=row.action == "allow",
        protocol="all" if row.protocol == "-1" else row.protocol,
        cidr=row.cidr,
        from_port=row.icmp_type if icmp else row.from_port,
        to_port=row.icmp_code if icmp else row.to_port,
    )

"""Network ACLs made, with the entries that EC2 puts into them."""

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from engine.state import NetworkAcl, NetworkAclEntry, VpcCidrBlock

FIRST_RULE, LAST_RULE = 1, 32766
"""Numbers that users' entries may have."""
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_DENY = {4: 32767, 6: 32768}
"""The entries that deny what no other one decided, by IP version."""
_ALLOW = {4: 100, 6: 101}
"""Those of a default ACL that let everything pass."""


def make_acl(db: Session, owner: dict[str, str], vpc_id: str, is_default: bool = False) -> NetworkAcl:
    """Add an ACL that lets nothing pass, or, as the default one of its VPC, everything.

    ``owner`` is ``{"account": ..., "region": ...}``.
    """
    acl = NetworkAcl(id=NetworkAcl.new_id(), **owner, vpc_id=vpc_id, is_default=is_default)
    db.add(acl)
    db.flush()
    for version in (4, 6) if _has_ipv6(db, vpc_id) else (4,):
        for egress in (False, True):
            db.add(_entry(acl.id, egress, _DENY[version], "deny", version))
            if is_default:
                db.add(_entry(acl.id, egress, _ALLOW[version], "allow", version))
    return acl


def _has_ipv6(db: Session, vpc_id: str) -> bool:
    own = (VpcCidrBlock.vpc_id == vpc_id, VpcCidrBlock.state == "associated")
    return bool(db.scalar(select(exists().where(*own, VpcCidrBlock.cidr.contains(":")))))


def _entry(acl_id: str, egress: bool, number: int, action: str, version: int) -> NetworkAclEntry:
    return NetworkAclEntry(
        acl_id=acl_id, egress=egress, number=number, protocol="-1", action=action, cidr=ANYWHERE[version]
    )


def add_ipv6_entries(db: Session, vpc_id: str) -> None:
    """Have the ACLs of a VPC know IPv6, once it has its first range of it; again is no harm.

    A default ACL lets everything pass by IPv6 too, in each direction in which it does nothing else by IPv4 ("Default
    network ACL" in the VPC user guide).
    """
    for acl in db.scalars(select(NetworkAcl).filter_by(vpc_id=vpc_id)).all():
        entries = db.scalars(select(NetworkAclEntry).filter_by(acl_id=acl.id)).all()
        for egress in (False, True):
            held = {entry.number: entry for entry in entries if entry.egress == egress}
            if _DENY[6] in held:
                continue
            db.add(_entry(acl.id, egress, _DENY[6], "deny", 6))
            if acl.is_default and held.keys() == {_ALLOW[4], _DENY[4]} and _lets_all_pass(held[_ALLOW[4]], 4):
                db.add(_entry(acl.id, egress, _ALLOW[6], "allow", 6))


def _lets_all_pass(entry: NetworkAclEntry, version: int) -> bool:
    return (entry.action, entry.protocol, entry.cidr) == ("allow", "-1", ANYWHERE[version])


def remove_ipv6_entries(db: Session, vpc_id: str) -> None:
    """Take away what ``add_ipv6_entries`` added, once the VPC has no range of IPv6 left; users' own entries stay."""
    acls = select(NetworkAcl.id).where(NetworkAcl.vpc_id == vpc_id)
    own = NetworkAclEntry.acl_id.in_(acls)
    db.execute(delete(NetworkAclEntry).where(own, NetworkAclEntry.number == _DENY[6]))
    defaults = select(NetworkAcl.id).where(NetworkAcl.vpc_id == vpc_id, NetworkAcl.is_default.is_(True))
    for entry in db.scalars(select(NetworkAclEntry).where(NetworkAclEntry.acl_id.in_(defaults))):
        if entry.number == _ALLOW[6] and _lets_all_pass(entry, 6):
            db.delete(entry)

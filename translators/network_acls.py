"""Network ACLs: stateless rules at the edge of subnets, and which subnet is under which."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, exists, func, select

from engine import tasks
from engine.default_vpc import new_id
from engine.network_acls import make_acl
from engine.state import NetworkAcl, NetworkAclAssociation, NetworkAclEntry, Vpc, json_rows
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, refuse
from translators.filters import through
from translators.find import find
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_association = NetworkAclAssociation.acl_id == NetworkAcl.id
_entry = NetworkAclEntry.acl_id == NetworkAcl.id
_associations = json_rows(
    NetworkAclAssociation.id, NetworkAclAssociation.subnet_id, where=_association, order=(NetworkAclAssociation.id,)
)
_entries = json_rows(
    NetworkAclEntry.number, NetworkAclEntry.egress, NetworkAclEntry.protocol, NetworkAclEntry.action,
    NetworkAclEntry.cidr, NetworkAclEntry.from_port, NetworkAclEntry.to_port, NetworkAclEntry.icmp_type,
    NetworkAclEntry.icmp_code,
    where=_entry, order=(NetworkAclEntry.egress.desc(), NetworkAclEntry.number),
)  # fmt: skip

PROTOCOLS = {"all": "-1", "icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
"""Protocols that have names; entries have numbers."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "NetworkAclId": row.id,
        "VpcId": row.vpc_id,
        "OwnerId": row.account,
        "IsDefault": row.is_default,
        "Associations": [
            {"NetworkAclAssociationId": id, "NetworkAclId": row.id, "SubnetId": subnet}
            for id, subnet in json.loads(row.associations)
        ],
        "Entries": [_entry_shape(*entry) for entry in json.loads(row.entries)],
        "Tags": tag_set(row.tags) or [],
    }


def _entry_shape(
    number: int, egress: bool, protocol: str, rule: str, cidr: str, from_port: int | None, to_port: int | None,
    icmp_type: int | None, icmp_code: int | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "RuleNumber": number,
        "Egress": bool(egress),
        "Protocol": protocol,
        "RuleAction": rule,
        "Ipv6CidrBlock" if ":" in cidr else "CidrBlock": cidr,
        "PortRange": None if from_port is None else {"From": from_port, "To": to_port},
        "IcmpTypeCode": None if icmp_type is None else {"Type": icmp_type, "Code": icmp_code},
    }


def _protocol(values: Sequence[str]) -> ColumnElement[bool]:
    return through(NetworkAclEntry.protocol, _entry)([PROTOCOLS.get(value, value) for value in values])


_is_ipv6 = NetworkAclEntry.cidr.contains(":")

NETWORK_ACLS = Listing(
    kind=NetworkAcl,
    columns=(
        NetworkAcl.id, NetworkAcl.account, NetworkAcl.vpc_id, NetworkAcl.is_default,
        _associations.label("associations"), _entries.label("entries"), tags_of(NetworkAcl),
    ),
    shape=_shape,
    filters={
        "association.association-id": through(NetworkAclAssociation.id, _association),
        "association.network-acl-id": through(NetworkAclAssociation.acl_id, _association),
        "association.subnet-id": through(NetworkAclAssociation.subnet_id, _association),
        "default": NetworkAcl.is_default,
        "entry.cidr": through(case((~_is_ipv6, NetworkAclEntry.cidr)), _entry),
        "entry.egress": through(NetworkAclEntry.egress, _entry),
        "entry.icmp.code": through(NetworkAclEntry.icmp_code, _entry),
        "entry.icmp.type": through(NetworkAclEntry.icmp_type, _entry),
        "entry.ipv6-cidr": through(case((_is_ipv6, NetworkAclEntry.cidr)), _entry),
        "entry.port-range.from": through(NetworkAclEntry.from_port, _entry),
        "entry.port-range.to": through(NetworkAclEntry.to_port, _entry),
        "entry.protocol": _protocol,
        "entry.rule-action": through(NetworkAclEntry.action, _entry),
        "entry.rule-number": through(NetworkAclEntry.number, _entry),
        "network-acl-id": NetworkAcl.id,
        "owner-id": NetworkAcl.account,
        "vpc-id": NetworkAcl.vpc_id,
    },
)  # fmt: skip


@action
def describe_network_acls(
    call: Call,
    *,
    network_acl_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, NETWORK_ACLS, network_acl_ids, filters, max_results, next_token)
    return {"NetworkAcls": found, "NextToken": token}


@action
def create_network_acl(call: Call, *, vpc_id: str, tag_specifications: list[dict[str, Any]] | None = None) -> Result:
    """Make an ACL that lets nothing pass and that no subnet is under yet."""
    vpc = find(call, Vpc, vpc_id)
    held = call.db.scalar(select(func.count()).where(NetworkAcl.vpc_id == vpc.id)) or 0
    check_quota(call, "network ACLs per VPC", held + 1)
    acl = make_acl(call.db, call.owner, vpc.id)
    tags.put_at_creation(call, tag_specifications, {"network-acl": [acl.id]})
    return {"NetworkAcl": rows_of(call, NETWORK_ACLS, [acl.id])[0], "ClientToken": call.client_token or None}


@action
def delete_network_acl(call: Call, *, network_acl_id: str) -> Result:
    acl = find(call, NetworkAcl, network_acl_id)
    if acl.is_default:
        refuse("InvalidParameterValue", f"cannot delete default network ACL {acl.id}")
    if call.db.scalar(select(exists().where(NetworkAclAssociation.acl_id == acl.id))):
        refuse("DependencyViolation", f"The networkAcl '{acl.id}' has dependencies and cannot be deleted.")
    call.db.execute(delete(NetworkAclEntry).where(NetworkAclEntry.acl_id == acl.id))
    tags.forget(call, acl.id)
    call.db.delete(acl)
    return {}


@action
def replace_network_acl_association(call: Call, *, association_id: str, network_acl_id: str) -> Result:
    """Put a subnet under another ACL of its VPC: the association gets a new id."""
    association, vpc_id = _find_association(call, association_id)
    acl = find(call, NetworkAcl, network_acl_id)
    if acl.vpc_id != vpc_id:
        text = f"network ACL {acl.id} and subnet {association.subnet_id} belong to different networks"
        refuse("InvalidParameterValue", text)
    association.id, association.acl_id = new_id("aclassoc"), acl.id
    tasks.start(call.db, vpc_id, "sync_network", call.region)
    return {"NewAssociationId": association.id}


def _find_association(call: Call, id: str) -> tuple[NetworkAclAssociation, str]:
    """Return the caller's association, which belongs to whom its ACL does, and its VPC's id."""
    own = (NetworkAcl.account == call.account, NetworkAcl.region == call.region)
    found = call.db.execute(
        select(NetworkAclAssociation, NetworkAcl.vpc_id)
        .join(NetworkAcl, _association)
        .where(NetworkAclAssociation.id == id, *own)
        .with_for_update()
    ).first()
    if found is None:
        raise Ec2Error("InvalidAssociationID.NotFound", f"The association ID '{id}' does not exist")
    return found[0], found[1]

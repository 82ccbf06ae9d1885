"""Network ACLs, as they are: every VPC's own, which lets everything pass."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement

from engine.state import NetworkAcl, NetworkAclAssociation, NetworkAclEntry, json_rows
from translators.describe import Listing, describe, tag_set, tags_of
from translators.filters import constant, through
from translators.registry import Call, Result, action

_association = NetworkAclAssociation.acl_id == NetworkAcl.id
_entry = NetworkAclEntry.acl_id == NetworkAcl.id
_associations = json_rows(
    NetworkAclAssociation.id, NetworkAclAssociation.subnet_id, where=_association, order=(NetworkAclAssociation.id,)
)
_entries = json_rows(
    NetworkAclEntry.number, NetworkAclEntry.egress, NetworkAclEntry.protocol, NetworkAclEntry.action,
    NetworkAclEntry.cidr,
    where=_entry, order=(NetworkAclEntry.egress.desc(), NetworkAclEntry.number),
)  # fmt: skip

_NUMBERS = {"icmp": "1", "tcp": "6", "udp": "17"}
"""What the entry.protocol filter knows by name; entries have numbers."""


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
        "Entries": [
            {"RuleNumber": number, "Egress": bool(egress), "Protocol": protocol, "RuleAction": rule, "CidrBlock": cidr}
            for number, egress, protocol, rule, cidr in json.loads(row.entries)
        ],
        "Tags": tag_set(row.tags) or [],
    }


def _protocol(values: Sequence[str]) -> ColumnElement[bool]:
    return through(NetworkAclEntry.protocol, _entry)([_NUMBERS.get(value, value) for value in values])


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
        "entry.cidr": through(NetworkAclEntry.cidr, _entry),
        "entry.egress": through(NetworkAclEntry.egress, _entry),
        "entry.icmp.code": constant(""),
        "entry.icmp.type": constant(""),
        "entry.ipv6-cidr": constant(""),
        "entry.port-range.from": constant(""),
        "entry.port-range.to": constant(""),
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

"""DHCP options: what the guests of a VPC are told besides their addresses."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, cast, exists, select

from engine import tasks
from engine.state import DhcpOptions, Vpc
from engine.state.json_values import has_key, has_value
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.dhcp_values import read
from translators.errors import Ec2Error, refuse
from translators.filters import matches
from translators.find import find
from translators.registry import Call, Result, action

NO_OPTIONS = "default"
"""What a request calls having no options at all, and the ``dhcp_options_id`` of a VPC that has none."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "DhcpOptionsId": row.id,
        "OwnerId": row.account,
        "DhcpConfigurations": [
            {"Key": key, "Values": [{"Value": value} for value in values]}
            for key, values in json.loads(row.options).items()
        ],
        "Tags": tag_set(row.tags) or [],
    }


def _key(values: Sequence[str]) -> ColumnElement[bool]:
    return has_key(DhcpOptions.options, lambda key: matches(key, values))


def _value(values: Sequence[str]) -> ColumnElement[bool]:
    return has_value(DhcpOptions.options, lambda value: matches(value, values))


DHCP_OPTIONS = Listing(
    kind=DhcpOptions,
    columns=(
        DhcpOptions.id, DhcpOptions.account, cast(DhcpOptions.options, String).label("options"), tags_of(DhcpOptions)
    ),
    shape=_shape,
    filters={
        "dhcp-options-id": DhcpOptions.id,
        "key": _key,
        "owner-id": DhcpOptions.account,
        "value": _value,
    },
)  # fmt: skip


@action
def describe_dhcp_options(
    call: Call,
    *,
    dhcp_options_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, DHCP_OPTIONS, dhcp_options_ids, filters, max_results, next_token)
    return {"DhcpOptions": found, "NextToken": token}


@action
def create_dhcp_options(
    call: Call,
    *,
    dhcp_configurations: list[Mapping[str, Any]],
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    options = DhcpOptions(id=DhcpOptions.new_id(), **call.owner, options=read(dhcp_configurations))
    call.db.add(options)
    tags.put_at_creation(call, tag_specifications, {"dhcp-options": [options.id]})
    return {"DhcpOptions": rows_of(call, DHCP_OPTIONS, [options.id])[0]}


@action
def associate_dhcp_options(call: Call, *, dhcp_options_id: str, vpc_id: str) -> Result:
    """Give a VPC other options; its guests learn of them when they renew their leases."""
    vpc = find(call, Vpc, vpc_id)
    wanted = NO_OPTIONS if dhcp_options_id == NO_OPTIONS else find(call, DhcpOptions, dhcp_options_id).id
    vpc.dhcp_options_id = wanted
    tasks.start(call.db, vpc.id, "sync_network", call.region)
    return {}


@action
def delete_dhcp_options(call: Call, *, dhcp_options_id: str) -> Result:
    own = select(DhcpOptions).filter_by(**call.owner, id=dhcp_options_id)
    options = call.db.scalar(own.with_for_update())
    if options is None:
        # Spelt differently here than in a describe: see the list of error codes.
        text = f"The dhcpOptions ID '{dhcp_options_id}' does not exist"
        raise Ec2Error("InvalidDhcpOptionsID.NotFound", text)
    if call.db.scalar(select(exists().where(Vpc.dhcp_options_id == options.id))):
        refuse("DependencyViolation", f"The dhcpOptions '{options.id}' has dependencies and cannot be deleted.")
    tags.forget(call, options.id)
    call.db.delete(options)
    return {}

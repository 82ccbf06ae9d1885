"""DHCP options: what guests are told of names; so far only the set that every region comes with."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_

from engine.desired import domain_name
from engine.state import DhcpOptions
from translators.describe import Listing, describe, tag_set, tags_of
from translators.filters import constant, matches
from translators.host_names import domain_name_of
from translators.registry import Call, Result, action

_SERVERS = "AmazonProvidedDNS"


def _shape(row: Any) -> dict[str, Any]:
    told = {"domain-name": domain_name(row.region), "domain-name-servers": _SERVERS}
    return {
        "DhcpOptionsId": row.id,
        "OwnerId": row.account,
        "DhcpConfigurations": [{"Key": key, "Values": [{"Value": value}]} for key, value in told.items()],
        "Tags": tag_set(row.tags) or [],
    }


def _key(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(constant("domain-name")(values), constant("domain-name-servers")(values))


def _value(values: Sequence[str]) -> ColumnElement[bool]:
    return or_(matches(domain_name_of(DhcpOptions.region), values), constant(_SERVERS)(values))


DHCP_OPTIONS = Listing(
    kind=DhcpOptions,
    columns=(DhcpOptions.id, DhcpOptions.account, DhcpOptions.region, tags_of(DhcpOptions)),
    shape=_shape,
    filters={
        "dhcp-options-id": DhcpOptions.id,
        "key": _key,
        "owner-id": DhcpOptions.account,
        "value": _value,
    },
)


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

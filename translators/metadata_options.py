"""An instance's metadata options: how, and whether, it may ask the metadata service."""

from collections.abc import Mapping
from typing import Any

from engine.state import Instance
from translators.errors import invalid, refuse
from translators.find import find
from translators.instance_listing import metadata_options as structure
from translators.registry import Call, Result, action

_COLUMNS = {
    "HttpTokens": "http_tokens",
    "HttpPutResponseHopLimit": "http_hop_limit",
    "HttpEndpoint": "http_endpoint",
    "HttpProtocolIpv6": "http_ipv6",
    "InstanceMetadataTags": "metadata_tags",
}


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that the options stand for."""
    hops = given.get("HttpPutResponseHopLimit")
    if hops is not None and not 1 <= hops <= 64:
        raise invalid("HttpPutResponseHopLimit", hops, "Expecting a value from 1 to 64.")
    return {column: given[name] for name, column in _COLUMNS.items() if given.get(name) is not None}


@action
def modify_instance_metadata_options(
    call: Call,
    *,
    instance_id: str,
    http_tokens: str | None = None,
    http_put_response_hop_limit: int | None = None,
    http_endpoint: str | None = None,
    http_protocol_ipv6: str | None = None,
    instance_metadata_tags: str | None = None,
) -> Result:
    instance = find(call, Instance, instance_id)
    if instance.state not in ("pending", "running", "stopping", "stopped"):
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in a state in which it can be modified.")
    given = {
        "HttpTokens": http_tokens,
        "HttpPutResponseHopLimit": http_put_response_hop_limit,
        "HttpEndpoint": http_endpoint,
        "HttpProtocolIpv6": http_protocol_ipv6,
        "InstanceMetadataTags": instance_metadata_tags,
    }
    for column, value in checked_options(given).items():
        setattr(instance, column, value)
    return {"InstanceId": instance_id, "InstanceMetadataOptions": structure(instance)}

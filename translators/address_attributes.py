"""What an Elastic IP address could have besides its number: a domain name, if reverse DNS were served, or a past."""

from typing import Any

from translators.addresses import ADDRESSES, find_address, public_ips_to_ids
from translators.describe import describe
from translators.errors import Ec2Error, missing, refuse, unsupported
from translators.filters import select_in_memory
from translators.registry import Call, Result, action


@action
def describe_addresses_attribute(
    call: Call,
    *,
    allocation_ids: list[str] | None = None,
    attribute: str | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Only addresses that have the attribute are listed, and none has a domain name."""
    _check_token(next_token)
    if allocation_ids:
        describe(call, ADDRESSES, allocation_ids)
    return {"Addresses": []}


def _check_token(token: str | None) -> None:
    """Refuse every token: what is always empty has no second page."""
    if token:
        raise Ec2Error("InvalidNextToken", "The token is not valid for this request.")


@action
def modify_address_attribute(call: Call, *, allocation_id: str, domain_name: str | None = None) -> Result:
    find_address(call, allocation_id, None)
    if not domain_name:
        raise missing("domainName")
    raise unsupported("DomainName", "No reverse DNS is served: addresses have no domain name.")


@action
def reset_address_attribute(call: Call, *, allocation_id: str, attribute: str) -> Result:
    find_address(call, allocation_id, None)
    raise unsupported("Attribute", "No reverse DNS is served: addresses have no domain name.")


@action
def move_address_to_vpc(call: Call, *, public_ip: str) -> Result:
    find_address(call, None, public_ip)
    refuse("UnsupportedOperation", f"The address '{public_ip}' is for use in a VPC already: there is no EC2-Classic.")


@action
def restore_address_to_classic(call: Call, *, public_ip: str) -> Result:
    find_address(call, None, public_ip)
    refuse("UnsupportedOperation", f"The address '{public_ip}' is one for use in a VPC: there is no EC2-Classic.")


@action
def describe_moving_addresses(
    call: Call,
    *,
    public_ips: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Nothing ever moves from or to EC2-Classic."""
    _check_token(next_token)
    public_ips_to_ids(call, public_ips or ())
    return {"MovingAddressStatuses": select_in_memory([], {"moving-status": str}, filters)}

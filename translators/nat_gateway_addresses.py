"""Addresses of a NAT gateway besides its primary one: more of them, for more connections to one place, or fewer."""

from collections.abc import Sequence
from typing import Any

from engine import tasks
from engine.addresses import Exhausted
from engine.nat_gateways import CHANGING, Wanted, add_addresses, addresses_of
from engine.state import NatGateway, NatGatewayAddress, Subnet
from translators.errors import Ec2Error, invalid, missing, not_found, refuse
from translators.find import find
from translators.nat_gateways import address_shape, check_wanted, find_elastic, match_private_ips
from translators.registry import Call, Result, action

_DRAIN_SECONDS = 350
"""EC2's default of MaxDrainDurationSeconds."""


@action
def associate_nat_gateway_address(
    call: Call, *, nat_gateway_id: str, allocation_ids: list[str], private_ip_addresses: list[str] | None = None
) -> Result:
    gateway, held = _changeable(call, nat_gateway_id, "public")
    elastic = find_elastic(call, allocation_ids)
    private = match_private_ips(private_ip_addresses or [], len(elastic), bool(private_ip_addresses))
    for address in elastic:
        if address.association_id:
            refuse("Resource.AlreadyAssociated", f"Elastic IP address {address.id} is already associated")
    wanted = [Wanted(*pair) for pair in zip(private, elastic, strict=True)]
    return _add(call, gateway, wanted, len(held), "associating")


@action
def assign_private_nat_gateway_address(
    call: Call,
    *,
    nat_gateway_id: str,
    private_ip_addresses: list[str] | None = None,
    private_ip_address_count: int | None = None,
) -> Result:
    if private_ip_addresses and private_ip_address_count is not None:
        refuse("InvalidParameter", "PrivateIpAddresses and PrivateIpAddressCount cannot be used together.")
    if not private_ip_addresses and private_ip_address_count is None:
        raise missing("privateIpAddressCount")
    gateway, held = _changeable(call, nat_gateway_id, "private")
    wanted = [Wanted(text) for text in private_ip_addresses or [""] * (private_ip_address_count or 0)]
    return _add(call, gateway, wanted, len(held), "assigning")


@action
def disassociate_nat_gateway_address(
    call: Call,
    *,
    nat_gateway_id: str,
    association_ids: list[str],
    max_drain_duration_seconds: int = _DRAIN_SECONDS,
) -> Result:
    gateway, held = _changeable(call, nat_gateway_id, "public")
    known = {address.association_id: address for address in held}
    for id in association_ids:
        if id not in known:
            raise Ec2Error("InvalidAssociationID.NotFound", f"The association ID '{id}' does not exist")
    named = [known[id] for id in dict.fromkeys(association_ids)]
    return _drain(call, gateway, named, max_drain_duration_seconds, "disassociating")


@action
def unassign_private_nat_gateway_address(
    call: Call,
    *,
    nat_gateway_id: str,
    private_ip_addresses: list[str],
    max_drain_duration_seconds: int = _DRAIN_SECONDS,
) -> Result:
    gateway, held = _changeable(call, nat_gateway_id, "private")
    known = {address.private_ip: address for address in held}
    for text in private_ip_addresses:
        if text not in known:
            raise invalid("privateIpAddress", text, f"It is not assigned to the NAT gateway {gateway.id}.")
    named = [known[text] for text in dict.fromkeys(private_ip_addresses)]
    return _drain(call, gateway, named, max_drain_duration_seconds, "unassigning")


def _changeable(call: Call, id: str, connectivity: str) -> tuple[NatGateway, list[NatGatewayAddress]]:
    """Return a gateway and its addresses if these can be changed now: one change at a time."""
    gateway = find(call, NatGateway, id)
    if gateway.state == "deleted":
        raise not_found(NatGateway, id)
    if gateway.connectivity != connectivity:
        refuse("InvalidParameter", f"{id} is a {gateway.connectivity} NAT gateway, not a {connectivity} one.")
    if gateway.state != "available":
        refuse("IncorrectState", f"The NAT gateway {id} is {gateway.state}, not available.")
    held = addresses_of(call.db, id)
    for status in CHANGING:
        busy = [str(address.allocation_id or address.private_ip) for address in held if address.status == status]
        if busy:
            what = "EIPs" if connectivity == "public" else "private IPs"
            refuse(
                "OperationInProgress",
                f"Service is currently {status.upper()} the following {what}: [{', '.join(busy)}].",
            )
    return gateway, held


def _add(call: Call, gateway: NatGateway, wanted: Sequence[Wanted], held: int, status: str) -> Result:
    subnet = find(call, Subnet, gateway.subnet_id)
    check_wanted(call, subnet, wanted, held)
    try:
        added = add_addresses(call.db, gateway, subnet, wanted, status)
    except Exhausted:
        text = "The specified subnet does not have enough free addresses to satisfy the request."
        raise Ec2Error("InsufficientFreeAddressesInSubnet", text) from None
    tasks.start(call.db, gateway.id, "sync_nat_gateway", call.region)
    return _answer(gateway, added)


def _drain(
    call: Call, gateway: NatGateway, addresses: Sequence[NatGatewayAddress], seconds: int, status: str
) -> Result:
    if any(address.position == 0 for address in addresses):
        refuse("InvalidParameter", "The primary address of a NAT gateway cannot be taken from it.")
    gateway.drain_seconds = seconds
    for address in addresses:
        address.status = status
    tasks.start(call.db, gateway.id, "drain_nat_gateway", call.region)
    return _answer(gateway, addresses)


def _answer(gateway: NatGateway, addresses: Sequence[NatGatewayAddress]) -> dict[str, Any]:
    shapes = [
        address_shape(
            gateway.interface_id, None, one.private_ip, one.allocation_id, one.public_ip, one.association_id,
            one.status, one.position,
        )
        for one in addresses
    ]  # fmt: skip
    return {"NatGatewayId": gateway.id, "NatGatewayAddresses": shapes}

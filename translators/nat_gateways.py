"""NAT gateways: a way out for subnets that nobody shall come in to."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, func, select

from engine import tasks
from engine.addresses import Exhausted
from engine.nat_gateways import Wanted, add_addresses, note_address
from engine.state import (
    Address,
    InternetGateway,
    NatGateway,
    NatGatewayAddress,
    PrivateAddress,
    Subnet,
    Vpc,
    json_rows,
)
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import missing, not_found, refuse, unsupported
from translators.find import find
from translators.interface_addresses import check_private_ip
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_addresses = json_rows(
    NatGatewayAddress.private_ip, NatGatewayAddress.allocation_id, NatGatewayAddress.public_ip,
    NatGatewayAddress.association_id, NatGatewayAddress.status, NatGatewayAddress.position,
    where=NatGatewayAddress.nat_gateway_id == NatGateway.id, order=(NatGatewayAddress.position,),
)  # fmt: skip


def _shape(row: Any) -> dict[str, Any]:
    failed = row.state == "failed"
    return {
        "NatGatewayId": row.id,
        "VpcId": row.vpc_id,
        "SubnetId": row.subnet_id,
        "ConnectivityType": row.connectivity,
        "AvailabilityMode": "zonal",
        "State": row.state,
        "CreateTime": row.created,
        "DeleteTime": row.ended if row.state == "deleted" else None,
        "FailureCode": row.failure_code if failed else None,
        "FailureMessage": row.failure if failed else None,
        "NatGatewayAddresses": [
            address_shape(row.interface_id, row.failure if failed else None, *address)
            for address in json.loads(row.addresses)
        ],
        "Tags": tag_set(row.tags),
    }


def address_shape(
    interface_id: str | None, failure: str | None, private_ip: str | None, allocation_id: str | None,
    public_ip: str | None, association_id: str | None, status: str, position: int,
) -> dict[str, Any]:  # fmt: skip
    """Return an address as the gateway's description has it: a private gateway's has nothing of a public one."""
    return {
        "AllocationId": allocation_id,
        "AssociationId": association_id,
        "NetworkInterfaceId": interface_id,
        "PrivateIp": private_ip,
        "PublicIp": public_ip,
        "IsPrimary": position == 0,
        "Status": status,
        "FailureMessage": failure,
    }


NAT_GATEWAYS = Listing(
    kind=NatGateway,
    columns=(
        NatGateway.id, NatGateway.vpc_id, NatGateway.subnet_id, NatGateway.connectivity, NatGateway.state,
        NatGateway.created, NatGateway.ended, NatGateway.interface_id, NatGateway.failure_code, NatGateway.failure,
        _addresses.label("addresses"), tags_of(NatGateway),
    ),
    shape=_shape,
    filters={
        "nat-gateway-id": NatGateway.id,
        "state": NatGateway.state,
        "subnet-id": NatGateway.subnet_id,
        "vpc-id": NatGateway.vpc_id,
    },
)  # fmt: skip


@action
def describe_nat_gateways(
    call: Call,
    *,
    nat_gateway_ids: list[str] | None = None,
    filter: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, NAT_GATEWAYS, nat_gateway_ids, filter, max_results, next_token)
    return {"NatGateways": found, "NextToken": token}


@action
def create_nat_gateway(
    call: Call,
    *,
    subnet_id: str | None = None,
    allocation_id: str | None = None,
    connectivity_type: str = "public",
    private_ip_address: str | None = None,
    secondary_allocation_ids: list[str] | None = None,
    secondary_private_ip_addresses: list[str] | None = None,
    secondary_private_ip_address_count: int | None = None,
    availability_mode: str = "zonal",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Answer with a pending gateway; what EC2 finds out only then makes it fail: a missing way out, a full subnet."""
    if availability_mode != "zonal":
        raise unsupported("AvailabilityMode", "A NAT gateway is in one zone here.")
    if not subnet_id:
        raise missing("subnetId")
    private = _private_ips(private_ip_address, secondary_private_ip_addresses, secondary_private_ip_address_count)
    elastic: Sequence[Address | None]
    if connectivity_type == "public":
        if not allocation_id:
            raise missing("allocationId")
        if secondary_private_ip_address_count is not None:
            refuse("InvalidParameter", "SecondaryPrivateIpAddressCount is for private NAT gateways only.")
        elastic = find_elastic(call, [allocation_id, *(secondary_allocation_ids or ())])
        private = match_private_ips(private, len(elastic), bool(secondary_private_ip_addresses))
    else:
        if allocation_id or secondary_allocation_ids:
            refuse("InvalidParameter", "A private NAT gateway cannot have an Elastic IP address.")
        elastic = [None] * len(private)
    wanted = [Wanted(*pair) for pair in zip(private, elastic, strict=True)]
    subnet = find(call, Subnet, subnet_id)
    if not subnet.cidr:
        refuse("InvalidSubnet", f"The subnet '{subnet_id}' has no IPv4 addresses.")
    check_wanted(call, subnet, wanted)
    _check_zone(call, subnet)
    gateway = _make(call, subnet, connectivity_type, wanted)
    tags.put_at_creation(call, tag_specifications, {"natgateway": [gateway.id]})
    tasks.start(call.db, gateway.id, "create_nat_gateway", call.region, new=True)
    return {"NatGateway": rows_of(call, NAT_GATEWAYS, [gateway.id])[0], "ClientToken": call.client_token or None}


def _private_ips(primary: str | None, secondary: Sequence[str] | None, count: int | None) -> list[str]:
    """Return the private addresses that a request wants, the primary one first; empty is a free one."""
    if secondary and count is not None:
        text = "SecondaryPrivateIpAddresses and SecondaryPrivateIpAddressCount cannot be used together."
        refuse("InvalidParameter", text)
    return [primary or "", *(secondary or [""] * (count or 0))]


def match_private_ips(private: list[str], count: int, named: bool) -> list[str]:
    """Return a private address for each of ``count`` Elastic IPs; ``named`` is whether the request names each."""
    if named and len(private) != count:
        refuse("InvalidParameter", "Each Elastic IP address needs a private IP address of its own.")
    return private + [""] * (count - len(private))


def find_elastic(call: Call, ids: Sequence[str]) -> list[Address]:
    """Return the caller's Elastic IP addresses in this order, locked until the call ends."""
    if len(set(ids)) != len(ids):
        refuse("InvalidParameter", "An Elastic IP address can be associated only once.")
    own = select(Address).filter_by(**call.owner, elastic=True).where(Address.id.in_(ids)).order_by(Address.id)
    found = {address.id: address for address in call.db.scalars(own.with_for_update())}
    for id in ids:
        if id not in found:
            refuse("InvalidElasticIpID.NotFound", f"The elasticIp ID '{id}' does not exist")
    return [found[id] for id in ids]


def check_wanted(call: Call, subnet: Subnet, wanted: Sequence[Wanted], held: int = 0) -> None:
    """Refuse addresses that cannot be, or more than a gateway that has ``held`` may have."""
    named = [one.private_ip for one in wanted if one.private_ip]
    for text in named:
        check_private_ip(subnet, text)
    if len(set(named)) != len(named):
        refuse("InvalidParameter", "A private IP address can be assigned only once.")
    taken = select(PrivateAddress.address).where(PrivateAddress.subnet_id == subnet.id)
    for address in call.db.scalars(taken.where(PrivateAddress.address.in_(named)).limit(1)):
        refuse("InvalidIPAddress.InUse", f"Address {address} is in use.")
    if any(one.elastic for one in wanted):
        check_quota(call, "elastic IPs per NAT gateway", held + len(wanted))
    check_quota(call, "private addresses per NAT gateway", held + len(wanted))


def _check_zone(call: Call, subnet: Subnet) -> None:
    counted = select(func.count()).select_from(NatGateway).join(Subnet, Subnet.id == NatGateway.subnet_id)
    mine = counted.where(NatGateway.account == call.account, Subnet.zone == subnet.zone)
    held = call.db.scalar(mine.where(NatGateway.state.in_(("pending", "available", "deleting"))))
    check_quota(call, "NAT gateways per zone", 1 + (held or 0))


def _make(call: Call, subnet: Subnet, connectivity: str, wanted: Sequence[Wanted]) -> NatGateway:
    """Add a gateway with its addresses, or with the reason for which it is going to fail."""
    gateway = NatGateway(
        id=NatGateway.new_id(), **call.owner, vpc_id=subnet.vpc_id, subnet_id=subnet.id, connectivity=connectivity
    )
    call.db.add(gateway)
    call.db.flush()
    status = "associating" if connectivity == "public" else "assigning"
    failure = _why_not(call, gateway, wanted)
    if failure is None:
        try:
            with call.db.begin_nested():
                add_addresses(call.db, gateway, subnet, wanted, status)
            return gateway
        except Exhausted:
            call.db.refresh(gateway)
            failure = (
                "InsufficientFreeAddressesInSubnet",
                "Subnet has insufficient free addresses to create this NAT gateway",
            )
    gateway.failure_code, gateway.failure = failure
    for position, one in enumerate(wanted):
        note_address(call.db, gateway, position, one.elastic, status)
    return gateway


def _why_not(call: Call, gateway: NatGateway, wanted: Sequence[Wanted]) -> tuple[str, str] | None:
    """Return the code and the message with which a gateway is going to fail. The VPC's way out is held meanwhile."""
    find(call, Vpc, gateway.vpc_id)
    way_out = exists().where(InternetGateway.vpc_id == gateway.vpc_id)
    if gateway.connectivity == "public" and not call.db.scalar(select(way_out)):
        return "Gateway.NotAttached", f"Network {gateway.vpc_id} has no Internet gateway attached"
    for address in (one.elastic for one in wanted):
        if address and address.association_id:
            return "Resource.AlreadyAssociated", f"Elastic IP address {address.id} is already associated"
    return None


@action
def delete_nat_gateway(call: Call, *, nat_gateway_id: str) -> Result:
    """Begin to delete a gateway. Its routes stay and lead nowhere."""
    gateway = find(call, NatGateway, nat_gateway_id)
    if gateway.state == "deleted":
        raise not_found(NatGateway, nat_gateway_id)
    if gateway.state != "deleting":
        gateway.state = "deleting"
        tasks.start(call.db, gateway.id, "delete_nat_gateway", call.region)
    return {"NatGatewayId": gateway.id}

"""VPC endpoints: made, changed and deleted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from engine import tasks
from engine.addresses import Exhausted
from engine.endpoints import forget_endpoint, groups_of, interfaces_of, put_in_groups
from engine.interfaces import remove_interface
from engine.state import Endpoint, EndpointService, NetworkInterface, Route, RouteTable, Subnet, Vpc
from engine.uplinks import settle_uplink
from translators import tags
from translators.describe import rows_of
from translators.endpoint_services import ALLOW_ALL, DEFAULT_POLICY, service_named
from translators.endpoints import ENDPOINTS
from translators.errors import Ec2Error, invalid, not_found, refuse, unsupported
from translators.find import find, find_all
from translators.interface_changes import groups_in, new_interface
from translators.registry import Call, Result, action
from translators.vpc_ranges import check_external


@action
def create_vpc_endpoint(
    call: Call,
    *,
    vpc_id: str,
    service_name: str | None = None,
    vpc_endpoint_type: str = "Gateway",
    policy_document: str | None = None,
    route_table_ids: list[str] | None = None,
    subnet_ids: list[str] | None = None,
    security_group_ids: list[str] | None = None,
    private_dns_enabled: bool | None = None,
    ip_address_type: str = "ipv4",
    dns_options: dict[str, Any] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make an endpoint for one of the operator's services: routes for a Gateway, interfaces for an Interface."""
    vpc, service = find(call, Vpc, vpc_id), service_named(call, service_name or "")
    if service.kind != vpc_endpoint_type:
        text = f"The Vpc Endpoint Service '{service.name}' does not support the type {vpc_endpoint_type}."
        raise Ec2Error("InvalidParameter", text)
    _check_addresses(ip_address_type, dns_options)
    endpoint = Endpoint(
        id=Endpoint.new_id(), **call.owner, vpc_id=vpc.id, service_id=service.id, kind=service.kind,
        policy=_policy(policy_document), private_dns=_private_dns(call, vpc, service, private_dns_enabled),
    )  # fmt: skip
    call.db.add(endpoint)
    call.db.flush()
    if service.kind == "Gateway":
        _refuse_for_gateway(subnet_ids=subnet_ids, security_group_ids=security_group_ids)
        _open_gateway(call, vpc, endpoint, service, route_table_ids or [])
    else:
        if route_table_ids:
            raise invalid("routeTableIds", route_table_ids, "An interface endpoint has no route tables.")
        groups = groups_in(call, vpc.id, security_group_ids or (), f"VPC {vpc.id}")
        put_in_groups(call.db, endpoint.id, groups)
        _plug(call, vpc, endpoint, find_all(call, Subnet, subnet_ids or []), groups)
        tasks.start(call.db, endpoint.id, "create_endpoint", call.region, new=True)
    tags.put_at_creation(call, tag_specifications, {"vpc-endpoint": [endpoint.id]})
    return {"VpcEndpoint": rows_of(call, ENDPOINTS, [endpoint.id])[0], "ClientToken": call.client_token or None}


def _check_addresses(ip_address_type: str, dns_options: Mapping[str, Any] | None) -> None:
    if ip_address_type != "ipv4":
        raise unsupported("IpAddressType", "Services are reached by IPv4 only.")
    for name, value in (dns_options or {}).items():
        if (name, value) not in (
            ("DnsRecordIpType", "ipv4"),
            ("PrivateDnsOnlyForInboundResolverEndpoint", False),
        ):
            raise unsupported(f"DnsOptions.{name}")


def _policy(text: str | None) -> str:
    """Return a policy as it was given. Nothing here looks into requests to a service, so only one can be true."""
    if not text:
        return DEFAULT_POLICY
    try:
        statements = json.loads(text)["Statement"]
        listed = statements if isinstance(statements, list) else [statements]
        given = [{name: value for name, value in each.items() if name != "Sid"} for each in listed]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Ec2Error("InvalidPolicyDocument", "The specified policy document is not valid.") from None
    if given != [ALLOW_ALL]:
        raise unsupported("PolicyDocument", "Only the policy that allows everything is honoured.")
    return text


def _private_dns(call: Call, vpc: Vpc, service: EndpointService, asked: bool | None) -> bool:
    """Say whether the service's own name leads to the endpoint: as asked for, else wherever it can."""
    possible = bool(service.private_dns_name) and vpc.dns_support and vpc.dns_hostnames
    if not asked:
        return possible and asked is None and not _conflicting(call, vpc, service)
    text = "private-dns-enabled cannot be set because "
    if service.kind == "Gateway" or not service.private_dns_name:
        refuse("InvalidParameter", f"{text}the service {service.name} does not provide a private DNS name.")
    if not possible:
        text = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true"
        refuse("InvalidParameter", f"{text} for {vpc.id}")
    if _conflicting(call, vpc, service):
        why = f"there is already a conflicting DNS domain for {service.private_dns_name} in the VPC {vpc.id}"
        refuse("InvalidParameter", f"{text}{why}")
    return True


def _conflicting(call: Call, vpc: Vpc, service: EndpointService) -> bool:
    others = (
        select(Endpoint.id)
        .join(EndpointService, EndpointService.id == Endpoint.service_id)
        .where(
            Endpoint.vpc_id == vpc.id,
            Endpoint.private_dns.is_(True),
            EndpointService.private_dns_name == service.private_dns_name,
        )
    )
    return call.db.scalar(others.limit(1)) is not None


# -- gateways ----------------------------------------------------------------------


def _refuse_for_gateway(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise Ec2Error("InvalidParameter", f"The parameter {name} cannot be used with a Gateway endpoint.")


def _open_gateway(
    call: Call, vpc: Vpc, endpoint: Endpoint, service: EndpointService, route_table_ids: Sequence[str]
) -> None:
    check_external(call, vpc)
    endpoint.state = "available"
    try:
        settle_uplink(call.db, call.settings, vpc)
    except Exhausted:
        text = "Not enough available addresses: the router needs one on the external network."
        raise Ec2Error("InsufficientAddressCapacity", text) from None
    _add_routes(call, endpoint, service, route_table_ids)
    tasks.start(call.db, vpc.id, "sync_network", call.region)


def _add_routes(call: Call, endpoint: Endpoint, service: EndpointService, table_ids: Sequence[str]) -> None:
    for table in find_all(call, RouteTable, list(dict.fromkeys(table_ids))):
        if table.vpc_id != endpoint.vpc_id:
            text = f"Route table {table.id} and the endpoint belong to different networks"
            refuse("InvalidParameter", text)
        if call.db.get(Route, (table.id, service.prefix_list_id)):
            text = f"route table {table.id} already has a route with destination-prefix-list-id"
            refuse("RouteAlreadyExists", f"{text} {service.prefix_list_id}")
        call.db.add(
            Route(route_table_id=table.id, destination=service.prefix_list_id, target=endpoint.id, origin="CreateRoute")
        )


# -- interfaces --------------------------------------------------------------------


def _plug(call: Call, vpc: Vpc, endpoint: Endpoint, subnets: Sequence[Subnet], groups: Sequence[str]) -> None:
    """Give an endpoint an interface in each of these subnets, at most one in a zone."""
    zones = {card.zone for card in interfaces_of(call.db, endpoint.id)}
    for subnet in subnets:
        if subnet.vpc_id != vpc.id:
            refuse("InvalidParameter", f"The subnet {subnet.id} does not belong to VPC {vpc.id}.")
        if subnet.zone in zones:
            text = f"Found another VPC endpoint subnet in the availability zone of {subnet.id}."
            refuse("DuplicateSubnetsInSameZone", text)
        zones.add(subnet.zone)
        new_interface(
            call, subnet, groups, description=f"VPC Endpoint Interface {endpoint.id}", kind="vpc_endpoint",
            managed_by=endpoint.id, status="in-use",
        )  # fmt: skip


@action
def modify_vpc_endpoint(
    call: Call,
    *,
    vpc_endpoint_id: str,
    reset_policy: bool = False,
    policy_document: str | None = None,
    add_route_table_ids: list[str] | None = None,
    remove_route_table_ids: list[str] | None = None,
    add_subnet_ids: list[str] | None = None,
    remove_subnet_ids: list[str] | None = None,
    add_security_group_ids: list[str] | None = None,
    remove_security_group_ids: list[str] | None = None,
    ip_address_type: str = "ipv4",
    dns_options: dict[str, Any] | None = None,
    private_dns_enabled: bool | None = None,
) -> Result:
    endpoint = find(call, Endpoint, vpc_endpoint_id)
    if endpoint.state not in ("available", "pending"):
        refuse("IncorrectState", f"The Vpc Endpoint '{endpoint.id}' is {endpoint.state}.")
    _check_addresses(ip_address_type, dns_options)
    if policy_document or reset_policy:
        endpoint.policy = _policy(policy_document)
    service = call.db.get_one(EndpointService, endpoint.service_id)
    groups = (add_security_group_ids or [], remove_security_group_ids or [])
    subnets = (add_subnet_ids or [], remove_subnet_ids or [])
    if endpoint.kind == "Gateway":
        _refuse_for_gateway(subnets=any(subnets), groups=any(groups), private_dns_enabled=private_dns_enabled)
        _change_routes(call, endpoint, service, add_route_table_ids or [], remove_route_table_ids or [])
        return {"Return": True}
    if add_route_table_ids or remove_route_table_ids:
        raise Ec2Error("InvalidParameter", "An interface endpoint has no route tables.")
    if private_dns_enabled is not None and private_dns_enabled != endpoint.private_dns:
        vpc = find(call, Vpc, endpoint.vpc_id)
        endpoint.private_dns = private_dns_enabled and _private_dns(call, vpc, service, True)
    _change_groups(call, endpoint, *groups)
    _change_subnets(call, endpoint, *subnets)
    return {"Return": True}


def _change_routes(
    call: Call, endpoint: Endpoint, service: EndpointService, add: Sequence[str], remove: Sequence[str]
) -> None:
    for table in find_all(call, RouteTable, list(dict.fromkeys(remove))):
        mine = (Route.route_table_id == table.id, Route.target == endpoint.id)
        call.db.execute(delete(Route).where(*mine))
    _add_routes(call, endpoint, service, add)
    if add or remove:
        tasks.start(call.db, endpoint.vpc_id, "sync_network", call.region)


def _change_groups(call: Call, endpoint: Endpoint, add: Sequence[str], remove: Sequence[str]) -> None:
    if not add and not remove:
        return
    held = groups_of(call.db, endpoint.id)
    for id in remove:
        if id not in held:
            refuse("InvalidGroup.NotFound", f"The security group '{id}' is not one of {endpoint.id}")
    wanted = [id for id in (*held, *add) if id not in remove]
    if not wanted:
        refuse("InvalidParameter", "An interface endpoint needs a security group.")
    put_in_groups(call.db, endpoint.id, groups_in(call, endpoint.vpc_id, wanted, f"endpoint {endpoint.id}"))
    for card in interfaces_of(call.db, endpoint.id):
        tasks.start(call.db, card.id, "sync_port", call.region)


def _change_subnets(call: Call, endpoint: Endpoint, add: Sequence[str], remove: Sequence[str]) -> None:
    if not add and not remove:
        return
    cards = {card.subnet_id: card for card in interfaces_of(call.db, endpoint.id)}
    for id in remove:
        if id not in cards:
            raise not_found(Subnet, id)
        _unplug(call, cards[id])
    vpc, groups = find(call, Vpc, endpoint.vpc_id), groups_of(call.db, endpoint.id)
    call.db.flush()
    _plug(call, vpc, endpoint, find_all(call, Subnet, list(dict.fromkeys(add))), groups)
    tasks.start(call.db, endpoint.id, "create_endpoint", call.region)


def _unplug(call: Call, card: NetworkInterface) -> None:
    remove_interface(call.db, card)
    tasks.start(call.db, card.id, "remove_port", call.region)


@action
def delete_vpc_endpoints(call: Call, *, vpc_endpoint_ids: list[str]) -> Result:
    """Delete what is there; what is not, or is another's, is a part of the answer, as in EC2."""
    failed = []
    for id in dict.fromkeys(vpc_endpoint_ids):
        try:
            endpoint = find(call, Endpoint, id)
        except Ec2Error as error:
            failed.append({"ResourceId": id, "Error": {"Code": error.code, "Message": str(error)}})
            continue
        _delete(call, endpoint)
    return {"Unsuccessful": failed}


def _delete(call: Call, endpoint: Endpoint) -> None:
    if endpoint.kind == "Interface":
        endpoint.state = "deleting"
        tasks.start(call.db, endpoint.id, "delete_endpoint", call.region)
        return
    vpc = find(call, Vpc, endpoint.vpc_id)
    forget_endpoint(call.db, endpoint)
    settle_uplink(call.db, call.settings, vpc)
    tasks.start(call.db, vpc.id, "sync_network", call.region)

"""A network as OVN rows: one switch, one router, a router port, routes and DHCP answers for each subnet."""

from collections.abc import Iterator
from typing import Any

from engine.drivers.base import DriverError, Network, Refused, Route, Subnet, port_uuid
from engine.drivers.ovn_database import ID, NETWORK, Edit, rows_of
from engine.drivers.ovn_groups import network_acls
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    address,
    interface,
    localnet_port,
    mac_of,
    metadata_port,
    network,
    port_group,
    router_port,
    switch_port,
)
from engine.drivers.ovn_uplinks import External, put_uplink

SUBNET = "groundfog:subnet"

_LEASE_SECONDS = 3600
_ROUTER = {
    # Routers meet on the external switch: thousands of them must not each know all the others beforehand.
    "dynamic_neigh_routers": "true",
    "always_learn_from_arp_request": "false",
    "mac_binding_age_threshold": "300",
}


def put_network(edit: Edit, network_: Network, external: External, physical: str, mtu: int) -> None:
    """Make a network's rows so. Raise Refused for what can never be, DriverError for a route's port that is missing."""
    ids = {ID: network_.id, NETWORK: network_.id}
    switch = edit.root("Logical_Switch", network_.id, external_ids=ids)
    router = edit.root("Logical_Router", network_.id, external_ids=ids, options=_ROUTER)
    group = edit.root("Port_Group", port_group(network_.id), external_ids={NETWORK: network_.id})
    edit.children(group, "acls", "ACL", ("direction", "priority", "match", "action"), network_acls(network_))
    _put_wire(edit, switch, network_, physical)
    _put_metadata(edit, switch, network_.id)
    for subnet in network_.subnets:
        _put_subnet(edit, switch, router, subnet, network_.id)
        _put_dhcp(edit, subnet, network_.id, mtu)
    _drop_other_subnets(edit, switch, router, network_)
    put_uplink(edit, router, network_, external)
    routes = [row for subnet in network_.subnets for row in _routes(edit, network_, subnet, external)]
    edit.children(router, "static_routes", "Logical_Router_Static_Route", ("route_table", "ip_prefix"), routes)


def _put_wire(edit: Edit, switch: Any, network_: Network, physical: str) -> None:
    name = localnet_port(network_.id)
    if network_.vlan is None:
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", name))
        return
    if not 1 <= network_.vlan <= 4094:
        raise Refused(f"cannot make network {network_.id}: there is no VLAN {network_.vlan}")
    columns = {"type": "localnet", "addresses": ["unknown"], "tag": [network_.vlan]}
    edit.child(switch, "ports", "Logical_Switch_Port", name, options={"network_name": physical}, **columns)


def _put_metadata(edit: Edit, switch: Any, network_id: str) -> None:
    name = metadata_port(network_id)
    addresses = [f"{mac_of(name)} {METADATA_ADDRESS}"]
    edit.child(switch, "ports", "Logical_Switch_Port", name, type="localport", addresses=addresses)


def _put_subnet(edit: Edit, switch: Any, router: Any, subnet: Subnet, network_id: str) -> None:
    name = router_port(subnet.id)
    edit.child(
        router,
        "ports",
        "Logical_Router_Port",
        name,
        mac=mac_of(name),
        networks=[str(interface(subnet.gateway, network(subnet.cidr)))],
        options={"route_table": subnet.id},
        external_ids={NETWORK: network_id, SUBNET: subnet.id},
    )
    edit.child(
        switch,
        "ports",
        "Logical_Switch_Port",
        switch_port(subnet.id),
        type="router",
        addresses=["router"],
        options={"router-port": name},
    )


def _put_dhcp(edit: Edit, subnet: Subnet, network_id: str, mtu: int) -> None:
    # Who honours classless routes ignores the router option (RFC 3442), so the default route is in both.
    options = {
        "lease_time": str(_LEASE_SECONDS),
        "router": subnet.gateway,
        "server_id": subnet.gateway,
        "server_mac": mac_of(router_port(subnet.id)),
        "mtu": str(mtu),
        "classless_static_route": f"{{{METADATA_ADDRESS}/32,0.0.0.0, 0.0.0.0/0,{subnet.gateway}}}",
    }
    if subnet.dns_servers:
        options["dns_server"] = "{" + ", ".join(str(address(server)) for server in subnet.dns_servers) + "}"
    if subnet.domain_name:
        options["domain_name"] = '"' + subnet.domain_name.replace('"', "") + '"'
    present = edit.marked("DHCP_Options", subnet.id)
    if present:
        edit.put(present[0], cidr=subnet.cidr, options=options)
    else:
        ids = {ID: subnet.id, NETWORK: network_id}
        edit.insert("DHCP_Options", cidr=subnet.cidr, options=options, external_ids=ids)


def _drop_other_subnets(edit: Edit, switch: Any, router: Any, network_: Network) -> None:
    wanted = {subnet.id for subnet in network_.subnets}
    for row in rows_of(router, "ports"):
        id = row.external_ids.get(SUBNET)
        if id is None or id in wanted:
            continue
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", switch_port(id)))
        edit.drop(router, "ports", row)
        for options in edit.marked("DHCP_Options", id):
            options.delete()


def _routes(edit: Edit, network_: Network, subnet: Subnet, external: External) -> Iterator[dict[str, Any]]:
    for route in subnet.routes:
        nexthop, output = _way(edit, network_, route, external)
        yield {
            "route_table": subnet.id,
            "ip_prefix": str(network(route.destination)),
            "nexthop": nexthop,
            "output_port": output,
        }


def _way(edit: Edit, network_: Network, route: Route, external: External) -> tuple[str, list[str]]:
    """Return where a route leads: the next router's address, and the port to it where that address does not tell."""
    if route.target == "blackhole" or (route.target == "uplink" and network_.uplink is None):
        return "discard", []
    if route.target == "uplink":
        return str(external.gateway), [router_port(external.link(network_.id))]
    port = edit.named("Logical_Switch_Port", port_uuid(route.target))
    if port is None or port.external_ids.get(NETWORK) != network_.id:
        raise Refused(f"cannot route {route.destination}: network {network_.id} has no port {route.target}")
    return str(port.addresses[0].split()[1]), []


def drop_network(edit: Edit, id: str, external: External) -> None:
    """Take away all that belongs to a network: ports, groups and public addresses included."""
    put_uplink(edit, None, Network(id, (), None), external)
    # Ports, routes and addresses of a switch or router go with it.
    for table in ("Logical_Switch", "Logical_Router"):
        row = edit.named(table, id)
        if row is not None:
            row.delete()
    for table in ("Port_Group", "DHCP_Options"):
        for row in edit.all(table):
            if row.external_ids[NETWORK] == id:
                row.delete()


def switch_of(edit: Edit, network_id: str) -> Any:
    """Raise DriverError where there is no such network (yet)."""
    switch = edit.named("Logical_Switch", network_id)
    if switch is None:
        raise DriverError(f"there is no network {network_id}")
    return switch

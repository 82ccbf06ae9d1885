"""A network as OVN rows: one switch, one router, a router port, routes, a filter and DHCP answers for each subnet."""

from typing import Any

from engine.drivers.base import DriverError, Refused
from engine.drivers.networking import Network, Subnet
from engine.drivers.ovn_border import drop_border, put_border
from engine.drivers.ovn_database import ID, NETWORK, SUBNET, Edit, Row, rows_of
from engine.drivers.ovn_dhcp import drop_dhcp, put_dhcp
from engine.drivers.ovn_edge6 import drop_edge6, put_edge6
from engine.drivers.ovn_edges import entering_acls, subnet_acls
from engine.drivers.ovn_external import External
from engine.drivers.ovn_groups import drop_group, network_acls, put_meter
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    METADATA_ADDRESS_6,
    RESOLVER_ADDRESS,
    RESOLVER_ADDRESS_6,
    address,
    localnet_port,
    mac_of,
    metadata_mac,
    metadata_port,
    port_group,
    router_addresses,
    router_port,
    switch_port,
)
from engine.drivers.ovn_nat_gateways import put_nat_gateways
from engine.drivers.ovn_peerings import put_peerings
from engine.drivers.ovn_routes import policies, static_routes
from engine.drivers.ovn_sinks import put_sink

_ACL_KEY = ("direction", "priority", "match", "action")
_ROUTER = {
    # Routers meet on the external switch: thousands of them must not each know all the others beforehand.
    "dynamic_neigh_routers": "true",
    "always_learn_from_arp_request": "false",
    "mac_binding_age_threshold": "300",
}


def put_network(edit: Edit, network_: Network, external: External, physical: str, mtu: int) -> None:
    """Make a network's rows so. Raise Refused for what can never be."""
    ids = {ID: network_.id, NETWORK: network_.id}
    switch = edit.root("Logical_Switch", network_.id, external_ids=ids)
    router = edit.root("Logical_Router", network_.id, external_ids=ids, options=_ROUTER)
    if network_.is_logged:
        put_meter(edit)
    group = edit.root("Port_Group", port_group(network_.id), external_ids={NETWORK: network_.id})
    edit.children(group, "acls", "ACL", _ACL_KEY, network_acls(network_))
    _put_wire(edit, switch, network_, physical)
    _put_metadata(edit, switch, network_)
    for subnet in network_.subnets:
        _put_subnet(edit, switch, router, subnet, network_, mtu)
    edit.children(switch, "acls", "ACL", _ACL_KEY, entering_acls(network_))
    _drop_other_subnets(edit, switch, router, network_)
    put_border(edit, router, network_, external)
    put_nat_gateways(edit, switch, network_, external)
    put_edge6(edit, router, network_, external)
    put_peerings(edit, router, network_)
    put_sink(edit, router, network_)
    key = ("route_table", "ip_prefix")
    edit.children(router, "static_routes", "Logical_Router_Static_Route", key, static_routes(network_, external))
    edit.children(router, "policies", "Logical_Router_Policy", ("priority", "match"), policies(network_, external))


def _put_wire(edit: Edit, switch: Row, network_: Network, physical: str) -> None:
    name = localnet_port(network_.id)
    if network_.vlan is None:
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", name))
        return
    if not 1 <= network_.vlan <= 4094:
        raise Refused(f"cannot make network {network_.id}: there is no VLAN {network_.vlan}")
    columns = {"type": "localnet", "addresses": ["unknown"], "tag": [network_.vlan]}
    edit.child(switch, "ports", "Logical_Switch_Port", name, options={"network_name": physical}, **columns)


def _put_metadata(edit: Edit, switch: Row, network_: Network) -> None:
    """Make the port so at which the network's own services are: metadata and names."""
    name = metadata_port(network_.id)
    served = [METADATA_ADDRESS, RESOLVER_ADDRESS, METADATA_ADDRESS_6, RESOLVER_ADDRESS_6]
    if network_.resolver:
        served.insert(2, str(address(network_.resolver)))
    addresses = [" ".join([metadata_mac(network_.id), *served])]
    edit.child(switch, "ports", "Logical_Switch_Port", name, type="localport", addresses=addresses)


def _put_subnet(edit: Edit, switch: Row, router: Row, subnet: Subnet, network_: Network, mtu: int) -> None:
    name = router_port(subnet.id)
    ids = {NETWORK: network_.id, SUBNET: subnet.id}
    edit.child(
        router,
        "ports",
        "Logical_Router_Port",
        name,
        mac=mac_of(name, subnet),
        networks=router_addresses(subnet.cidr, subnet.cidr6),
        options={"route_table": subnet.id},
        external_ids=ids,
    )
    columns: dict[str, Any] = {"type": "router", "addresses": ["router"], "options": {"router-port": name}}
    edit.child(switch, "ports", "Logical_Switch_Port", switch_port(subnet.id), **columns)
    put_dhcp(edit, subnet, network_, mtu)
    members = edit.root("Port_Group", port_group(subnet.id), external_ids=ids)
    edit.children(members, "acls", "ACL", _ACL_KEY, subnet_acls(network_, subnet))


def _drop_other_subnets(edit: Edit, switch: Row, router: Row, network_: Network) -> None:
    wanted = {subnet.id for subnet in network_.subnets}
    for row in rows_of(router, "ports"):
        id = row.external_ids.get(SUBNET)
        if id is None or id in wanted:
            continue
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", switch_port(id)))
        edit.drop(router, "ports", row)
        drop_dhcp(edit, id)
        members = edit.named("Port_Group", port_group(id))
        if members is not None:
            members.delete()


def drop_network(edit: Edit, id: str, external: External) -> None:
    """Take away all that belongs to a network: ports, groups and public addresses included."""
    drop_border(edit, id, external)
    drop_edge6(edit, edit.named("Logical_Router", id), id, external)
    # Ports, routes and addresses of a switch or router go with it.
    for table in ("Logical_Switch", "Logical_Router", "DHCP_Options"):
        for row in edit.all(table):
            if row.external_ids[NETWORK] == id:
                row.delete()
    rows = [row for row in edit.all("Port_Group") if row.external_ids[NETWORK] == id]
    groups = [row.external_ids[ID] for row in rows if ID in row.external_ids]
    for row in rows:
        if ID not in row.external_ids:
            row.delete()
    for group in groups:
        drop_group(edit, group)


def switch_of(edit: Edit, network_id: str) -> Row:
    """Raise DriverError where there is no such network (yet)."""
    switch = edit.named("Logical_Switch", network_id)
    if switch is None:
        raise DriverError(f"there is no network {network_id}")
    return switch

"""The border of a network: a router between its own one and the external switch, which knows public addresses.

A router prefers its own networks to any route. So the external network is not one of the inner router's: there, routes
alone decide what leaves, and policies are left to the subnets' filters.
"""

from typing import Any

from engine.drivers.base import Refused
from engine.drivers.networking import Network, Subnet, Uplink
from engine.drivers.ovn_database import NETWORK, SUBNET, Edit, Row, View, rows_of
from engine.drivers.ovn_external import External, drop_outer_port, put_outer_port
from engine.drivers.ovn_names import (
    BORDER_INSIDE,
    BORDER_OUTSIDE,
    address,
    border,
    border_link,
    mac_of,
    network,
    of_version,
    one_of,
    outer_link,
    port_group,
    router_port,
)

_SPOOFED, _OWN, _ANSWER, _CLOSED = 1000, 500, 500, 400


def put_border(edit: Edit, router: Row, network_: Network, external: External) -> None:
    """Make a network's border so; without an uplink it leads nowhere, but keeps the public addresses.

    Raise Refused for a network that overlaps the external one: whose an address is could not be told apart.
    """
    for cidr in of_version(4, network_.cidrs) if network_.uplink else ():
        if network(cidr).overlaps(external.range):
            raise Refused(f"cannot give {network_.id} an uplink: {cidr} overlaps the external network {external.range}")
    ids = {NETWORK: network_.id}
    outside = edit.root("Logical_Router", border(network_.id), external_ids=ids)
    _put_link(edit, router, outside, network_.id)
    if network_.uplink is None:
        drop_outer_port(edit, outside, outer_link(network_.id), external)
    else:
        own = f"{address(network_.uplink.address)}/{external.range.prefixlen}"
        put_outer_port(edit, outside, outer_link(network_.id), own, external, ids)
    key = ("route_table", "ip_prefix")
    edit.children(outside, "static_routes", "Logical_Router_Static_Route", key, _routes(network_, external))
    edit.children(outside, "policies", "Logical_Router_Policy", ("priority", "match"), _policies(network_))
    _put_outlets(edit, outside, network_)


def _put_link(edit: Edit, inside: Row, outside: Row, network_id: str) -> None:
    inner, outer = router_port(border_link(network_id)), router_port(border(network_id))
    ends = ((inside, inner, outer, BORDER_INSIDE), (outside, outer, inner, BORDER_OUTSIDE))
    for owner, name, peer, own in ends:
        columns = {
            "mac": mac_of(name),
            "networks": [f"{own}/30"],
            "peer": [peer],
            "external_ids": {NETWORK: network_id},
        }
        edit.child(owner, "ports", "Logical_Router_Port", name, **columns)


def _routes(network_: Network, external: External) -> list[dict[str, Any]]:
    inner = [router_port(border(network_.id))]
    routes = [
        {"route_table": "", "ip_prefix": cidr, "nexthop": BORDER_INSIDE, "output_port": inner}
        for cidr in of_version(4, network_.cidrs)
    ]
    if network_.uplink is not None:
        onwards = {"nexthop": str(external.gateway), "output_port": [router_port(outer_link(network_.id))]}
        routes.append({"route_table": "", "ip_prefix": "0.0.0.0/0", **onwards})
    return routes


def _policies(network_: Network) -> list[dict[str, Any]]:
    if network_.uplink is None:
        return []
    inner, outer = router_port(border(network_.id)), router_port(outer_link(network_.id))
    own = of_version(4, network_.cidrs)
    return [
        # Nobody outside may pretend to be inside: rules that name a group's addresses would let him pass.
        _policy(_SPOOFED, f'inport == "{outer}" && ip4.src == {one_of(own)}', "drop"),
        # Nor may anybody inside pretend to be another: a guest that forwards has addresses that are not its own.
        _policy(_OWN, f'inport == "{inner}" && ip4.src == {one_of(own)}', "allow"),
        _policy(_CLOSED, f'inport == "{inner}" && ip4', "drop"),
    ]


def _policy(priority: int, match: str, action: str) -> dict[str, Any]:
    return {"priority": priority, "match": match, "action": action}


def drop_border(edit: Edit, network_id: str, external: External) -> None:
    """Take a network's way out away; its router goes with the network."""
    drop_outer_port(edit, edit.named("Logical_Router", border(network_id)), outer_link(network_id), external)


# -- outlets: what the router fetches for a subnet in its own name ---------------


def _put_outlets(edit: Edit, outside: Row, network_: Network) -> None:
    present = {row.external_ids[SUBNET]: row for row in _outlet_nats(edit, network_.id)}
    for subnet in network_.subnets if network_.uplink else ():
        if (ranges := _outlets(subnet)) and network_.uplink:
            columns = _outlet(edit, network_.id, network_.uplink, subnet, ranges)
            if (row := present.pop(subnet.id, None)) is not None:
                edit.put(row, **columns)
            else:
                outside.addvalue("nat", edit.insert("NAT", type="snat", **columns))
    for row in present.values():
        edit.drop(outside, "nat", row)


def _outlet(edit: Edit, network_id: str, uplink: Uplink, subnet: Subnet, ranges: list[str]) -> dict[str, Any]:
    ids = {NETWORK: network_id, SUBNET: subnet.id}
    name = port_group(subnet.id).replace("pg_", "outlets_", 1)
    there = edit.root("Address_Set", name, addresses=ranges, external_ids=ids)
    own = str(address(uplink.address))
    return {"external_ip": own, "logical_ip": subnet.cidr, "allowed_ext_ips": [there], "external_ids": ids}


def _outlets(subnet: Subnet) -> list[str]:
    return sorted(str(network(route.destination)) for route in subnet.routes if route.via == "outlet")


def _outlet_nats(edit: Edit, network_id: str) -> list[Row]:
    rows = edit.marked("NAT", "")
    return [row for row in rows if row.external_ids.get(NETWORK) == network_id and SUBNET in row.external_ids]


def translated_by(view: View, network_id: str, source: str, destination: str) -> str:
    """Return the public address with which a packet crosses a network's border outwards, or nothing if it has none."""
    outlet = ""
    for row in rows_of(view.named("Logical_Router", border(network_id)), "nat"):
        if row.type == "dnat_and_snat" and row.logical_ip == source:
            return str(row.external_ip)
        if row.type == "snat" and address(source) in network(row.logical_ip):
            ranges = [network(each) for there in row.allowed_ext_ips for each in there.addresses]
            if any(address(destination) in each for each in ranges):
                outlet = str(row.external_ip)
    return outlet


def drop_unused_outlets(edit: Edit) -> None:
    """Take away the sets of destinations that no translation names any more.

    In a transaction of its own: the database counts references before it collects the rows that are lost.
    """
    used = {each.uuid for row in edit.marked("NAT", "") for each in row.allowed_ext_ips}
    for row in edit.all("Address_Set"):
        if SUBNET in row.external_ids and row.uuid not in used:
            row.delete()

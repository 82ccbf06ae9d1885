"""The way out by IPv6, which has no translation: ranges are routed.

One router of the deployment, the edge, stands on the external switch for all networks, and each has a link to it. On
the link both ends go by the addresses that OVN gives every port: nobody else is there.
"""

from collections.abc import Iterable
from typing import Any

from engine.drivers.networking import Network
from engine.drivers.ovn_database import NETWORK, Edit, Row, rows_of
from engine.drivers.ovn_external import External, Outside6, drop_outer_port, put_outer_port
from engine.drivers.ovn_names import edge_end, edge_link, link_local_of, mac_of, of_version, one_of, router_port

_OWN, _CLOSED = 500, 400
_NOBODYS = {NETWORK: ""}


def put_edge6(edit: Edit, router: Row, network_: Network, external: External) -> None:
    """Make a network's link to the edge so, or take it away where the network has no way out or no such range."""
    ranges = of_version(6, network_.cidrs)
    if external.outside6 is None or network_.uplink is None or not ranges:
        drop_edge6(edit, router, network_.id, external)
        return
    edge = _put_edge(edit, external, external.outside6)
    mine, theirs = router_port(edge_link(network_.id)), router_port(edge_end(network_.id))
    ids = {NETWORK: network_.id}
    for owner, name, peer in ((router, mine, theirs), (edge, theirs, mine)):
        columns = {"mac": mac_of(name), "networks": [], "peer": [peer], "external_ids": ids}
        edit.child(owner, "ports", "Logical_Router_Port", name, **columns)
    way = {"nexthop": link_local_of(mine), "output_port": [theirs], "route_table": "", "external_ids": ids}
    routes = [{"ip_prefix": cidr, **way} for cidr in ranges]
    _put_own(edit, edge, "static_routes", "Logical_Router_Static_Route", ("ip_prefix",), routes, network_.id)
    # Only a network's own addresses may be a source there: a guest that forwards has others, too.
    own = {"priority": _OWN, "match": f'inport == "{theirs}" && ip6.src == {one_of(ranges)}', "action": "allow"}
    closed = {"priority": _CLOSED, "match": f'inport == "{theirs}"', "action": "drop"}
    policies = [{**each, "external_ids": ids} for each in (own, closed)]
    _put_own(edit, edge, "policies", "Logical_Router_Policy", ("priority", "match"), policies, network_.id)


def _put_edge(edit: Edit, external: External, outside: Outside6) -> Row:
    edge = edit.named("Logical_Router", edge_name(external))
    if edge is None:
        edge = edit.insert("Logical_Router", name=edge_name(external), external_ids=_NOBODYS)
    ways = (
        {"ip_prefix": "::/0", "nexthop": str(outside.gateway)},
        # What nobody has been given goes nowhere, rather than back to who leads all of the pool here.
        {"ip_prefix": str(outside.pool), "nexthop": "discard"},
    )
    routes = [{**way, "route_table": "", "output_port": [], "external_ids": _NOBODYS} for way in ways]
    _put_own(edit, edge, "static_routes", "Logical_Router_Static_Route", ("ip_prefix",), routes, "")
    own = f"{outside.edge}/{outside.range.prefixlen}"
    put_outer_port(edit, edge, edge_name(external), own, external, _NOBODYS)
    return edge


def edge_name(external: External) -> str:
    return f"edge-{external.owner}-{external.bridge}"


def _put_own(
    edit: Edit, edge: Row, column: str, table: str, key: tuple[str, ...], wanted: Iterable[dict[str, Any]], id: str
) -> None:
    """Make the rows of one network in a column of the edge exactly those."""
    present = {tuple(getattr(row, name) for name in key): row for row in _own(edge, column, id)}
    for columns in wanted:
        kept = present.pop(tuple(columns[name] for name in key), None)
        if kept is None:
            edge.addvalue(column, edit.insert(table, **columns))
        else:
            edit.put(kept, **columns)
    for row in present.values():
        edit.drop(edge, column, row)


def _own(edge: Row, column: str, id: str) -> list[Row]:
    return [row for row in rows_of(edge, column) if row.external_ids.get(NETWORK) == id]


def drop_edge6(edit: Edit, router: Row | None, network_id: str, external: External) -> None:
    edge = edit.named("Logical_Router", edge_name(external))
    if edge is not None:
        for column in ("static_routes", "policies"):
            for row in _own(edge, column, network_id):
                edit.drop(edge, column, row)
        edit.drop(edge, "ports", edit.named("Logical_Router_Port", router_port(edge_end(network_id))))
        if len(rows_of(edge, "ports")) <= 1:
            # Nobody is left who goes out.
            drop_outer_port(edit, None, edge_name(external), external)
            edge.delete()
    if router is not None:
        edit.drop(router, "ports", edit.named("Logical_Router_Port", router_port(edge_link(network_id))))

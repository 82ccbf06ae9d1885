"""Peerings: a pair of router ports, of which each network makes its own."""

from engine.drivers.networking import Network
from engine.drivers.ovn_database import NETWORK, Edit, Row, rows_of
from engine.drivers.ovn_names import address, mac_of, peering_link, router_port

PEERING = "groundfog:peering"


def put_peerings(edit: Edit, router: Row, network_: Network) -> None:
    """Make a network's ends of its peerings so; those that it has no more go."""
    for peering in network_.peerings:
        name = router_port(peering_link(peering.id, network_.id))
        edit.child(
            router,
            "ports",
            "Logical_Router_Port",
            name,
            mac=mac_of(name),
            networks=[f"{address(peering.address)}/30"],
            # The other end may not be there yet: OVN connects the two when it is.
            peer=[router_port(peering_link(peering.id, peering.peer_id))],
            external_ids={NETWORK: network_.id, PEERING: peering.id},
        )
    wanted = {peering.id for peering in network_.peerings}
    for row in rows_of(router, "ports"):
        if row.external_ids.get(PEERING, "") not in {"", *wanted}:
            edit.drop(router, "ports", row)

"""NAT gateways: for each a small router in its subnet, which sends back what it gets with its own address as source.

It stands on one host: connections are tracked there. Its public addresses are the network's router's to translate, like
those of any port.
"""

from collections.abc import Iterator
from typing import Any

from engine.drivers.base import DriverError
from engine.drivers.networking import NatGateway, Network, Subnet
from engine.drivers.ovn_database import NETWORK, SUBNET, Edit, Row, View, rows_of
from engine.drivers.ovn_external import External
from engine.drivers.ovn_names import address, mac_of, network, router_port, switch_port
from engine.drivers.ovn_nats import drop_nats, put_nats

GATEWAY = "groundfog:nat-gateway"


def put_nat_gateways(edit: Edit, switch: Row, network_: Network, external: External) -> None:
    """Make a network's NAT gateways so; those that it has no more go."""
    subnets = {subnet.id: subnet for subnet in network_.subnets}
    for gateway in network_.nat_gateways:
        if gateway.subnet_id not in subnets:
            raise DriverError(f"cannot make {gateway.id}: there is no subnet {gateway.subnet_id}")
        _put(edit, switch, network_, gateway, subnets[gateway.subnet_id], external)
    wanted = {gateway.id for gateway in network_.nat_gateways}
    for row in edit.all("Logical_Router"):
        id = row.external_ids.get(GATEWAY)
        if id and row.external_ids[NETWORK] == network_.id and id not in wanted:
            drop_nats(edit, id)
            edit.drop(switch, "ports", edit.named("Logical_Switch_Port", switch_port(id)))
            row.delete()


def _put(edit: Edit, switch: Row, network_: Network, gateway: NatGateway, subnet: Subnet, external: External) -> None:
    name, cidr = router_port(gateway.id), network(subnet.cidr)
    ids = {NETWORK: network_.id, GATEWAY: gateway.id}
    router = edit.root("Logical_Router", gateway.id, external_ids=ids, options={"chassis": external.chassis[0]})
    first, *more = (address(each) for each in gateway.addresses)
    networks = [f"{first}/{cidr.prefixlen}", *(f"{each}/32" for each in more)]
    columns = {"mac": mac_of(name, subnet), "networks": networks, "external_ids": {**ids, SUBNET: subnet.id}}
    edit.child(router, "ports", "Logical_Router_Port", name, **columns)
    options = {"router-port": name}
    edit.child(
        switch, "ports", "Logical_Switch_Port", switch_port(gateway.id), type="router", addresses=["router"],
        options=options, external_ids=ids,
    )  # fmt: skip
    back = [{"route_table": "", "ip_prefix": "0.0.0.0/0", "nexthop": str(cidr[1])}]
    edit.children(router, "static_routes", "Logical_Router_Static_Route", ("route_table", "ip_prefix"), back)
    edit.children(router, "nat", "NAT", ("type", "logical_ip"), _sources(network_, gateway))
    put_nats(edit, network_.id, gateway.id, gateway.nats)


def _sources(network_: Network, gateway: NatGateway) -> Iterator[dict[str, Any]]:
    """Yield which sources get which of a gateway's addresses: each has its share of every subnet."""
    addresses = [str(address(each)) for each in gateway.addresses if each not in gateway.draining]
    columns = {"type": "snat", "external_ids": {GATEWAY: gateway.id}}
    yield {**columns, "logical_ip": "0.0.0.0/0", "external_ip": addresses[0]}
    bits = (len(addresses) - 1).bit_length()
    for subnet in network_.subnets if bits else ():
        for place, part in enumerate(network(subnet.cidr).subnets(bits) if subnet.cidr else ()):
            yield {**columns, "logical_ip": str(part), "external_ip": addresses[place % len(addresses)]}
    for each in gateway.draining:
        # Without a row that names it, replies to an address are not translated back. This one takes nothing new.
        yield {**columns, "logical_ip": str(address(each)), "external_ip": str(address(each))}


def source_at(view: View, gateway_id: str, source: str) -> str:
    """Return the address that a gateway gives to what comes from ``source``."""
    rows = [
        row for row in rows_of(view.named("Logical_Router", gateway_id), "nat")
        if address(source) in network(row.logical_ip)
    ]  # fmt: skip
    return str(max(rows, key=lambda row: network(row.logical_ip).prefixlen).external_ip)

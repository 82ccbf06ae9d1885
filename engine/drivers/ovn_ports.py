"""Ports of guests: a switch port with its addresses and guards, its groups, and its public addresses."""

from engine.drivers.base import DriverError, Refused, port_uuid
from engine.drivers.networking import Port
from engine.drivers.ovn_database import ID, NETWORK, Edit
from engine.drivers.ovn_dhcp import dhcp6_of, dhcp_of
from engine.drivers.ovn_groups import join
from engine.drivers.ovn_names import any_address, any_network
from engine.drivers.ovn_nats import drop_nats, put_nats
from engine.drivers.ovn_networks import switch_of

GROUPS = "groundfog:groups"


def put_port(edit: Edit, port: Port) -> None:
    """Make a port so. Raise DriverError while its network, subnet or a group is missing or a public address is used."""
    if not port.addresses or not port.groups:
        raise Refused(f"cannot make port {port.id}: it needs an address and a group")
    switch = switch_of(edit, port.network_id)
    name = port_uuid(port.id)
    before = edit.named("Logical_Switch_Port", name)
    left = set(before.external_ids.get(GROUPS, "").split()) if before is not None else set()
    single = [any_address(each) for each in port.addresses if "/" not in each]
    ranges = [str(any_network(each)) for each in port.addresses if "/" in each]
    row = edit.child(
        switch,
        "ports",
        "Logical_Switch_Port",
        name,
        addresses=[" ".join([port.mac, *single])],
        port_security=[port.mac if port.forwarding else " ".join([port.mac, *single, *ranges])],
        external_ids={ID: port.id, NETWORK: port.network_id, GROUPS: " ".join(port.groups)},
        **_dhcp(edit, port, {6 if ":" in each else 4 for each in single}),
    )
    # The group named by the network holds all of its ports: there, what no other group allows is dropped.
    join(edit, row, {port.network_id, port.subnet_id, *port.groups}, left)
    put_nats(edit, port.network_id, port.id, port.nats)


def _dhcp(edit: Edit, port: Port, versions: set[int]) -> dict[str, list[object]]:
    found = {4: dhcp_of(edit, port.subnet_id), 6: dhcp6_of(edit, port.subnet_id)}
    for version in versions:
        if found[version] is None:
            raise DriverError(f"cannot make port {port.id}: there is no subnet {port.subnet_id} of IPv{version}")
    wanted = {version: [row] if version in versions else [] for version, row in found.items()}
    return {"dhcpv4_options": wanted[4], "dhcpv6_options": wanted[6]}


def drop_port(edit: Edit, id: str) -> None:
    """Forget a port; the database itself takes it out of its groups."""
    drop_nats(edit, id)
    port = edit.named("Logical_Switch_Port", port_uuid(id))
    if port is not None:
        edit.drop(edit.named("Logical_Switch", port.external_ids[NETWORK]), "ports", port)

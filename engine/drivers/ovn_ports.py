"""Ports of guests: a switch port with its addresses and guards, its groups, and its public addresses."""

from engine.drivers.base import DriverError, Port, Refused, port_uuid
from engine.drivers.ovn_database import ID, NETWORK, Edit, Row
from engine.drivers.ovn_groups import join
from engine.drivers.ovn_names import address
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
    owned = " ".join([port.mac, *(str(address(each)) for each in port.addresses)])
    row = edit.child(
        switch,
        "ports",
        "Logical_Switch_Port",
        name,
        addresses=[owned],
        port_security=[] if port.forwarding else [owned],
        dhcpv4_options=[_dhcp_of(edit, port)],
        external_ids={ID: port.id, NETWORK: port.network_id, GROUPS: " ".join(port.groups)},
    )
    # The group named by the network holds all of its ports: there, what no other group allows is dropped.
    join(edit, row, {port.network_id, *port.groups}, left)
    _put_nats(edit, port)


def _dhcp_of(edit: Edit, port: Port) -> Row:
    rows = edit.marked("DHCP_Options", port.subnet_id)
    if not rows:
        raise DriverError(f"cannot make port {port.id}: there is no subnet {port.subnet_id}")
    return rows[0]


def _put_nats(edit: Edit, port: Port) -> None:
    """Make a port's public addresses so. Without an uplink they are kept and have no effect until there is one."""
    router = edit.named("Logical_Router", port.network_id)
    wanted = {(str(address(nat.private)), str(address(nat.public))) for nat in port.nats}
    for row in edit.marked("NAT", port.id):
        if (row.logical_ip, row.external_ip) in wanted:
            wanted.remove((row.logical_ip, row.external_ip))
        else:
            edit.drop(router, "nat", row)
    for private, public in sorted(wanted):
        for other in edit.publicly(public):
            raise DriverError(f"public {public} is in use by {other.external_ids.get(ID)}")
        ids = {ID: port.id, NETWORK: port.network_id}
        columns = {"type": "dnat_and_snat", "logical_ip": private, "external_ip": public, "external_ids": ids}
        if router is not None:
            router.addvalue("nat", edit.insert("NAT", **columns))


def drop_port(edit: Edit, id: str) -> None:
    """Forget a port; the database itself takes it out of its groups."""
    for row in edit.marked("NAT", id):
        router = edit.named("Logical_Router", row.external_ids[NETWORK])
        if router is not None:
            edit.drop(router, "nat", row)
    port = edit.named("Logical_Switch_Port", port_uuid(id))
    if port is not None:
        edit.drop(edit.named("Logical_Switch", port.external_ids[NETWORK]), "ports", port)

"""The border between networks and the external network: one shared switch, and each router's port on it.

Only the external network's own addresses may cross it. A packet that no one-to-one public address was put on carries
a private source, a packet from outside to a private address a private destination: the switch drops both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from engine.drivers.base import Network, Refused, Subnet
from engine.drivers.ovn_database import NETWORK, Edit, rows_of
from engine.drivers.ovn_names import (
    external_port,
    interface,
    localnet_port,
    mac_of,
    network,
    one_of,
    router_port,
    switch_port,
)


@dataclass(frozen=True)
class External:
    """The external network: its range, the router that leads on, and which hosts carry packets there.

    ``chassis`` are OVN chassis names (``external_ids:system-id`` of Open vSwitch), the preferred first;
    ``bridge`` is the name it has in ``ovn-bridge-mappings``.
    """

    range: IPv4Network
    gateway: IPv4Address
    chassis: tuple[str, ...]
    bridge: str = "ext"

    @property
    def switch(self) -> str:
        return f"external-switch-{self.bridge}"

    def link(self, network_id: str) -> str:
        return external_port(network_id)


def put_uplink(edit: Edit, router: Any | None, network_: Network, external: External) -> None:
    """Make a network's port on the external switch so, or take it away when the network has no uplink.

    Raise Refused for a network that overlaps the external one: whose an address is could not be told apart.
    """
    if network_.uplink is None or router is None:
        _drop_uplink(edit, router, network_, external)
        return
    for cidr in network_.cidrs:
        if network(cidr).overlaps(external.range):
            raise Refused(f"cannot give {network_.id} an uplink: {cidr} overlaps the external network {external.range}")
    name = router_port(external.link(network_.id))
    port = edit.child(
        router,
        "ports",
        "Logical_Router_Port",
        name,
        mac=mac_of(name),
        networks=[str(interface(network_.uplink.address, external.range))],
        external_ids={NETWORK: network_.id},
    )
    _put_chassis(edit, port, name, external)
    edit.child(
        _put_switch(edit, external),
        "ports",
        "Logical_Switch_Port",
        switch_port(external.link(network_.id)),
        type="router",
        addresses=["router"],
        # The host that carries an address announces it (gratuitous ARP) when it begins to.
        options={"router-port": name, "nat-addresses": "router"},
        external_ids={NETWORK: network_.id},
    )
    policies = list(_policies(network_, name))
    edit.children(router, "policies", "Logical_Router_Policy", ("priority", "match"), policies)


def _put_chassis(edit: Edit, port: Any, name: str, external: External) -> None:
    wanted = [
        {"name": f"{name}_{chassis}", "chassis_name": chassis, "priority": len(external.chassis) - place}
        for place, chassis in enumerate(external.chassis)
    ]
    edit.children(port, "gateway_chassis", "Gateway_Chassis", ("name",), wanted)


def _put_switch(edit: Edit, external: External) -> Any:
    wire = localnet_port(external.bridge)
    switch = edit.root("Logical_Switch", external.switch)
    columns = {"type": "localnet", "addresses": ["unknown"], "options": {"network_name": external.bridge}}
    edit.child(switch, "ports", "Logical_Switch_Port", wire, **columns)
    border = (
        (f'inport == "{wire}" && ip4.dst == {external.range}', "allow"),
        (f'inport == "{wire}" && ip', "drop"),
        (f"ip4.src == {external.range}", "allow"),
        ("ip", "drop"),
    )
    acls = [
        {"direction": "from-lport", "priority": 1003 - place, "match": match, "action": action}
        for place, (match, action) in enumerate(border)
    ]
    edit.children(switch, "acls", "ACL", ("direction", "priority", "match", "action"), acls)
    return switch


def _policies(network_: Network, outer: str) -> Iterator[dict[str, Any]]:
    """Yield what passes between a router and the external network.

    Routes to a router's own networks come before any route table, and the external network is one of them: so
    policies, not routes, keep a subnet without a route to the uplink from reaching it.
    """
    own = one_of([str(network(cidr)) for cidr in network_.cidrs])
    # Nobody outside may pretend to be inside: rules that name a group's addresses would let him pass.
    yield _policy(1000, f'inport == "{outer}" && ip4.src == {own}', "drop")
    for subnet in network_.subnets:
        beyond = _beyond(subnet)
        if beyond is not None:
            inner = router_port(subnet.id)
            yield _policy(500, f'inport == "{inner}" && outport == "{outer}" && ip4.src == {own}{beyond}', "allow")
    if network_.uplink:
        # The router's answers to who asks it from outside.
        source = network_.uplink.address
        yield _policy(500, f'inport == "{outer}" && outport == "{outer}" && ip4.src == {source}', "allow")
    yield _policy(400, f'outport == "{outer}"', "drop")


def _beyond(subnet: Subnet) -> str | None:
    """Return which destinations a subnet may reach over the uplink, as the rest of an expression; None for none."""
    destinations = [str(network(route.destination)) for route in subnet.routes if route.target == "uplink"]
    if not destinations:
        return None
    return "" if "0.0.0.0/0" in destinations else f" && ip4.dst == {one_of(destinations)}"


def _policy(priority: int, match: str, action: str) -> dict[str, Any]:
    return {"priority": priority, "match": match, "action": action}


def _drop_uplink(edit: Edit, router: Any | None, network_: Network, external: External) -> None:
    link = external.link(network_.id)
    switch = edit.named("Logical_Switch", external.switch)
    if switch is not None:
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", switch_port(link)))
        if len(rows_of(switch, "ports")) <= 1:
            # Only the wire is left.
            switch.delete()
    if router is not None:
        edit.drop(router, "ports", edit.named("Logical_Router_Port", router_port(link)))
        edit.children(router, "policies", "Logical_Router_Policy", ("priority", "match"), ())

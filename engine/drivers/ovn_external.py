"""The external network: what it is, and the one switch that every way out leads to.

Only the external network's own IPv4 addresses may cross it. A packet that no one-to-one public address was put on
carries a private source, a packet from outside to a private address a private destination: the switch drops both.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from engine.drivers.ovn_database import Edit, Row, rows_of
from engine.drivers.ovn_names import localnet_port, mac_of, router_port, switch_port


@dataclass(frozen=True)
class Outside6:
    """The external network's IPv6 side: its range, its router, and the edge's own address.

    ``pool`` are the ranges of networks; whoever leads to them does so by way of ``edge``.
    """

    range: IPv6Network
    gateway: IPv6Address
    edge: IPv6Address
    pool: IPv6Network


@dataclass(frozen=True)
class External:
    """The external network: its range, the router that leads on, and which hosts carry packets there.

    ``chassis`` are OVN chassis names (``external_ids:system-id`` of Open vSwitch), the preferred first;
    ``bridge`` is the name it has in ``ovn-bridge-mappings``; ``owner`` tells one deployment's edge from another's.
    """

    range: IPv4Network
    gateway: IPv4Address
    chassis: tuple[str, ...]
    bridge: str = "ext"
    outside6: Outside6 | None = None
    owner: str = ""

    @property
    def switch(self) -> str:
        return f"external-switch-{self.bridge}"


def put_outer_port(edit: Edit, router: Row, link: str, address: str, external: External, ids: dict[str, str]) -> None:
    """Make a router's port on the external switch so, with an address and its length."""
    name = router_port(link)
    columns = {"mac": mac_of(name), "networks": [address], "external_ids": ids}
    port = edit.child(router, "ports", "Logical_Router_Port", name, **columns)
    wanted = [
        {"name": f"{name}_{chassis}", "chassis_name": chassis, "priority": len(external.chassis) - place}
        for place, chassis in enumerate(external.chassis)
    ]
    edit.children(port, "gateway_chassis", "Gateway_Chassis", ("name",), wanted)
    edit.child(
        _put_switch(edit, external),
        "ports",
        "Logical_Switch_Port",
        switch_port(link),
        type="router",
        addresses=["router"],
        # The host that carries an address announces it (gratuitous ARP) when it begins to.
        options={"router-port": name, "nat-addresses": "router"},
        external_ids=ids,
    )


def _put_switch(edit: Edit, external: External) -> Row:
    wire = localnet_port(external.bridge)
    switch = edit.root("Logical_Switch", external.switch)
    columns = {"type": "localnet", "addresses": ["unknown"], "options": {"network_name": external.bridge}}
    edit.child(switch, "ports", "Logical_Switch_Port", wire, **columns)
    border = (
        (f'inport == "{wire}" && ip4.dst == {external.range}', "allow"),
        (f'inport == "{wire}" && ip4', "drop"),
        (f"ip4.src == {external.range}", "allow"),
        ("ip4", "drop"),
    )
    acls = [
        {"direction": "from-lport", "priority": 1003 - place, "match": match, "action": action}
        for place, (match, action) in enumerate(border)
    ]
    edit.children(switch, "acls", "ACL", ("direction", "priority", "match", "action"), acls)
    return switch


def drop_outer_port(edit: Edit, router: Row | None, link: str, external: External) -> None:
    switch = edit.named("Logical_Switch", external.switch)
    if switch is not None:
        edit.drop(switch, "ports", edit.named("Logical_Switch_Port", switch_port(link)))
        if len(rows_of(switch, "ports")) <= 1:
            # Only the wire is left.
            switch.delete()
    if router is not None:
        edit.drop(router, "ports", edit.named("Logical_Router_Port", router_port(link)))

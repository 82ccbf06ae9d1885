"""Where denied packets of a logged network end: policies drop in silence, so they lead to an ACL that logs.

A switch of its own, with a place on it that is nobody's, so that the router finds it without asking.
"""

from typing import Any

from engine.drivers.networking import Network
from engine.drivers.ovn_database import NETWORK, Edit, Row
from engine.drivers.ovn_groups import dropping
from engine.drivers.ovn_names import SINK, SINK_6, mac_of, router_port, sink, sink_mac, switch_port

_LINKS = ["169.254.255.249/30", "fd00:ec2:0:1::1/126"]
"""The router's own addresses there."""
_HIGHEST = 32767


def put_sink(edit: Edit, router: Row, network_: Network) -> None:
    """Make a network's sink so: there is one where something can be denied, and is to be logged."""
    name = sink(network_.id)
    port = router_port(name)
    if not network_.is_logged or all(subnet.filter is None for subnet in network_.subnets):
        switch = edit.named("Logical_Switch", name)
        edit.drop(router, "ports", edit.named("Logical_Router_Port", port))
        if switch is not None:
            switch.delete()
        return
    ids = {NETWORK: network_.id}
    switch = edit.root("Logical_Switch", name, external_ids=ids)
    edit.child(
        router, "ports", "Logical_Router_Port", port, mac=mac_of(port), networks=_LINKS, external_ids=ids
    )  # fmt: skip
    columns: dict[str, Any] = {"type": "router", "addresses": ["router"], "options": {"router-port": port}}
    edit.child(switch, "ports", "Logical_Switch_Port", switch_port(name), **columns)
    addresses = " ".join([sink_mac(network_.id), SINK, SINK_6])
    edit.child(switch, "ports", "Logical_Switch_Port", name, addresses=[addresses])
    acl = {"direction": "from-lport", "priority": _HIGHEST, "match": "ip", "action": "drop"} | dropping(network_)
    edit.children(switch, "acls", "ACL", ("direction", "priority", "match", "action"), [acl])

"""What this host serves inside of networks: their own services, and the relays to services of the operator."""

import json
from collections.abc import Callable, Collection
from pathlib import Path

from engine.drivers.base import port_uuid
from engine.drivers.namespaces import Namespaces, run
from engine.drivers.networking import Router, Seat, Subnet
from engine.drivers.ovn_names import METADATA_ADDRESS, metadata_mac, metadata_port, router_of

_IPV6 = Path("/proc/sys/net/ipv6")


class MetadataListeners(Namespaces):
    """The doors of a network's own services: a namespace that sits on the network's metadata port.

    Its addresses are of those that this port has. The network's subnets share one switch, so every guest is on link: no
    gateway is needed on the way back.
    """

    device_prefix = "gfm-"

    def ensure_namespace(self, id: str, addresses: Collection[str] = (METADATA_ADDRESS,)) -> str:
        return super().ensure_namespace(id, addresses)

    def port(self, id: str) -> str:
        return metadata_port(id)

    def router(self, subnet: Subnet) -> Router:
        """Return what a subnet's router goes by on the wire of its network."""
        return router_of(subnet)

    def batch(self, id: str, device: str, addresses: Collection[str]) -> str:
        return _batch(device, metadata_mac(id), addresses, _addresses(device, self._name(id)) - set(addresses))


class RelayListeners(Namespaces):
    """The doors of services of the operator: a namespace that sits on the port of an endpoint's interface."""

    kind = "relay"
    device_prefix = "gfr-"

    def __init__(self, seats: Callable[[str], Seat], integration_bridge: str, datapath: str, owner: str) -> None:
        """``seats`` says what an interface has in its subnet."""
        super().__init__(integration_bridge, datapath, owner)
        self._seats = seats

    def port(self, id: str) -> str:
        return port_uuid(id)

    def batch(self, id: str, device: str, addresses: Collection[str]) -> str:
        seat = self._seats(id)
        lines = [f"link set {device} addrgenmode none"] if _IPV6.exists() else []
        lines += [
            "link set lo up",
            f"link set {device} address {seat.mac} mtu {seat.mtu} up",
            f"address replace {seat.address} dev {device}",
            f"route replace default via {seat.router} dev {device}",
        ]
        return "\n".join([*lines, ""])


def _batch(device: str, mac: str, addresses: Collection[str], unwanted: Collection[str]) -> str:
    lines = ["link set lo up", f"link set {device} address {mac} up"]
    if _IPV6.exists():
        # It speaks by the addresses that it is given alone: one that it made up by itself nobody would know of.
        lines.insert(0, f"link set {device} addrgenmode none")
    lines += [f"address delete {address} dev {device}" for address in sorted(unwanted)]
    for address in sorted(addresses):
        if ":" in address:
            lines.append(f"address replace {address}/128 dev {device} nodad")
            lines.append(f"route replace ::/0 dev {device}")
        else:
            lines.append(f"address replace {address}/32 dev {device}")
            lines.append(f"route replace default dev {device} scope link")
    return "\n".join([*dict.fromkeys(lines), ""])


def _addresses(device: str, name: str) -> set[str]:
    """Return the addresses that a device in a namespace has."""
    shown = json.loads(run("ip", "-n", name, "-json", "address", "show", "dev", device))
    return {each["local"] for link in shown for each in link.get("addr_info", ())}

"""Networks on OVN, by writing what should be into its northbound database; OVN's own daemons make it so on all hosts.

The rows of a call are compared and written in one transaction, so a crash leaves either all of it or nothing.
"""

from engine.drivers.base import port_uuid
from engine.drivers.networking import Group, Network, Port
from engine.drivers.ovn_border import drop_unused_outlets
from engine.drivers.ovn_database import Northbound, View
from engine.drivers.ovn_external import External
from engine.drivers.ovn_groups import drop_group, put_group
from engine.drivers.ovn_networks import drop_network, put_network
from engine.drivers.ovn_paths import trace
from engine.drivers.ovn_ports import drop_port, put_port
from engine.drivers.ovn_trace import Tracer
from engine.drivers.packets import Hop, Packet

__all__ = ["External", "Ovn"]


class Ovn:
    """A network driver (``drivers.networking.NetworkDriver``) for any number of threads.

    ``northbound`` and ``southbound`` are the databases in OVSDB's notation, ``physical`` the name that the VLAN trunk
    has in ``ovn-bridge-mappings``, ``mtu`` the bytes that guests are told by DHCP. Connects at the first call.
    Every method raises DriverError while the database cannot be reached or does not accept the change.
    """

    def __init__(
        self,
        northbound: str,
        external: External,
        physical: str = "phys",
        mtu: int = 1442,
        owner: str = "",
        southbound: str = "unix:/var/run/ovn/ovnsb_db.sock",
    ) -> None:
        self._database = Northbound(northbound, owner=owner)
        self._tracer = Tracer(northbound, southbound)
        self._external = external
        self._physical = physical
        self._mtu = mtu

    def ensure_network(self, network: Network) -> None:
        """Raise Refused for ranges, VLANs, routes and filters that cannot be."""
        self._database.change(lambda edit: put_network(edit, network, self._external, self._physical, self._mtu))
        self._database.change(drop_unused_outlets)

    def remove_network(self, id: str) -> None:
        """Take away the network with the ports and groups that are left in it."""
        self._database.change(lambda edit: drop_network(edit, id, self._external))
        self._database.change(drop_unused_outlets)

    def list_networks(self) -> set[str]:
        return self._ids("Logical_Router")

    def ensure_group(self, group: Group) -> None:
        """Raise Refused for a rule that means nothing, DriverError when its network does not exist."""
        self._database.change(lambda edit: put_group(edit, group))

    def remove_group(self, id: str) -> None:
        self._database.change(lambda edit: drop_group(edit, id))

    def list_groups(self) -> set[str]:
        return self._ids("Port_Group")

    def ensure_port(self, port: Port) -> None:
        """Raise DriverError while something it needs is missing, or another port holds a public address of its."""
        self._database.change(lambda edit: put_port(edit, port))

    def remove_port(self, id: str) -> None:
        self._database.change(lambda edit: drop_port(edit, id))

    def list_ports(self) -> set[str]:
        return self._ids("Logical_Switch_Port")

    def port_is_up(self, id: str) -> bool:
        """Say whether a chassis has claimed the port and programmed all of its flows."""

        def look(view: View) -> bool:
            row = view.named("Logical_Switch_Port", port_uuid(id))
            return row is not None and row.up == [True]

        return self._database.read(look)

    def trace(self, packet: Packet) -> tuple[Hop, ...]:
        """Ask OVN, which knows the logical network only: it says the same whether hosts and machines run or not."""
        return trace(self._database, self._tracer, self._external, packet)

    def close(self) -> None:
        """End the connection."""
        self._database.close()

    def _ids(self, table: str) -> set[str]:
        return self._database.read(lambda view: view.ids(table))

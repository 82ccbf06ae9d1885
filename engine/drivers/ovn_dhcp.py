"""What OVN answers a guest's DHCP and DHCPv6 with: one row for each subnet and IP version."""

from engine.drivers.networking import Network, Subnet
from engine.drivers.ovn_database import ID, NETWORK, Edit, Row
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    RESOLVER_ADDRESS,
    RESOLVER_ADDRESS_6,
    address,
    any_network,
    mac_of,
    network,
    one_of,
    router_port,
)

_LEASE_SECONDS = 3600


def put_dhcp(edit: Edit, subnet: Subnet, network_: Network, mtu: int) -> None:
    """Make a subnet's answers so."""
    if subnet.cidr:
        _put(edit, subnet.id, network_.id, subnet.cidr, _answers(subnet, network_, mtu))
    if subnet.cidr6:
        _put(edit, _id6(subnet.id), network_.id, str(any_network(subnet.cidr6)), _answers6(subnet, network_))
    else:
        _drop(edit, _id6(subnet.id))


def drop_dhcp(edit: Edit, subnet_id: str) -> None:
    for id in (subnet_id, _id6(subnet_id)):
        _drop(edit, id)


def dhcp_of(edit: Edit, subnet_id: str) -> Row | None:
    """Return the row of a subnet's answers for IPv4, or None where it has none."""
    return next(iter(edit.marked("DHCP_Options", subnet_id)), None)


def dhcp6_of(edit: Edit, subnet_id: str) -> Row | None:
    return next(iter(edit.marked("DHCP_Options", _id6(subnet_id))), None)


def _id6(subnet_id: str) -> str:
    return f"{subnet_id}/6"


def _put(edit: Edit, id: str, network_id: str, cidr: str, options: dict[str, str]) -> None:
    present = edit.marked("DHCP_Options", id)
    if present:
        edit.put(present[0], cidr=cidr, options=options)
    else:
        edit.insert("DHCP_Options", cidr=cidr, options=options, external_ids={ID: id, NETWORK: network_id})


def _drop(edit: Edit, id: str) -> None:
    for row in edit.marked("DHCP_Options", id):
        row.delete()


def _answers(subnet: Subnet, network_: Network, mtu: int) -> dict[str, str]:
    told, gateway = network_.told, str(network(subnet.cidr)[1])
    options = {
        "lease_time": str(_LEASE_SECONDS),
        "router": gateway,
        "server_id": gateway,
        "server_mac": mac_of(router_port(subnet.id), subnet),
        "mtu": str(mtu),
        "classless_static_route": _static_routes(subnet, network_, gateway),
    }
    servers = {
        "dns_server": told.dns_servers,
        "ntp_server": told.ntp_servers,
        "netbios_name_server": told.netbios_servers,
    }
    for name, listed in servers.items():
        found = [str(address(server)) for server in listed if ":" not in server]
        if found:
            options[name] = one_of(found)
    if told.netbios_type is not None:
        options["netbios_node_type"] = str(told.netbios_type)
    if told.domain_name:
        options["domain_name"] = _quoted(told.domain_name)
    return options


def _static_routes(subnet: Subnet, network_: Network, gateway: str) -> str:
    """What the network serves itself is on the guest's own link, and all else behind the router.

    Who honours classless routes ignores the router option (RFC 3442), so the default route is in both.
    """
    on_link = [METADATA_ADDRESS, RESOLVER_ADDRESS]
    if network_.resolver and address(network_.resolver) not in network(subnet.cidr):
        on_link.append(network_.resolver)
    return one_of([*(f"{served}/32,0.0.0.0" for served in on_link), f"0.0.0.0/0,{gateway}"])


def _answers6(subnet: Subnet, network_: Network) -> dict[str, str]:
    options = {"server_id": mac_of(router_port(subnet.id), subnet)}
    told = network_.told
    servers = [server for server in told.dns_servers if ":" in server]
    if network_.resolver and network_.resolver in told.dns_servers:
        servers.append(RESOLVER_ADDRESS_6)
    if servers:
        options["dns_server"] = one_of(servers)
    if told.domain_name:
        options["domain_search"] = _quoted(told.domain_name)
    return options


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "") + '"'

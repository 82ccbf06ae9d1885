"""The values of DHCP options as requests give them, each checked by what its option means."""

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from engine.names import PROVIDED_DNS
from translators.errors import Ec2Error, invalid, missing, unsupported

_MOST_SERVERS = 4
"""Of each kind and IP version."""
_NODE_TYPES = ("1", "2", "4", "8")
"""Those of RFC 2132, section 8.7."""
_DOMAIN = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?)*\.?"
)
_LONGEST_DOMAIN = 255


def read(configurations: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return a request's options as they are kept: values by name. Raise Ec2Error for what is no option."""
    found: dict[str, list[str]] = {}
    for configuration in configurations:
        key = configuration.get("Key")
        if not key:
            raise missing("dhcpConfiguration.key")
        if key not in _READERS:
            raise invalid("dhcpConfiguration.key", key, "There is no such DHCP option.")
        if key in found:
            raise invalid("dhcpConfiguration.key", key, "An option can be given only once.")
        # Several values may also be one, with commas between them.
        values = [part.strip() for value in configuration.get("Values") or () for part in value.split(",")]
        if not all(values) or not values:
            raise missing(f"dhcpConfiguration.value ({key})")
        found[key] = _READERS[key](key, values)
    return found


def _name_servers(key: str, values: list[str]) -> list[str]:
    """Return addresses; the network's own resolver has a name, and counts as one of IPv4."""
    return _few(key, [value if value == PROVIDED_DNS else _address(key, value) for value in values])


def _time_servers(key: str, values: list[str]) -> list[str]:
    found = [_address(key, value) for value in values]
    if any(":" in address for address in found):
        raise unsupported("DhcpConfigurations (ntp-servers)", "By DHCPv6 guests are told of no NTP servers.")
    return _few(key, found)


def _netbios_servers(key: str, values: list[str]) -> list[str]:
    found = [_address(key, value) for value in values]
    for address in found:
        if ":" in address:
            raise invalid(key, address, "NetBIOS is for IPv4 only.")
    return _few(key, found)


def _few(key: str, values: list[str]) -> list[str]:
    counts = [sum((":" in value) == is_ipv6 for value in values) for is_ipv6 in (False, True)]
    if max(counts) > _MOST_SERVERS:
        raise invalid(key, ", ".join(values), f"There can be {_MOST_SERVERS} at most.")
    return values


def _address(key: str, value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise invalid(key, value, "It is not an IP address.") from None


def _domain_name(key: str, values: list[str]) -> list[str]:
    """Return the one value, which may be several domains with spaces between them."""
    text = _only(key, values)
    if len(text) > _LONGEST_DOMAIN or not all(_DOMAIN.fullmatch(domain) for domain in text.split()):
        raise invalid(key, text, "It is not a domain name.")
    return [text]


def _node_type(key: str, values: list[str]) -> list[str]:
    text = _only(key, values)
    if text not in _NODE_TYPES:
        raise invalid(key, text, f"It must be one of {', '.join(_NODE_TYPES)}.")
    return [text]


def _lease_time(key: str, values: list[str]) -> list[str]:
    raise unsupported(f"DhcpConfigurations ({key})", "How long DHCPv6 leases addresses cannot be set.")


def _only(key: str, values: list[str]) -> str:
    if len(values) != 1:
        raise Ec2Error("InvalidParameterValue", f"The DHCP option {key} has one value only.")
    return values[0]


_READERS: dict[str, Callable[[str, list[str]], list[str]]] = {
    "domain-name": _domain_name,
    "domain-name-servers": _name_servers,
    "ipv6-address-preferred-lease-time": _lease_time,
    "netbios-name-servers": _netbios_servers,
    "netbios-node-type": _node_type,
    "ntp-servers": _time_servers,
}

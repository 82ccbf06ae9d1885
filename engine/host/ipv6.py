"""Lets guests out by IPv6 through this host: its foot in the external network, forwarding, and the way back to them."""

import ipaddress
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.host.bridges import EXTERNAL, edge_address
from engine.host.commands import Report, run
from engine.host.findings import UP, Check
from engine.host.masquerade import ensure_masquerade6, masquerades6, remove_masquerade6
from engine.secrets import open_vault
from settings import Settings

_CONF = Path("/proc/sys/net/ipv6/conf")


def ensure_ipv6(settings: Settings, report: Report) -> None:
    """Be the router of the external network's IPv6 side, or stop being it when another machine is.

    A kernel without IPv6, or one that lets nobody change how it forwards, is no error: there is no way out then, and
    the doctor says so. Raises HostError for what ``ip`` refuses.
    """
    if not has_ipv6():
        return
    gateway = f"{settings.external_gateway6}/{settings.external_network6.prefixlen}"
    edge = edge_of(settings)
    if settings.external_masquerade:
        _set("disable_ipv6", EXTERNAL, "0")
        if gateway not in _addresses():
            report(f"taking the external gateway's address {gateway}")
            run(["ip", "-6", "address", "replace", gateway, "dev", EXTERNAL, "nodad"])
        _ensure_forwarding(report)
        if _way_to(settings.ipv6_pool) != (str(edge), EXTERNAL):
            report(f"routing {settings.ipv6_pool} to guests by way of {edge}")
            run(["ip", "-6", "route", "replace", str(settings.ipv6_pool), "via", str(edge), "dev", EXTERNAL])
        ensure_masquerade6(settings.ipv6_pool, EXTERNAL, report)
        return
    if _way_to(settings.ipv6_pool) == (str(edge), EXTERNAL):
        report(f"no longer routing {settings.ipv6_pool} to guests")
        run(["ip", "-6", "route", "delete", str(settings.ipv6_pool), "via", str(edge), "dev", EXTERNAL])
        remove_masquerade6(settings.ipv6_pool, EXTERNAL)
    if gateway in _addresses():
        run(["ip", "-6", "address", "delete", gateway, "dev", EXTERNAL])


def has_ipv6() -> bool:
    """Whether this kernel speaks IPv6: it may have been built or started without."""
    return _read("disable_ipv6") == "0"


def edge_of(settings: Settings) -> ipaddress.IPv6Address:
    """The address of this deployment's edge."""
    return edge_address(settings, open_vault(settings.secret_key, settings.data / "secret.key").identity)


def _read(name: str, device: str = "all") -> str:
    with suppress(OSError):
        return (_CONF / device / name).read_text().strip()
    return ""


def _set(name: str, device: str, value: str) -> None:
    if _read(name, device) != value:
        with suppress(OSError):
            (_CONF / device / name).write_text(f"{value}\n")


def _ensure_forwarding(report: Report) -> None:
    if _read("forwarding") == "1":
        return
    report("switching net.ipv6.conf.all.forwarding on")
    # A router takes no router's advice: a host that has its own default route from one must go on taking it.
    for device in _CONF.glob("*"):
        if _read("accept_ra", device.name) == "1":
            _set("accept_ra", device.name, "2")
    _set("forwarding", "all", "1")


def _addresses() -> set[str]:
    links: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-6", "address", "show", "dev", EXTERNAL]))
    return {f"{a['local']}/{a['prefixlen']}" for link in links for a in link.get("addr_info", ())}


def _way_to(pool: ipaddress.IPv6Network) -> tuple[str, str] | None:
    """Where this host sends what is for the pool: a gateway and a device."""
    routes: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-6", "route", "show", str(pool)]) or "[]")
    return next(((route.get("gateway", ""), route.get("dev", "")) for route in routes), None)


def check_way_out6(settings: Settings) -> Check:
    """Guests' packets of IPv6 are forwarded and masqueraded, and what is for guests finds them."""
    name = "way out by IPv6"
    if not settings.external_masquerade:
        return Check(name, True, "by the external network's own router")
    if not has_ipv6():
        text = "none, as this kernel has no IPv6: guests reach each other by it, and nobody else"
        return Check(name, None, text, "start the kernel without ipv6.disable=1, then: sudo make up")
    if _read("forwarding") != "1":
        remedy = "run: sysctl -w net.ipv6.conf.all.forwarding=1"
        return Check(name, None, "none, as this host does not forward IPv6", remedy)
    if not (settings.secret_key or (settings.data / "secret.key").exists()):
        return Check(name, False, "this deployment was never up", UP)
    return _judge(name, settings, edge_of(settings))


def _judge(name: str, settings: Settings, edge: ipaddress.IPv6Address) -> Check:
    pool, way = settings.ipv6_pool, _way_to(settings.ipv6_pool)
    gateway = f"{settings.external_gateway6}/{settings.external_network6.prefixlen}"
    if gateway not in _addresses():
        return Check(name, False, f"{EXTERNAL} lacks the address {gateway}", UP)
    if way is None:
        return Check(name, False, f"this host has no route to {pool}", UP)
    if way != (str(edge), EXTERNAL):
        remedy = f"have one of the two use another GROUNDFOG_IPV6_POOL, or: ip -6 route delete {pool}, and make up"
        return Check(name, False, f"this host routes {pool} to another deployment, by {way[0] or way[1]}", remedy)
    if not masquerades6(pool):
        remedy = "load the kernel's NAT for IPv6: modprobe -a nft_masq nft_chain_nat, then: sudo make up"
        return Check(name, None, "forwarded by this host, but not masqueraded", remedy)
    return Check(name, True, f"{pool} by way of {edge}, forwarded and masqueraded by this host")

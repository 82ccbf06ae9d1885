"""The doctor's look at the daemons and the virtual network: each is spoken to, for a live process proves little."""

import ipaddress
import json
from pathlib import Path
from typing import Any

from engine.host.bridges import EXTERNAL, INTEGRATION, MAPPINGS, PHYSICAL, Switch, read_switch
from engine.host.commands import attempt, run
from engine.host.daemons import daemons, has_systemd, is_alive
from engine.host.findings import UP, Check, Examine
from engine.host.ipv6 import check_way_out6
from engine.host.masquerade import TABLE, masquerades
from settings import Settings


def check_daemons(settings: Settings) -> Check:
    """Something answers at the socket of each."""
    dead = [daemon for daemon in daemons() if not is_alive(daemon)]
    if not dead:
        return Check("daemons", True, ", ".join(map(str, daemons())))
    units = " ".join(daemon.unit for daemon in dead)
    remedy = f"run: systemctl restart {units}" if has_systemd() else UP
    return Check("daemons", False, f"not answering: {', '.join(map(str, dead))}", remedy)


def check_libvirt(settings: Settings) -> Check:
    """libvirt answers a call, and knows an emulator."""
    said = run(["virsh", "--connect", settings.libvirt_uri, "version"], timeout=15)
    return Check("libvirt", True, f"{settings.libvirt_uri}: {said.strip().splitlines()[-1]}")


def check_switch(settings: Settings) -> Check:
    """Open vSwitch's daemon answers from its main loop."""
    return Check("switch", True, run(["ovs-appctl", "--target=ovs-vswitchd", "version"], timeout=5).strip())


def check_bridges(settings: Settings) -> Check:
    """The three bridges, and OVN's view of them."""
    return judge_bridges(read_switch())


def judge_bridges(switch: Switch) -> Check:
    """What is missing in the switch's database; taken apart from reading it."""
    missing = [bridge for bridge in (INTEGRATION, PHYSICAL, EXTERNAL) if bridge not in switch.bridges]
    if missing:
        return Check("bridges", False, f"missing: {', '.join(missing)}", UP)
    mapped = switch.host.get("ovn-bridge-mappings", "").split(",")
    absent = [f"{name}:{bridge}" for name, bridge in MAPPINGS.items() if f"{name}:{bridge}" not in mapped]
    if absent:
        return Check("bridges", False, f"OVN is not told of {', '.join(absent)}", UP)
    kinds = {switch.bridges[bridge]["datapath_type"] or "system" for bridge in (INTEGRATION, PHYSICAL, EXTERNAL)}
    if len(kinds) > 1:
        return Check("bridges", False, "they are on different datapaths, so nothing passes between them", UP)
    kind = kinds.pop()
    slow = "in user space, as this kernel has no openvswitch module" if kind == "netdev" else "in the kernel"
    return Check("bridges", True, f"{INTEGRATION}, {PHYSICAL}, {EXTERNAL}; packets are forwarded {slow}")


def check_ovn(settings: Settings) -> Check:
    """This host's controller is connected, and a change goes the whole way: northbound, northd, southbound, controller.

    ``sync`` raises a counter and waits until every host has seen it; networks are not touched.
    """
    status = run(["ovn-appctl", "--target=ovn-controller", "connection-status"], timeout=5).strip()
    log = "read /var/log/ovn/ovn-controller.log; is ovn-remote right? ovs-vsctl get Open_vSwitch . external_ids"
    if status != "connected":
        return Check("ovn", False, f"ovn-controller is {status}", log)
    done = attempt(["ovn-nbctl", "--timeout=10", "--wait=hv", "sync"])
    if done.returncode != 0:
        return Check("ovn", False, "a change did not reach every host within 10 s", "read /var/log/ovn/ovn-northd.log")
    return Check("ovn", True, "changes reach every host")


def check_gateway(settings: Settings) -> Check:
    """This host has the external gateway's address, and no other network of this host overlaps the external one."""
    name = "external network"
    routes: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-4", "route", "show"]))
    other = overlapping(routes, settings.external_network)
    if other:
        remedy = "set GROUNDFOG_EXTERNAL_NETWORK (with _GATEWAY and _POOL) to a range that is free"
        return Check(name, False, f"{settings.external_network} overlaps {other}", remedy)
    if not settings.external_masquerade:
        return Check(name, True, f"{settings.external_network} is routed by {settings.external_gateway}")
    links: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-4", "address", "show", "dev", EXTERNAL]))
    if str(settings.external_gateway) not in {a["local"] for link in links for a in link["addr_info"]}:
        return Check(name, False, f"{EXTERNAL} lacks the address {settings.external_gateway}", UP)
    return Check(name, True, f"{settings.external_network}, this host is {settings.external_gateway}")


def overlapping(routes: list[dict[str, Any]], external: ipaddress.IPv4Network) -> str:
    """The first of these routes, apart from the default and our own, that leads into the external network; or ""."""
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == EXTERNAL:
            continue
        if ipaddress.ip_network(route["dst"]).overlaps(external):
            return f"{route['dst']} on {route.get('dev', 'this host')}"
    return ""


def check_way_out(settings: Settings) -> Check:
    """Guests' packets are forwarded and masqueraded, and no other program's rules drop them."""
    name = "way out"
    if not settings.external_masquerade:
        return Check(name, True, "by the external network's own router")
    if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() != "1":
        return Check(name, False, "this host does not forward packets", "run: sysctl -w net.ipv4.ip_forward=1")
    if not masquerades():
        return Check(name, False, "nothing masquerades what guests send", UP)
    chains = attempt(["nft", "--json", "list", "chains"])
    droppers = dropping_chains(chains.stdout) if chains.returncode == 0 else []
    if droppers:
        remedy = f"run: iptables -I FORWARD -i {EXTERNAL} -j ACCEPT && iptables -I FORWARD -o {EXTERNAL} -j ACCEPT"
        return Check(name, None, f"{', '.join(droppers)} drops what it does not know (Docker? ufw?)", remedy)
    return Check(name, True, "forwarded and masqueraded by this host")


def dropping_chains(listed: str) -> list[str]:
    """Other programs' chains on forwarding whose last word is drop: our own accept does not overrule them."""
    chains = [item["chain"] for item in json.loads(listed)["nftables"] if "chain" in item]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain["table"] != TABLE
    ]


NETWORK: tuple[Examine, ...] = (
    check_daemons,
    check_libvirt,
    check_switch,
    check_bridges,
    check_ovn,
    check_gateway,
    check_way_out,
    check_way_out6,
)

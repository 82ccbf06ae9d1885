"""Lays the switch out: the bridges, what OVN is told of this host, and the host's foot in the external network."""

import hashlib
import ipaddress
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.host.commands import HostError, Report, run
from engine.host.daemons import kernel_datapath
from engine.host.masquerade import ensure_masquerade, remove_masquerade
from settings import Settings

# Guests' ports; VLANs of the physical network; addresses of the external network.
INTEGRATION, PHYSICAL, EXTERNAL = "br-int", "br-phys", "br-ext"
MAPPINGS = {"phys": PHYSICAL, "ext": EXTERNAL}
# Where ovs-ctl keeps the name of this host; with systemd it is what sets system-id at every start.
SYSTEM_ID = Path("/etc/openvswitch/system-id.conf")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_DEVICES = Path("/sys/class/net")


@dataclass(frozen=True)
class Switch:
    """What the switch's database holds: the host's settings, ``{bridge: row}`` and ``{interface: row}``."""

    host: dict[str, str] = field(default_factory=dict)
    bridges: dict[str, dict[str, Any]] = field(default_factory=dict)
    interfaces: dict[str, dict[str, Any]] = field(default_factory=dict)


def ensure_bridges(settings: Settings, report: Report) -> None:
    """Make the bridges, tell OVN about them, and connect the outside. Raises HostError."""
    switch = read_switch()
    datapath = "system" if kernel_datapath() else "netdev"
    wanted = [*host_changes(switch, datapath, _system_id(switch)), *bridge_changes(switch, datapath, settings)]
    wanted += [*card_changes(switch, settings), *dead_ports(switch)]
    if wanted:
        report("laying out the bridges of the switch")
        run(["ovs-vsctl", "--timeout=30", *(word for change in wanted for word in ("--", *change))])
    _ensure_links(settings, datapath, report)
    if settings.external_masquerade:
        _ensure_forwarding(report)
        ensure_masquerade(settings.external_network, EXTERNAL, report)
    else:
        remove_masquerade(settings.external_network, EXTERNAL, report)


def _ensure_forwarding(report: Report) -> None:
    if _FORWARDING.read_text().strip() == "1":
        return
    report("switching net.ipv4.ip_forward on")
    try:
        _FORWARDING.write_text("1\n")
    except OSError as reason:
        raise HostError(
            f"cannot switch packet forwarding on ({reason.strerror}): this may be a container; "
            "run on its host: sysctl -w net.ipv4.ip_forward=1"
        ) from reason


def read_switch() -> Switch:
    """All of it in one call. The switch answers within 10 s or a HostError is raised."""
    said = run(
        ["ovs-vsctl", "--timeout=10", "--format=json",
         "--columns=external_ids", "list", "Open_vSwitch",
         "--", "--columns=name,datapath_type,other_config", "list", "Bridge",
         "--", "--columns=name,external_ids,mtu_request", "list", "Interface"]
    )  # fmt: skip
    hosts, bridges, interfaces = (_rows(line) for line in said.splitlines())
    return Switch(
        hosts[0]["external_ids"] if hosts else {},
        {row["name"]: row for row in bridges},
        {row["name"]: row for row in interfaces},
    )


def taps() -> dict[str, str]:
    """Return the device of each logical port that is plugged in on this host, by the port's name."""
    rows = read_switch().interfaces.items()
    return {row["external_ids"]["iface-id"]: name for name, row in rows if "iface-id" in (row["external_ids"] or {})}


def _rows(line: str) -> list[dict[str, Any]]:
    """A table as ``ovs-vsctl --format=json`` prints it: RFC 7047 values under one list of headings."""
    table = json.loads(line)
    return [dict(zip(table["headings"], map(_value, row), strict=True)) for row in table["data"]]


def _value(value: Any) -> Any:
    match value:
        case ["map", pairs]:
            return dict(pairs)
        case ["set", []]:
            return None
        case _:
            return value


def _system_id(switch: Switch) -> str:
    """The name of this host in OVN: kept over reboots, since OVN would take a new name for a new host."""
    if name := switch.host.get("system-id"):
        return name
    if not SYSTEM_ID.exists():
        SYSTEM_ID.write_text(f"{uuid.uuid4()}\n")
    return SYSTEM_ID.read_text().strip()


def mac_of(system_id: str, purpose: str) -> str:
    """A locally administered hardware address, always the same for one host and purpose."""
    return ":".join(f"{byte:02x}" for byte in (0x0A, *hashlib.sha256(f"{system_id} {purpose}".encode()).digest()[:5]))


def edge_address(settings: Settings, owner: str) -> ipaddress.IPv6Address:
    """The address of a deployment's edge in the external network: where all of its IPv6 ranges are routed to."""
    word = int.from_bytes(hashlib.sha256(f"edge {owner}".encode()).digest()[:8], "big")
    return settings.external_network6[(word | 1 << 63) & ((1 << 64) - 1)]


def host_changes(switch: Switch, datapath: str, system_id: str) -> list[list[str]]:
    """What must be told to OVN's controller. What an operator has pointed elsewhere (several hosts) stays."""
    mappings = dict(pair.split(":", 1) for pair in switch.host.get("ovn-bridge-mappings", "").split(",") if pair)
    alone = {
        "system-id": system_id,
        "ovn-remote": "unix:/run/ovn/ovnsb_db.sock",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": "127.0.0.1",
        # One host needs the whole database anyway; asking for parts of it costs a round trip for every new network.
        "ovn-monitor-all": "true",
        # A VPC's router is on every host: each sends to the VLAN from an address of its own.
        "ovn-chassis-mac-mappings": f"phys:{mac_of(system_id, 'phys')}",
    }
    ours = {
        "ovn-bridge-mappings": ",".join(f"{name}:{bridge}" for name, bridge in {**mappings, **MAPPINGS}.items()),
        "ovn-bridge-datapath-type": datapath,
    }
    wanted = {**alone, **{name: switch.host[name] for name in alone if name in switch.host}, **ours}
    # Quoted, or ovs-vsctl takes the commas and colons for its own.
    pairs = [f'external_ids:{name}="{value}"' for name, value in wanted.items() if switch.host.get(name) != value]
    return [["set", "Open_vSwitch", ".", *pairs]] if pairs else []


def bridge_changes(switch: Switch, datapath: str, settings: Settings) -> list[list[str]]:
    """Bridges that are missing, or not on the wanted datapath, or too narrow for ``guest_mtu``."""
    changes: list[list[str]] = []
    system_id = _system_id(switch)
    for bridge in (INTEGRATION, PHYSICAL, EXTERNAL):
        row = switch.bridges.get(bridge)
        if row is None:
            changes.append(["--may-exist", "add-br", bridge])
        columns = [] if row and row["datapath_type"] == datapath else [f"datapath_type={datapath}"]
        columns += _fixed_address(bridge, row, system_id)
        if bridge == INTEGRATION and row is None:
            # As ovn-controller makes it: nothing flows that it has not allowed.
            columns += ["fail_mode=secure", "other_config:disable-in-band=true"]
        if columns:
            changes.append(["set", "Bridge", bridge, *columns])
        has = switch.interfaces.get(bridge, {}).get("mtu_request")
        if settings.guest_mtu > 1500 and has != settings.guest_mtu:
            changes.append(["set", "Interface", bridge, f"mtu_request={settings.guest_mtu}"])
    return changes


def _fixed_address(bridge: str, row: dict[str, Any] | None, system_id: str) -> list[str]:
    """The external bridge's hardware address must not change when a port joins: OVN's routers never ask again."""
    wanted = mac_of(system_id, "ext")
    if bridge != EXTERNAL or (row and row["other_config"].get("hwaddr") == wanted):
        return []
    return [f'other_config:hwaddr="{wanted}"']


def card_changes(switch: Switch, settings: Settings) -> list[list[str]]:
    """Network cards to put into bridges. Raises HostError for one that is missing or carries this host's address."""
    changes = []
    for bridge, card in ((PHYSICAL, settings.physical_interface), (EXTERNAL, settings.external_interface)):
        if not card or card in switch.interfaces:
            continue
        if not (_DEVICES / card).exists():
            raise HostError(f"cannot put {card} into {bridge}: there is no such network card; see: ip link")
        addresses = [a["local"] for a in _addresses(card) if a.get("scope") == "global"]
        if addresses:
            raise HostError(
                f"cannot put {card} into {bridge}: this host would lose its address {addresses[0]}; "
                "name a card that has none, or move the address to the bridge first"
            )
        changes.append(["--may-exist", "add-port", bridge, card])
    return changes


def dead_ports(switch: Switch) -> list[list[str]]:
    """Guests' ports whose device a reboot or a crash took: OVN would see one port twice once the guest is back."""
    return [
        ["--if-exists", "del-port", INTEGRATION, name]
        for name, row in switch.interfaces.items()
        if "vm-id" in row["external_ids"] and not (_DEVICES / name).exists()
    ]


def _addresses(device: str) -> list[dict[str, Any]]:
    return [address for link in _links(device) for address in link["addr_info"]]


def _links(device: str) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(run(["ip", "-json", "address", "show", "dev", device]))
    return links


def _ensure_links(settings: Settings, datapath: str, report: Report) -> None:
    """The host's side of br-ext: up, with the gateway's address when this host is the gateway."""
    for card in (settings.physical_interface, settings.external_interface):
        if card:
            run(["ip", "link", "set", card, "up"])
    if datapath == "netdev":
        # Nobody computes the checksums that the kernel leaves to hardware: TCP would hang while ping works.
        run(["ethtool", "-K", EXTERNAL, "tx", "off"])
    (link,) = _links(EXTERNAL)
    gateway = ipaddress.ip_interface(f"{settings.external_gateway}/{settings.external_network.prefixlen}")
    has = f"{gateway}" in {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]}
    if settings.external_masquerade and not has:
        report(f"taking the external gateway's address {gateway}")
        run(["ip", "address", "replace", f"{gateway}", "dev", EXTERNAL])
    if has and not settings.external_masquerade:
        run(["ip", "address", "delete", f"{gateway}", "dev", EXTERNAL])
    if "UP" not in link["flags"]:
        run(["ip", "link", "set", EXTERNAL, "up"])

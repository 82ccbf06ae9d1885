"""The doors of a network's own services: a namespace that sits on the network's metadata port, and sockets inside it.

Networks may use the same addresses, so a guest's address says who asks only together with the socket it came in by.
"""

import ctypes
import json
import os
import struct
import subprocess
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from socket import (
    AF_INET,
    AF_INET6,
    AF_PACKET,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from typing import Literal

from engine.drivers.base import DriverError
from engine.drivers.networking import Router, Subnet
from engine.drivers.ovn_names import METADATA_ADDRESS, metadata_mac, metadata_port, router_of

Kind = Literal["stream", "datagram", "frames"]

_PREFIX = "gf-"
_NAMESPACES = Path("/run/netns")
_IPV6 = Path("/proc/sys/net/ipv6")
_TYPES = {"stream": SOCK_STREAM, "datagram": SOCK_DGRAM, "frames": SOCK_RAW}
_SO_ATTACH_FILTER, _ETH_P_IPV6 = 26, 0x86DD
_CLONE_NEWNET = 0x40000000
# Open vSwitch makes a device a moment after the database names it; and is given up on as soon as a task would be.
_DEVICE_SECONDS = 10
_COMMAND_SECONDS = 30
_BACKLOG = 1024


class MetadataListeners:
    """Namespaces of this host, named after networks; needs root. Safe to call again after a crash at any point.

    ``datapath`` is the ``datapath_type`` of ``integration_bridge``: on ``netdev`` (user space) checksums must be
    computed before a packet leaves the namespace. Every method raises DriverError when the host refuses.
    """

    def __init__(self, integration_bridge: str = "br-int", datapath: str = "system", owner: str = "") -> None:
        """``owner`` tells the namespaces of one deployment from those of another on the same host."""
        self._prefix = f"{_PREFIX}{owner}." if owner else _PREFIX
        self._bridge = integration_bridge
        self._datapath = datapath
        self._lock = threading.Lock()

    def ensure_namespace(self, network_id: str, addresses: Collection[str] = (METADATA_ADDRESS,)) -> str:
        """Make a namespace that has these addresses in the network and reaches all of its subnets; return its name.

        They are of those that the network's metadata port has. The network's subnets share one switch, so every guest
        is on link: no gateway is needed on the way back.
        """
        name = self._name(network_id)
        with self._lock:
            if not _is_namespace(name):
                # A name without a mount is what a crash (or a reboot) leaves.
                (_NAMESPACES / name).unlink(missing_ok=True)
                _run("ip", "netns", "add", name)
            self._ensure_device(network_id, name, addresses)
        return name

    def listen(self, network_id: str, address: str = METADATA_ADDRESS, port: int = 80, kind: Kind = "stream") -> socket:
        """Return a socket of TCP (``stream``), listening, or of UDP at an address of a network's namespace.

        One of ``frames`` hears every ICMPv6 message of the type ``port`` on the network's wire, to whatever address,
        and sends frames as they are. Sockets stay in that network wherever they are used, and work until they are
        closed or the namespace is removed.
        """
        family = AF_PACKET if kind == "frames" else AF_INET6 if ":" in address else AF_INET
        listener = _socket_inside(self._name(network_id), family, _TYPES[kind])
        try:
            if kind == "frames":
                _hear(listener, _device_of(network_id), port)
            else:
                _bind(listener, address, port)
        except OSError as error:
            listener.close()
            raise DriverError(f"cannot listen at {address} in {network_id}: {error}") from error
        return listener

    def router(self, subnet: Subnet) -> Router:
        """Return what a subnet's router goes by on the wire of its network."""
        return router_of(subnet)

    def remove_namespace(self, network_id: str) -> None:
        """Take the namespace and its port away. Sockets made in it hear nothing any more."""
        name = self._name(network_id)
        with self._lock:
            _run("ovs-vsctl", "--if-exists", "del-port", self._bridge, _device_of(network_id))
            if _is_namespace(name):
                _run("ip", "netns", "delete", name)
            (_NAMESPACES / name).unlink(missing_ok=True)

    def list_namespaces(self) -> set[str]:
        """Return the ids of the networks that have a namespace, be it half made."""
        if not _NAMESPACES.exists():
            return set()
        names = (path.name for path in _NAMESPACES.iterdir() if path.name.startswith(self._prefix))
        found = {name.removeprefix(self._prefix) for name in names}
        return {id for id in found if "." not in id}

    def _name(self, network_id: str) -> str:
        return self._prefix + network_id

    def _ensure_device(self, network_id: str, name: str, addresses: Collection[str]) -> None:
        device = _device_of(network_id)
        self._add_port(network_id, device)
        if not _is_device(device, name):
            self._move_device(network_id, device, name)
        unwanted = _addresses(device, name) - set(addresses)
        _run("ip", "-n", name, "-batch", "-", text=_batch(device, metadata_mac(network_id), addresses, unwanted))
        if self._datapath == "netdev":
            _run("ip", "netns", "exec", name, "ethtool", "-K", device, "tx", "off")

    def _add_port(self, network_id: str, device: str) -> None:
        # No "mac" here: Open vSwitch would look for the device in its own namespace again and again, and complain.
        settings = ("type=internal", f"external_ids:iface-id={metadata_port(network_id)}")
        add = ("--may-exist", "add-port", self._bridge, device)
        _run("ovs-vsctl", *add, "--", "set", "Interface", device, *settings)

    def _move_device(self, network_id: str, device: str, name: str) -> None:
        if not _appears(device, seconds=1):
            # It went with a namespace that somebody deleted: Open vSwitch makes another only for a new port.
            _run("ovs-vsctl", "--if-exists", "del-port", self._bridge, device)
            self._add_port(network_id, device)
            if not _appears(device, _DEVICE_SECONDS):
                raise DriverError(f"cannot serve metadata in {network_id}: Open vSwitch made no device {device}")
        _run("ip", "link", "set", device, "netns", name)


def _device_of(network_id: str) -> str:
    # A device's name has at most 15 characters.
    return "gfm-" + sha256(network_id.encode()).hexdigest()[:11]


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


def _is_namespace(name: str) -> bool:
    """Say whether a namespace is mounted there (/proc/pid/mountinfo's fifth field is the mount point)."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return str(_NAMESPACES / name) in points or str(Path("/var/run/netns", name)) in points


def _is_device(device: str, name: str) -> bool:
    return subprocess.run(["ip", "-n", name, "link", "show", device], capture_output=True, check=False).returncode == 0


def _addresses(device: str, name: str) -> set[str]:
    """Return the addresses that a device in a namespace has."""
    shown = json.loads(_run("ip", "-n", name, "-json", "address", "show", "dev", device))
    return {each["local"] for link in shown for each in link.get("addr_info", ())}


def _bind(listener: socket, address: str, port: int) -> None:
    if listener.family == AF_INET6:
        listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
    if listener.type == SOCK_STREAM:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((address, port))
    if listener.type == SOCK_STREAM:
        listener.listen(_BACKLOG)


def _hear(listener: socket, device: str, message: int) -> None:
    """Have a packet socket hear a device's ICMPv6 messages of one type: the kernel lets nothing else through (BPF)."""
    load, equal, answer = 0x30, 0x15, 0x06
    next_header, type_ = 20, 54
    steps = ((load, 0, 0, next_header), (equal, 0, 3, 58), (load, 0, 0, type_), (equal, 0, 1, message),
             (answer, 0, 0, 0xFFFF), (answer, 0, 0, 0))  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    listener.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(steps), ctypes.addressof(program)))
    listener.bind((device, _ETH_P_IPV6))


def _appears(device: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not Path("/sys/class/net", device).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _socket_inside(name: str, family: int, kind: int) -> socket:
    """Make a socket from a thread that enters the namespace and ends: a socket belongs where it was made."""
    made: list[socket] = []

    def enter() -> None:
        with suppress(OSError), open(_NAMESPACES / name) as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) == 0:
                made.append(socket(family, kind))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not made:
        raise DriverError(f"cannot enter the namespace {name}")
    return made[0]


def _run(*command: str, text: str = "") -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, input=text, text=True, capture_output=True, check=True, timeout=_COMMAND_SECONDS, env=environment
        )
        return done.stdout
    except subprocess.CalledProcessError as error:
        raise DriverError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{' '.join(command)} failed: {error}") from error

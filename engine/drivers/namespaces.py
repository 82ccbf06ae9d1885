"""Namespaces of this host that sit on ports of networks, and sockets inside of them; needs root.

Networks may use the same addresses, so who asks is told by its address only together with the socket it came in by.
"""

import ctypes
import os
import struct
import subprocess
import threading
import time
from abc import ABC, abstractmethod
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

Kind = Literal["stream", "datagram", "frames"]

_PREFIX = "gf-"
_NAMESPACES = Path("/run/netns")
_TYPES = {"stream": SOCK_STREAM, "datagram": SOCK_DGRAM, "frames": SOCK_RAW}
_SO_ATTACH_FILTER, _ETH_P_IPV6 = 26, 0x86DD
_CLONE_NEWNET = 0x40000000
# Open vSwitch makes a device a moment after the database names it; and is given up on as soon as a task would be.
_DEVICE_SECONDS = 10
_COMMAND_SECONDS = 30
_BACKLOG = 1024


class Namespaces(ABC):
    """Namespaces named after what they serve, by its id. Safe to call again after a crash at any point.

    ``datapath`` is the ``datapath_type`` of ``integration_bridge``: on ``netdev`` (user space) checksums must be
    computed before a packet leaves the namespace. Every method raises DriverError when the host refuses.
    """

    kind = ""
    """What tells namespaces of this kind from others, in their names."""
    device_prefix = "gf-"

    def __init__(self, integration_bridge: str = "br-int", datapath: str = "system", owner: str = "") -> None:
        """``owner`` tells the namespaces of one deployment from those of another on the same host."""
        self._prefix = _PREFIX + "".join(f"{part}." for part in (owner, self.kind) if part)
        self._bridge = integration_bridge
        self._datapath = datapath
        self._lock = threading.Lock()

    @abstractmethod
    def port(self, id: str) -> str:
        """Return the name of the network's port that a namespace sits on."""

    @abstractmethod
    def batch(self, id: str, device: str, addresses: Collection[str]) -> str:
        """Return what ``ip -batch`` is told inside the namespace so that the device is as it should be."""

    def ensure_namespace(self, id: str, addresses: Collection[str]) -> str:
        """Make a namespace that has these addresses in its network; return its name."""
        name = self._name(id)
        with self._lock:
            if not _is_namespace(name):
                # A name without a mount is what a crash (or a reboot) leaves.
                (_NAMESPACES / name).unlink(missing_ok=True)
                run("ip", "netns", "add", name)
            self._ensure_device(id, name, addresses)
        return name

    def listen(self, id: str, address: str, port: int, kind: Kind = "stream") -> socket:
        """Return a socket of TCP (``stream``), listening, or of UDP at an address of a namespace.

        One of ``frames`` hears every ICMPv6 message of the type ``port`` on the wire, to whatever address, and sends
        frames as they are. Sockets stay in that network wherever they are used, and work until they are closed or the
        namespace is removed.
        """
        family = AF_PACKET if kind == "frames" else AF_INET6 if ":" in address else AF_INET
        listener = _socket_inside(self._name(id), family, _TYPES[kind])
        try:
            if kind == "frames":
                _hear(listener, self.device_of(id), port)
            else:
                _bind(listener, address, port)
        except OSError as error:
            listener.close()
            raise DriverError(f"cannot listen at {address} in {id}: {error}") from error
        return listener

    def remove_namespace(self, id: str) -> None:
        """Take the namespace and its device away. Sockets made in it hear nothing any more."""
        name = self._name(id)
        with self._lock:
            run("ovs-vsctl", "--if-exists", "del-port", self._bridge, self.device_of(id))
            if _is_namespace(name):
                run("ip", "netns", "delete", name)
            (_NAMESPACES / name).unlink(missing_ok=True)

    def list_namespaces(self) -> set[str]:
        """Return the ids of what has a namespace, be it half made."""
        if not _NAMESPACES.exists():
            return set()
        names = (path.name for path in _NAMESPACES.iterdir() if path.name.startswith(self._prefix))
        found = {name.removeprefix(self._prefix) for name in names}
        return {id for id in found if "." not in id}

    def device_of(self, id: str) -> str:
        # A device's name has at most 15 characters.
        return self.device_prefix + sha256(id.encode()).hexdigest()[:11]

    def _name(self, id: str) -> str:
        return self._prefix + id

    def _ensure_device(self, id: str, name: str, addresses: Collection[str]) -> None:
        device = self.device_of(id)
        self._add_port(id, device)
        if not _is_device(device, name):
            self._move_device(id, device, name)
        run("ip", "-n", name, "-batch", "-", text=self.batch(id, device, addresses))
        if self._datapath == "netdev":
            run("ip", "netns", "exec", name, "ethtool", "-K", device, "tx", "off")

    def _add_port(self, id: str, device: str) -> None:
        # No "mac" here: Open vSwitch would look for the device in its own namespace again and again, and complain.
        settings = ("type=internal", f"external_ids:iface-id={self.port(id)}")
        add = ("--may-exist", "add-port", self._bridge, device)
        run("ovs-vsctl", *add, "--", "set", "Interface", device, *settings)

    def _move_device(self, id: str, device: str, name: str) -> None:
        if not _appears(device, seconds=1):
            # It went with a namespace that somebody deleted: Open vSwitch makes another only for a new port.
            run("ovs-vsctl", "--if-exists", "del-port", self._bridge, device)
            self._add_port(id, device)
            if not _appears(device, _DEVICE_SECONDS):
                raise DriverError(f"cannot serve {id}: Open vSwitch made no device {device}")
        run("ip", "link", "set", device, "netns", name)


def _is_namespace(name: str) -> bool:
    """Say whether a namespace is mounted there (/proc/pid/mountinfo's fifth field is the mount point)."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return str(_NAMESPACES / name) in points or str(Path("/var/run/netns", name)) in points


def _is_device(device: str, name: str) -> bool:
    return subprocess.run(["ip", "-n", name, "link", "show", device], capture_output=True, check=False).returncode == 0


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


def run(*command: str, text: str = "") -> str:
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

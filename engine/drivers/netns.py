"""What a network serves itself: for each a namespace that sits on its metadata port, and sockets inside of it.

Networks may use the same addresses, so a guest's address says who asks only together with the socket it came in by.
"""

import ctypes
import os
import subprocess
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from socket import (
    AF_INET,
    AF_INET6,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    AddressFamily,
    SocketKind,
    socket,
)

from engine.drivers.base import DriverError
from engine.drivers.ovn_names import (
    METADATA_ADDRESS,
    METADATA_ADDRESS_6,
    RESOLVER_ADDRESS,
    RESOLVER_ADDRESS_6,
    metadata_mac,
    metadata_port,
)

_PREFIX = "gf-"
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_HAS_IPV6 = Path("/proc/net/if_inet6").exists()
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

    def ensure_namespace(self, network_id: str, resolver: str = "") -> str:
        """Make a namespace that reaches all subnets of the network; return its name.

        It owns the addresses of the metadata service and of the resolver, one of which, ``resolver``, is the network's
        own. The network's subnets share one switch, so every guest is on link: no gateway is on the way back.
        """
        name = self._name(network_id)
        with self._lock:
            if not _is_namespace(name):
                # A name without a mount is what a crash (or a reboot) leaves.
                (_NAMESPACES / name).unlink(missing_ok=True)
                _run("ip", "netns", "add", name)
            self._ensure_device(network_id, name, resolver)
        return name

    def listen(self, network_id: str, port: int = 80, address: str = METADATA_ADDRESS) -> socket:
        """Return a listening TCP socket at one of the addresses of a network whose namespace was ensured.

        It stays in that network wherever it is used, and works until it is closed or the namespace is removed.
        """
        listener = self._bound(network_id, address, port, SOCK_STREAM)
        listener.listen(_BACKLOG)
        return listener

    def hear(self, network_id: str, port: int, address: str) -> socket:
        """Return a UDP socket at one of the addresses of a network, as ``listen`` does for TCP."""
        return self._bound(network_id, address, port, SOCK_DGRAM)

    def _bound(self, network_id: str, address: str, port: int, kind: SocketKind) -> socket:
        family = AF_INET6 if ":" in address else AF_INET
        found = _socket_inside(self._name(network_id), family, kind)
        try:
            found.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            found.bind((address, port))
        except OSError as error:
            found.close()
            raise DriverError(f"cannot listen at {address} in {network_id}: {error}") from error
        return found

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

    def _ensure_device(self, network_id: str, name: str, resolver: str) -> None:
        device = _device_of(network_id)
        self._add_port(network_id, device)
        if not _is_device(device, name):
            self._move_device(network_id, device, name)
        _run("ip", "-n", name, "-batch", "-", text=_batch(device, metadata_mac(network_id), resolver))
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


def _batch(device: str, mac: str, resolver: str) -> str:
    served = [METADATA_ADDRESS, RESOLVER_ADDRESS, *filter(None, [resolver])]
    served6 = [METADATA_ADDRESS_6, RESOLVER_ADDRESS_6] if _HAS_IPV6 else []
    return "\n".join(
        [
            "link set lo up",
            f"link set {device} address {mac} up",
            *(f"address replace {address}/32 dev {device}" for address in served),
            f"route replace default dev {device} scope link src {METADATA_ADDRESS}",
            *(f"address replace {address}/128 dev {device} nodad" for address in served6),
            *([f"route replace ::/0 dev {device}"] if served6 else []),
            "",
        ]
    )


def _is_namespace(name: str) -> bool:
    """Say whether a namespace is mounted there (/proc/pid/mountinfo's fifth field is the mount point)."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return str(_NAMESPACES / name) in points or str(Path("/var/run/netns", name)) in points


def _is_device(device: str, name: str) -> bool:
    return subprocess.run(["ip", "-n", name, "link", "show", device], capture_output=True, check=False).returncode == 0


def _appears(device: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not Path("/sys/class/net", device).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _socket_inside(name: str, family: AddressFamily, kind: SocketKind) -> socket:
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


def _run(*command: str, text: str = "") -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        subprocess.run(
            command, input=text, text=True, capture_output=True, check=True, timeout=_COMMAND_SECONDS, env=environment
        )
    except subprocess.CalledProcessError as error:
        raise DriverError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{' '.join(command)} failed: {error}") from error

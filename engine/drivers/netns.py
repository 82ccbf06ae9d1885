"""The metadata service's doors: for each network a namespace that sits on its metadata port, and sockets inside it.

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
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

from engine.drivers.base import DriverError
from engine.drivers.ovn_names import METADATA_ADDRESS, metadata_mac, metadata_port

_PREFIX = "gf-"
_NAMESPACES = Path("/run/netns")
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

    def ensure_namespace(self, network_id: str) -> str:
        """Make a namespace that owns 169.254.169.254 in the network and reaches all of its subnets; return its name.

        The network's subnets share one switch, so every guest is on link: no gateway is needed on the way back.
        """
        name = self._name(network_id)
        with self._lock:
            if not _is_namespace(name):
                # A name without a mount is what a crash (or a reboot) leaves.
                (_NAMESPACES / name).unlink(missing_ok=True)
                _run("ip", "netns", "add", name)
            self._ensure_device(network_id, name)
        return name

    def listen(self, network_id: str, port: int = 80) -> socket:
        """Return a listening TCP socket at the metadata address of a network whose namespace was ensured.

        It stays in that network wherever it is used, and works until it is closed or the namespace is removed.
        """
        listener = _socket_inside(self._name(network_id))
        try:
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.bind((METADATA_ADDRESS, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise DriverError(f"cannot listen in {network_id}: {error}") from error
        return listener

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

    def _ensure_device(self, network_id: str, name: str) -> None:
        device = _device_of(network_id)
        self._add_port(network_id, device)
        if not _is_device(device, name):
            self._move_device(network_id, device, name)
        _run("ip", "-n", name, "-batch", "-", text=_batch(device, metadata_mac(network_id)))
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


def _batch(device: str, mac: str) -> str:
    return "\n".join(
        [
            "link set lo up",
            f"link set {device} address {mac} up",
            f"address replace {METADATA_ADDRESS}/32 dev {device}",
            f"route replace default dev {device} scope link src {METADATA_ADDRESS}",
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


def _socket_inside(name: str) -> socket:
    """Make a socket from a thread that enters the namespace and ends: a socket belongs where it was made."""
    made: list[socket] = []

    def enter() -> None:
        with suppress(OSError), open(_NAMESPACES / name) as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) == 0:
                made.append(socket(AF_INET, SOCK_STREAM))

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

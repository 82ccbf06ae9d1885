"""A real deployment of one's own: brought up by the command line, beside whatever else runs on this machine."""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from engine import supervisor
from engine.desired import machine_uuid
from engine.drivers.base import port_uuid
from engine.drivers.netns import MetadataListeners
from engine.fleet import drivers_of
from engine.host.bridges import INTEGRATION, read_switch
from engine.host.packages import missing_packages
from engine.host.prepare import prepare
from engine.secrets import open_vault
from engine.state.database import Database
from settings import Settings

REPOSITORY = Path(__file__).parents[2]
# Not pytest's own directory: guests' files must be reached by another user. One deployment at a time has this pool.
ROOM = Path("/var/lib/groundfog-acceptance")
POOL = ("198.18.240.0", "198.18.254.250")
POOL_6 = "fd6f:6701::/32"
TYPES = """
[families.t2]
hypervisor = "xen"
credits = "standard"
threads_per_core = 1
[families.t2.sizes]
nano = { vcpus = 1, memory_mib = 512, interfaces = 2, addresses = 2, network = "Low to Moderate" }

[families.g1]
threads_per_core = 1
[families.g1.sizes]
big = { vcpus = 2, memory_mib = 768, interfaces = 2, addresses = 4, network = "Low" }
tiny = { vcpus = 1, memory_mib = 160, interfaces = 2, addresses = 4, network = "Low" }
pair = { vcpus = 2, memory_mib = 256, interfaces = 2, addresses = 4, network = "Low" }
"""
CEPH_ZONE, CEPH_POOL = "us-east-1c", "guests"
"""The zone whose disks are in Ceph, and the pool that they are in."""
TARGET_ZONE = "us-east-1b"
"""The zone whose disks are reached by iSCSI."""
PATIENCE = 180.0
"""Seconds in which what must happen must have happened: guests are emulated here, on processors shared with others."""


def why_not() -> str:
    """Say what a real deployment needs and this machine lacks; empty when it can run."""
    if os.geteuid() != 0:
        return "real guests need root"
    if shutil.which("dpkg-query") is None:
        return "neither Debian nor Ubuntu"
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    missing = missing_packages()
    return f"packages are missing: {' '.join(missing)}" if missing else ""


def eventually(holds: Callable[[], Any], what: str, seconds: float = PATIENCE, every: float = 0.3) -> Any:
    """Ask until the answer is true, and return it; fail with ``what`` was waited for when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"within {seconds:g} s there was no {what}"
        time.sleep(every)
    return found


class Deployment:
    """One account (``ec2`` is its client) on the engine kvm; others by ``create_account``."""

    def __init__(self, home: Path, ceph_conf: Path | None = None, targets: str = "") -> None:
        self.home, self.data = home, home / "data"
        port, self.resolver_port = free_port(), free_port()
        types = home / "instance_types.toml"
        types.write_text(TYPES)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GROUNDFOG_", "AWS_"))},
            "GROUNDFOG_CONFIG": os.devnull,
            "GROUNDFOG_DATA": str(self.data),
            "GROUNDFOG_PORT": str(port),
            "GROUNDFOG_VLAN_RANGE": "[2000, 2999]",
            "GROUNDFOG_EXTERNAL_POOL": f'["{POOL[0]}", "{POOL[1]}"]',
            "GROUNDFOG_IPV6_POOL": POOL_6,
            "GROUNDFOG_INSTANCE_TYPES": str(types),
            # Nobody is there until a test needs somebody who knows names of the outside.
            "GROUNDFOG_GUEST_DNS": f"127.0.0.1:{self.resolver_port}",
            "GROUNDFOG_FLOW_LOG_STORE": f"file://{home}/store",
            "GROUNDFOG_EXPORT_TARGETS": '["s3://exports/"]',
            "GROUNDFOG_IMPORT_SOURCES": '["s3://exports/"]',
        }
        storage = {TARGET_ZONE: targets} if targets else {}
        if ceph_conf is not None:
            storage[CEPH_ZONE] = f"rbd:{CEPH_POOL}"
            self._environment["GROUNDFOG_CEPH_CONF"] = str(ceph_conf)
        self._environment["GROUNDFOG_STORAGE"] = json.dumps(storage)

    # -- the command line ----------------------------------------------------

    def groundfog(self, *arguments: str) -> str:
        """Run the command; return what it printed. Installing and booting is part of it, so it may take minutes."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments], env=self._environment, cwd=REPOSITORY, capture_output=True,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"groundfog {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        self.groundfog("up", "--detach")

    def down(self, *options: str) -> None:
        self.groundfog("down", *options)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell has after ``source DATA/env``: with it AWS's own tools work as they are."""
        return {**self._environment, **_exports((self.data / "env").read_text()), "HOME": str(self.home)}

    @property
    def ec2(self) -> Any:
        return client(self.environment)

    def create_account(self, name: str) -> Any:
        """Return the client of a new account."""
        return client(self.create_credentials(name))

    def create_credentials(self, name: str) -> dict[str, str]:
        """Return what a shell of a new account has in its environment."""
        return _exports(self.groundfog("users", "create", name))

    # -- what runs -----------------------------------------------------------

    @property
    def settings(self) -> Settings:
        found = supervisor.running_settings(self.data)
        assert found is not None, "it was never up"
        return found

    def pid(self, process: str) -> int:
        """Return the process id of ``api``, ``worker`` or ``metadata``; 0 while it is not running."""
        return next((one.pid for one in supervisor.status(self.settings) if one.name == process), 0)

    def kill(self, process: str) -> int:
        """End a process as a power cut would, once it runs; return its id, which is known for a moment yet."""
        pid = int(eventually(lambda: self.pid(process), f"process {process}", every=0.05))
        os.kill(pid, signal.SIGKILL)
        return pid

    def cut_power(self, instance: str) -> None:
        """End a guest's machine as a power cut would."""
        _said("virsh", "--connect", self.settings.libvirt_uri, "destroy", instance)

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(self.settings.database_url)
        yield database
        database.close()

    @property
    def owner(self) -> str:
        """The mark of everything on this machine that belongs to this deployment."""
        return open_vault("", self.data / "secret.key").identity

    def namespaces(self) -> list[str]:
        return sorted(path.name for path in Path("/run/netns").glob(f"gf-{self.owner}.*"))

    def disks(self) -> set[str]:
        """Return the files that hold disks, and those under them."""
        rooms = (self.data / room for room in ("disks", "sources"))
        return {path.name for room in rooms for path in room.iterdir() if not path.name.startswith(".")}

    def left_of(self, instances: list[dict[str, Any]]) -> list[str]:
        """Return what this machine and its switch still have of instances, as they were described while they ran."""
        machines = {instance["InstanceId"] for instance in instances}
        cards = {card["NetworkInterfaceId"] for instance in instances for card in instance["NetworkInterfaces"]}
        disks = {disk["Ebs"]["VolumeId"] for instance in instances for disk in instance["BlockDeviceMappings"]}
        ids = {*machines, *cards, *disks, *map(machine_uuid, machines), *map(port_uuid, cards)}
        places = {
            "domain": _said("virsh", "--connect", self.settings.libvirt_uri, "list", "--all", "--name"),
            "file": "\n".join(str(path) for path in self.data.rglob("*")),
            "port": _said("ovn-nbctl", "--timeout=20", "list", "Logical_Switch_Port"),
            "address": _said("ovn-nbctl", "--timeout=20", "list", "NAT"),
            "tap": _said("ovs-vsctl", "--timeout=20", "list", "Interface"),
        }
        return [f"{place} of {id}" for place, text in places.items() for id in sorted(ids) if id in text]

    def in_network(self, ids: Iterable[str]) -> list[str]:
        """Return what the network still has of VPCs and of whatever is in them, by any of the names it has there."""
        tables = ("Logical_Router", "Logical_Switch", "Logical_Router_Port", "Logical_Switch_Port", "Port_Group", "ACL",
                  "Logical_Router_Policy", "Logical_Router_Static_Route", "DHCP_Options", "NAT", "Address_Set",
                  "Load_Balancer", "DNS", "Static_MAC_Binding", "Gateway_Chassis", "QoS")  # fmt: skip
        text = {table: _said("ovn-nbctl", "--timeout=20", "list", table) for table in tables}
        text["namespace"] = "\n".join(self.namespaces())
        text["Interface"] = _said("ovs-vsctl", "--timeout=20", "list", "Interface")
        names = {id: (id, id.replace("-", "_"), port_uuid(id)) for id in ids}
        return [f"{table} of {id}" for table in text for id in names if any(name in text[table] for name in names[id])]

    # -- beginning and end ---------------------------------------------------

    def prepare_images(self, cache: Path) -> None:
        """Have ``up`` build its demo image from packages that an earlier run fetched."""
        cache.mkdir(parents=True, exist_ok=True)
        (self.data / "images").mkdir(parents=True, exist_ok=True)
        link = self.data / "images" / "cache"
        if not link.is_symlink():
            link.symlink_to(cache)

    def remove(self) -> None:
        """Take everything away that is this deployment's, in whatever condition a failure or a kill left it."""
        if supervisor.running_settings(self.data) is not None:
            settings = self.settings
            supervisor.stop(settings)
            # The daemons that know what is left may have been killed together with the run that left it.
            prepare(settings, report=lambda _: None)
            _clear(settings, self.owner)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.home / "store", ignore_errors=True)


def _clear(settings: Settings, owner: str) -> None:
    database = Database(settings.database_url)
    for drivers in drivers_of(settings, database).values():
        for compute in drivers.computes.values():
            for id in compute.list_machines():
                compute.remove_machine(id)
        for id in drivers.network.list_networks():
            drivers.network.remove_network(id)
    database.close()
    datapath = read_switch().bridges[INTEGRATION]["datapath_type"] or "system"
    listeners = MetadataListeners(INTEGRATION, datapath, owner)
    for id in listeners.list_namespaces():
        listeners.remove_namespace(id)


@contextmanager
def alone(name: str, among: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold what only one run of the tests on this machine may have at a time; with LOCK_SH, any number that say so."""
    ROOM.mkdir(exist_ok=True)
    with (ROOM / name).open("w") as lock:
        fcntl.flock(lock, among)
        yield


@contextmanager
def deployed(cache: Path, ceph_conf: Path | None = None, targets: str = "") -> Iterator[Deployment]:
    """Bring a deployment up, and take it away whatever happens; what a killed run left goes first."""
    # Two runs of the tests would share the pool of addresses: the second one waits.
    with alone("lock"):
        deployment = Deployment(ROOM, ceph_conf, targets)
        deployment.remove()
        try:
            deployment.prepare_images(cache)
            deployment.up()
            yield deployment
        finally:
            deployment.remove()


def free_port() -> int:
    """Return a port that nobody listens at; Linux gives none below 32768 to who does not ask for it by number."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(10_000, 32_768))) as free:
            return int(free.getsockname()[1])


def client(environment: dict[str, str]) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard", "max_attempts": 10}),
    )


def _exports(text: str) -> dict[str, str]:
    lines = (line.removeprefix("export ") for line in text.splitlines() if line.startswith("export "))
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

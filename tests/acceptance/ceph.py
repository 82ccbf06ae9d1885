"""A Ceph cluster of one node for tests, with everything that it has under one directory: mon, mgr and one OSD."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.host.packages import CEPH_LIST, names_in
from tests.acceptance.deployment import CEPH_POOL

SERVERS = ("ceph-mon", "ceph-mgr", "ceph-osd")
TOOLS = ("ceph", "ceph-authtool", "monmaptool", "rados", "rbd")
POOL, USER = CEPH_POOL, "groundfog"
CAPS = ("mon", "profile rbd", "osd", f"profile rbd pool={POOL}", "mgr", f"profile rbd pool={POOL}")
_ROOM, _PREFIX = Path("/var/tmp"), "gf-ceph-"
"""A socket's path is short."""
PATIENCE = 90.0
DISK = 20 << 30
MEMORY = 64 << 20
"""Bytes of what the OSD keeps in memory of its disk."""

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port},v1:127.0.0.1:{old_port}]
public addr = 127.0.0.1
keyring = {home}/$name.keyring
run dir = {home}
admin socket = {home}/$name.asok
log file = {home}/$name.log
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
# A quiet cluster makes a snapshot wait for up to a second, so that monitors decide on several at once.
paxos propose interval = 0.05
paxos min wait = 0.01
osd client watch timeout = 10

[mon]
keyring = {home}/keyring
mon data = {home}/mon
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
mon data avail warn = 2
mon data avail crit = 1

[mgr]
keyring = {home}/keyring
mgr data = {home}/mgr

[osd]
keyring = {home}/keyring
osd data = {home}/osd
osd objectstore = bluestore
bluestore block size = {disk}
bluestore cache autotune = false
bluestore cache size = {memory}
# A client that is killed just as it opens an image is known of until the image's header is read anew.
osd pg object context cache count = 1

[client]
# A client whose process was killed is forgotten as soon as the OSD is told to.
objecter tick interval = 0.5
"""


def why_not() -> str:
    """Say what a cluster needs and this machine lacks; empty when it can run."""
    missing = [name for name in (*SERVERS, *TOOLS) if shutil.which(name) is None]
    if missing:
        return f"Ceph's programs are missing: {' '.join(missing)}; make test installs them"
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names_in(CEPH_LIST)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    absent = [name for name in names_in(CEPH_LIST) if f"{name} installed" not in listed.stdout]
    return f"packages are missing: {' '.join(absent)}; make test installs them" if absent else ""


@dataclass(frozen=True)
class Cluster:
    """``conf`` is what clients read; ``USER`` may use the pool ``POOL``, with the capabilities that operators give."""

    home: Path
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.home / "ceph.conf"

    def ceph(self, *arguments: str) -> Any:
        """Run ``ceph`` as administrator; return its JSON."""
        told = self.run("ceph", "--connect-timeout", "60", *arguments, "--format", "json")
        return json.loads(told) if told.strip() else None

    def rbd(self, *arguments: str) -> Any:
        """Run ``rbd`` as administrator on the pool; return its JSON."""
        told = self.run("rbd", "--pool", POOL, *arguments, "--format", "json")
        return json.loads(told) if told.strip() else None

    def run(self, *command: str) -> str:
        program, *arguments = command
        done = subprocess.run(
            [program, "--conf", str(self.conf), *arguments], capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def images(self) -> list[str]:
        """Return all images in the pool, those in the trash too."""
        return [*self.rbd("ls"), *(each["name"] for each in self.rbd("trash", "ls", "--all"))]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have the OSD answer nobody."""
        pid = self.daemons["ceph-osd"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def forgetful(self) -> Iterator[None]:
        """Have the cluster forget clients that are gone in two seconds: as long is what they had open busy."""
        self.ceph("config", "set", "osd", "osd_client_watch_timeout", "2")
        self.ceph("tell", "osd.0", "config", "set", "osd_client_watch_timeout", "2")
        try:
            yield
        finally:
            self.ceph("tell", "osd.0", "config", "set", "osd_client_watch_timeout", "10")


@contextmanager
def one_node() -> Iterator[Cluster]:
    """Start a cluster, and end it with everything that it kept; what runs left that were killed goes first."""
    for left in _ROOM.glob(f"{_PREFIX}*/lock"):
        _remove_if_left(left)
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_ROOM))
    cluster = Cluster(home)
    try:
        with ExitStack() as daemons:
            fcntl.flock(daemons.enter_context((home / "lock").open("w")), fcntl.LOCK_EX)
            _configure(cluster)
            daemons.enter_context(_daemon(cluster, "ceph-mon", "a"))
            daemons.enter_context(_daemon(cluster, "ceph-mgr", "a"))
            _make_disk(cluster)
            daemons.enter_context(_daemon(cluster, "ceph-osd", "0"))
            _make_pool(cluster)
            yield cluster
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _remove_if_left(lock: Path) -> None:
    """Remove a cluster's directory whose run is over; its daemons ended with it."""
    with suppress(OSError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent, ignore_errors=True)


def _configure(cluster: Cluster) -> None:
    home, fsid, ports = cluster.home, str(uuid4()), (_free_port(), _free_port())
    for name in ("mon", "mgr", "osd"):
        (home / name).mkdir()
    cluster.conf.write_text(
        CONFIGURATION.format(home=home, fsid=fsid, port=ports[0], old_port=ports[1], disk=DISK, memory=MEMORY)
    )
    keyring, admin = str(home / "keyring"), str(home / "client.admin.keyring")
    everything = [word for kind in ("mon", "osd", "mgr") for word in ("--cap", kind, "allow *")]
    for file, name, caps in (
        (keyring, "mon.", ["--cap", "mon", "allow *"]),
        (keyring, "mgr.a", ["--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *"]),
        (keyring, "osd.0", ["--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd"]),
        (admin, "client.admin", everything),
    ):
        create = [] if Path(file).exists() else ["--create-keyring"]
        cluster.run("ceph-authtool", file, *create, "--gen-key", "-n", name, *caps)
    cluster.run("ceph-authtool", keyring, "--import-keyring", admin)
    monitor = f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]"
    cluster.run("monmaptool", "--create", "--addv", "a", monitor, "--fsid", fsid, str(home / "monmap"))
    cluster.run("ceph-mon", "--mkfs", "--id", "a", "--monmap", str(home / "monmap"), "--keyring", keyring)


def _make_disk(cluster: Cluster) -> None:
    unique = str(uuid4())
    cluster.ceph("osd", "new", unique)
    for name in ("mgr.a", "osd.0"):
        cluster.ceph("auth", "add", name, "-i", str(cluster.home / "keyring"))
    cluster.run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", unique)


def _make_pool(cluster: Cluster) -> None:
    cluster.ceph("osd", "pool", "create", POOL, "8", "8", "--autoscale-mode", "off")
    _until(lambda: cluster.ceph("osd", "stat")["num_up_osds"] == 1, "OSD")
    cluster.run("rbd", "pool", "init", POOL)
    keyring = cluster.home / f"client.{USER}.keyring"
    cluster.run("ceph", "auth", "get-or-create", f"client.{USER}", *CAPS, "-o", str(keyring))
    _until(lambda: cluster.ceph("mgr", "stat")["available"], "manager")


@contextmanager
def _daemon(cluster: Cluster, program: str, id: str) -> Iterator[None]:
    """Run a daemon that ends with this process, however that ends."""
    command = ["setpriv", "--pdeathsig", "KILL", program, "--conf", str(cluster.conf), "--id", id, "--foreground"]
    daemon = cluster.daemons[program] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        daemon.kill()  # nothing of what it would still write is needed
        daemon.wait()


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"the cluster has no {what} after {PATIENCE:g} s"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])

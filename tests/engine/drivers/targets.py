"""A tgtd of the tests' own on this machine's loopback, and what it says of who is logged in."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

from examples.iscsi_tgt import Tgt

PATIENCE = 20.0
PASSWORD = "passing by here"
ACCOUNT = "guests"


def why_not() -> str:
    """Say what a target daemon needs and this machine lacks; empty when it can run."""
    if os.geteuid() != 0:
        return "tgtd needs root"
    return next((f"{name} is not installed" for name in ("tgtd", "tgtadm", "qemu-img") if not shutil.which(name)), "")


@dataclass
class TargetDaemon:
    """Where it listens, and the number by which tgtadm tells it from others."""

    port: int
    control: int

    @property
    def portal(self) -> str:
        return f"127.0.0.1:{self.port}"

    def storage(self, directory: Path, **options: str) -> Tgt:
        where = {"directory": str(directory), "portal": self.portal, "control": str(self.control)}
        return Tgt(uuid4().hex[:8], **where, **options)

    def named(self, directory: Path) -> str:
        """Return what the settings call such a storage."""
        where = {"directory": str(directory), "portal": self.portal, "control": str(self.control)}
        return f"python:examples.iscsi_tgt:Tgt?{urlencode(where)}"

    def tgtadm(self, *arguments: str) -> str:
        command = ["tgtadm", "--control-port", str(self.control), "--lld", "iscsi", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def answers(self) -> bool:
        command = ["tgtadm", "--control-port", str(self.control), "--op", "show", "--mode", "sys"]
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


@contextmanager
def a_target_daemon(daemon: TargetDaemon | None = None) -> Iterator[TargetDaemon]:
    """Run a daemon that ends with this process, however that ends; another one like ``daemon``, if that has ended."""
    daemon = daemon or TargetDaemon(_free_port(), secrets.randbelow(32000) + 1)
    command = ["setpriv", "--pdeathsig", "KILL", "tgtd", "--foreground", "--control-port", str(daemon.control)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--iscsi", f"portal={daemon.portal}"], **quiet)
    try:
        end = time.monotonic() + PATIENCE
        while not daemon.answers():
            assert process.poll() is None and time.monotonic() < end, "tgtd does not start"
            time.sleep(0.05)
        yield daemon
    finally:
        process.kill()  # it does not listen to anything less
        process.wait()
        for left in Path("/var/run/tgtd").glob(f"socket.{daemon.control}*"):
            left.unlink()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])

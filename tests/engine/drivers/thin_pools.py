"""A volume group with a thin pool of a test's own, on a file that is a loop device for as long."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from engine.drivers.lvm import Lvm
from engine.host.check_storage import no_device_mapper

SIZE = "8G"


def why_not() -> str:
    """Say what a thin pool needs and this machine lacks; empty when there can be one."""
    if os.geteuid() != 0:
        return "LVM needs root"
    programs = ("lvm", "thin_check", "losetup", "qemu-img")
    lacking = [f"{name} is not installed" for name in programs if not shutil.which(name)]
    return no_device_mapper() or next(iter(lacking), "")


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@contextmanager
def a_thin_pool(directory: Path) -> Iterator[Lvm]:
    """Give the storage in a pool, which is taken away with its group, its device and its file."""
    file, group = directory / "group.img", f"gf{uuid4().hex[:8]}"
    run("truncate", "-s", SIZE, str(file))
    device = run("losetup", "--find", "--show", str(file))
    try:
        run("vgcreate", "-q", group, device)
        run("lvcreate", "-q", "--type", "thin-pool", "--zero", "y", "-L", "6G", "-n", "pool", group)
        yield Lvm(f"{group}/pool", "me")
    finally:
        subprocess.run(["vgremove", "-qff", "-y", group], check=False, capture_output=True, timeout=120)
        run("losetup", "--detach", device)
        file.unlink()

"""A storage of qcow2 files with the means to write, read and check what is in it."""

import re
import shutil
import subprocess
from pathlib import Path

from engine.drivers.base import Disk
from engine.drivers.qcow2 import Qcow2


class Store:
    """The storage; what it does itself is ``storage``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.renew()

    def renew(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.storage = Qcow2(self.directory)

    def write(self, disk_id: str, pattern: int, at: str = "0") -> None:
        """Write 1 MiB of a byte."""
        qemu_io(self.storage.locate_disk(disk_id).name, f"write -P {pattern} {at} 1M")

    def holds(self, path: str | Path, *patterns: int) -> bool:
        """Say whether the file reads as a MiB of each byte."""
        return all(qemu_io(str(path), f"read -P {each} {number}M 1M") for number, each in enumerate(patterns))

    def disk_holds(self, disk_id: str, *patterns: int) -> bool:
        return self.holds(self.storage.locate_disk(disk_id).name, *patterns)

    def snapshot_holds(self, id: str, *patterns: int) -> bool:
        return self.holds(self.directory / f"snapshots/{id}.qcow2", *patterns)

    def files(self) -> list[Path]:
        return [path for path in self.directory.rglob("[!.]*") if path.is_file()]

    def check(self) -> None:
        """Check every whole file, and that each name in sources/ is that of exactly one other file's lower layer."""
        files = self.files()
        for path in files:
            if path.suffix == ".qcow2":
                subprocess.run(["qemu-img", "check", "-q", str(path)], check=True)
        below = [_below(path) for path in {path.stat().st_ino: path for path in files}.values()]
        sources = [str(path) for path in files if path.parent.name == "sources"]
        assert [below.count(source) for source in sources] == [1] * len(sources)

    def empty(self) -> bool:
        return self.files() == [] and self.storage.list_disks() == self.storage.list_snapshots() == set()


def qemu_io(path: str, command: str) -> bool:
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, path], capture_output=True, text=True, check=True)
    return "Pattern verification failed" not in done.stdout


def _below(path: Path) -> str:
    done = subprocess.run(["qemu-img", "info", "-U", str(path)], capture_output=True, text=True, check=False)
    (*_, found) = re.findall(r"^backing file: (.*)$", done.stdout, re.MULTILINE) or [""]
    return str(found)


def make_written_disk(store: Store) -> None:
    store.renew()
    store.storage.ensure_disk(Disk("vol-1", 1))
    store.write("vol-1", 1)

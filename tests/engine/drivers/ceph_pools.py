"""A test's own part of a Ceph pool, with the means to write and read the disks in it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from engine.ceph.session import Ceph
from engine.drivers.base import Disk, DriverError
from engine.drivers.rbd import Rbd
from tests.acceptance.ceph import POOL, USER, Cluster

PATIENCE = 90.0


class Pool:
    """What is ``owner``'s in the pool."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.owner = uuid4().hex[:8]
        self.ceph = Ceph(cluster.conf, USER, POOL)
        self.storage = Rbd(self.ceph, self.owner)

    def name(self, disk_id: str) -> str:
        """Return the disk's image as QEMU names it."""
        return f"rbd:{self.storage.locate_disk(disk_id).name}:id={USER}:conf={self.cluster.conf}"

    def run(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def write(self, disk_id: str, pattern: int, at: str = "0") -> None:
        """Write 1 MiB of a byte."""
        self.run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {at} 1M", self.name(disk_id))

    def reads(self, disk_id: str, command: str) -> bool:
        told = self.run("qemu-io", "-r", "-f", "raw", "-c", command, self.name(disk_id))
        return "Pattern verification failed" not in told

    def holds(self, disk_id: str, *patterns: int) -> bool:
        """Say whether the disk begins with a MiB of each byte."""
        return all(self.reads(disk_id, f"read -P {each} {number}M 1M") for number, each in enumerate(patterns))

    def snapshot_holds(self, id: str, *patterns: int) -> bool:
        """Say so of a snapshot, by a clone of it, as a user would."""
        disk = Disk(f"vol-of-{id}", 4, id)
        self.storage.ensure_disk(disk)
        held = self.holds(disk.id, *patterns)
        self.storage.remove_disk(disk.id)
        return held

    @contextmanager
    def in_use(self, disk_id: str) -> Iterator[None]:
        """Have the disk open for writing, and written to, as a guest has it."""
        command = ["qemu-io", "-f", "raw", self.name(disk_id)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as guest:
            assert guest.stdin is not None and guest.stdout is not None
            guest.stdin.write("write 0 64k\n")
            guest.stdin.flush()
            while "wrote" not in guest.stdout.readline():
                pass
            yield
            guest.stdin.close()

    def is_whole(self, snapshot_id: str) -> bool:
        try:
            return self.storage.snapshot_size_gib(snapshot_id) > 0
        except DriverError:
            return False

    def snapshots_of(self, disk_id: str) -> list[str]:
        image = self.storage.locate_disk(disk_id).name.partition("/")[2]
        return [each["name"] for each in self.cluster.rbd("snap", "ls", "--all", image)]

    def images(self) -> list[str]:
        """Return the images that there are, those in the trash too."""
        return [name for name in self.cluster.images() if name.startswith(f"{self.owner}.")]

    def becomes_empty(self, hasten: bool = True) -> None:
        """Wait until nothing at all is left of what was removed.

        The manager looks at an image that had clones after 30 seconds, 60 ...: it may be told to look at once.
        """
        assert self.storage.list_disks() == self.storage.list_snapshots() == set()
        end = time.monotonic() + PATIENCE
        while left := self.images():
            assert time.monotonic() < end, f"images are left: {left}; {self.cluster.ceph('rbd', 'task', 'list')}"
            if hasten:
                self._hasten()
            time.sleep(0.5)

    def _hasten(self) -> None:
        for task in self.cluster.ceph("rbd", "task", "list"):
            if "retry_time" in task:
                with suppress(AssertionError):  # it ended just now
                    self.cluster.ceph("rbd", "task", "cancel", task["id"])
                    self.cluster.ceph("rbd", "task", "add", "trash", "remove", f"{POOL}/{task['refs']['image_id']}")


@contextmanager
def a_pool(cluster: Cluster) -> Iterator[Pool]:
    """Give a part of the pool, whose disks and snapshots are removed afterwards."""
    pool = Pool(cluster)
    yield pool
    for id in pool.storage.list_disks():
        pool.storage.remove_disk(id)
    for id in pool.storage.list_snapshots():
        pool.storage.remove_snapshot(id)
    pool.ceph.close()

"""The way to a disk beside the best one by hand: the file that storage made, opened as the driver opens it for a guest.

By ``qemu-img bench``, which is QEMU's own block layer without a guest: an emulated processor would be measured else.
"""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from lxml import etree

from engine.drivers.base import AttachedDisk, Disk, Location
from engine.drivers.libvirt import takes_direct_io
from engine.drivers.libvirt_xml import HostWays, disk_xml
from engine.drivers.qcow2 import Qcow2

ROUNDS = 4
SIZE_GIB = 2
FILLING = ("-w", "-d", "16", "-s", "1M", "-c", str(SIZE_GIB * 1024))
BY_HAND = (("none", "native"), ("none", "io_uring"), ("none", "threads"))
"""Caches and ways of asynchronous I/O by which nothing that a guest has flushed is lost: the best one is the floor."""
SCATTERED = ("-d", "32", "-s", "4096", "-S", str(4096 * 1021), "-c", "20000")
"""4 KiB each, 32 at once, each 1,021 blocks after the last one: all over the disk, and nothing twice."""
LOADS = {
    "4 KiB reads all over": SCATTERED,
    "4 KiB writes all over": ("-w", *SCATTERED),
    "1 MiB reads in a row": ("-d", "16", "-s", "1M", "-c", "2000"),
    "1 MiB writes in a row": ("-w", "-d", "16", "-s", "1M", "-c", "2000"),
}


def beside_the_best_by_hand() -> None:
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="groundfog-bench-"))
    try:
        storage = Qcow2(folder)
        storage.ensure_disk(Disk("vol-1", SIZE_GIB))
        _seconds(FILLING, Path(storage.locate_disk("vol-1").name), BY_HAND[0])
        storage.ensure_snapshot("snap-1", "vol-1")
        _print_speeds(storage.locate_disk("vol-1"))
        _print_clones(storage, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _print_speeds(disk: Location) -> None:
    """Print seconds of the same work on the same file, ours and by hand, and what is left of the best speed."""
    file, ours = Path(disk.name), _way_of_the_driver(disk)
    print(f"\n{f'{SIZE_GIB} GiB upon a snapshot':28}{'groundfog':>12}{'by hand':>12}{'speed':>8}{'target':>8}")
    for name, load in LOADS.items():
        _seconds(load, file, ours)
        ways = (ours, *BY_HAND)
        taken: list[list[float]] = [[] for _ in ways]
        for place in range(ROUNDS * len(ways)):
            # Each begins a round in its turn: what the last one left in queues is the next one's.
            number = (place + place // len(ways)) % len(ways)
            taken[number].append(_seconds(load, file, ways[number]))
        mine, *others = (median(each) for each in taken)
        floor, best = min(zip(others, BY_HAND, strict=True))
        print(f"{name:28}{mine:10.2f} s{floor:10.2f} s{floor / mine:8.0%}{'> 90%':>8}  by hand: {', '.join(best)}")


def _way_of_the_driver(disk: Location) -> tuple[str, str]:
    ways = HostWays("tcg", "system", takes_direct_io)
    driver = etree.fromstring(disk_xml(AttachedDisk("vol-1", "vdb", disk, "vol1"), ways)).find("driver")
    assert driver is not None
    return driver.get("cache", ""), driver.get("io", "")


def _print_clones(storage: Qcow2, folder: Path) -> None:
    """Print milliseconds to a volume from the full snapshot, and those of a bare layer upon its file."""
    ours, floor = [], []
    bare = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(folder / "snapshots" / "snap-1.qcow2")]
    for number in range(ROUNDS):
        since = time.monotonic()
        storage.ensure_disk(Disk(f"clone-{number}", SIZE_GIB, "snap-1"))
        ours.append((time.monotonic() - since) * 1000)
        since = time.monotonic()
        subprocess.run([*bare, str(folder / f"bare-{number}.qcow2")], check=True)
        floor.append((time.monotonic() - since) * 1000)
    print(f"\n{'ms for':28}{'groundfog':>12}{'qemu-img':>12}{'ratio':>8}{'target':>8}")
    mine, least = median(ours), median(floor)
    print(f"{'a volume from a snapshot':28}{mine:12.1f}{least:12.1f}{mine / least:7.1f}x{'< 100':>8}")


def _seconds(load: tuple[str, ...], file: Path, way: tuple[str, str]) -> float:
    cache, asynchronous = way
    done = subprocess.run(
        ["qemu-img", "bench", "-f", "qcow2", "-t", cache, "-i", asynchronous, *load, str(file)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"completed in ([\d.]+) seconds", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])

"""Assembles a bootable disk from files: a partition table, syslinux on FAT, an ext4 root; needs no rights."""

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from engine.images.packages import BuildError, run

SECTOR = 512
MIB = 1024 * 1024
BOOT_START = MIB
BOOT_RECORDS = (Path("/usr/lib/syslinux/mbr/mbr.bin"), Path("/usr/lib/SYSLINUX/mbr.bin"))
BOOT_CODE_SIZE = 440
FAT_LBA, LINUX, BOOTABLE = 0x0C, 0x83, 0x80


@dataclass(frozen=True)
class Boot:
    """What the boot partition holds."""

    kernel: Path
    initramfs: Path
    command_line: str
    megabytes: int

    @property
    def size(self) -> int:
        return self.megabytes * MIB


def root_start(boot: Boot) -> int:
    """Where the root partition begins, in bytes."""
    return BOOT_START + boot.size


def make_disk(raw: Path, size: int, boot: Boot, label: str, root: Path) -> None:
    """Write a sparse raw disk of `size` bytes; its root partition gets the contents of the directory `root`."""
    raw.unlink(missing_ok=True)
    with raw.open("wb") as file:
        file.truncate(size)
        file.write(_boot_code())
        file.seek(BOOT_CODE_SIZE)
        file.write(_partition_table(size, boot))
    _fill_boot_partition(raw, boot)
    _fill_root_partition(raw, size, boot, label, root)


def _fill_root_partition(raw: Path, size: int, boot: Boot, label: str, root: Path) -> None:
    """Who builds without being root becomes it in a user namespace, so that the files belong to the guest's root."""
    start = root_start(boot)
    # The file is new and full of zeros: zeroing the inode tables would only make it larger.
    options = f"offset={start},lazy_itable_init=1,root_owner=0:0"
    become_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    file_system = ["mke2fs", "-q", "-t", "ext4", "-L", label, "-m", "1", "-J", "size=8", "-E", options]
    blocks = f"{(size - start) // 1024}k"
    run([*become_root, *file_system, "-d", root, raw, blocks], "make the root file system")


def publish(raw: Path, target: Path) -> None:
    """Turn the raw disk into the compressed qcow2 file `target`, which appears complete or not at all."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    target.parent.mkdir(parents=True, exist_ok=True)
    # zstd unpacks five times as fast as zlib, and every first boot of a thin clone unpacks the kernel.
    options = ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]
    try:
        run(["qemu-img", "convert", "-f", "raw", *options, raw, unfinished], f"write {target}")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _fill_boot_partition(raw: Path, boot: Boot) -> None:
    inside = f"{raw}@@{BOOT_START}"
    configuration = raw.with_name("syslinux.cfg")
    configuration.write_text(
        "DEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\n"
        f"  KERNEL vmlinuz\n  INITRD initrd\n  APPEND {boot.command_line}\n"
    )
    # Eight sectors a cluster keep 32 to 255 MiB within what FAT16 counts, which is what -F 16 promises.
    run(["mkfs.fat", "-F", "16", "-s", "8", "-n", "BOOT", "-h", str(BOOT_START // SECTOR), "--offset",
         str(BOOT_START // SECTOR), raw, str(boot.size // 1024)], "make the boot file system")  # fmt: skip
    for source, name in ((boot.kernel, "vmlinuz"), (boot.initramfs, "initrd"), (configuration, "syslinux.cfg")):
        run(["mcopy", "-o", "-i", inside, source, f"::{name}"], f"copy {name} to the boot partition")
    run(["syslinux", "--offset", str(BOOT_START), "--install", raw], "install the boot loader")


def _boot_code() -> bytes:
    for path in BOOT_RECORDS:
        if path.exists():
            return path.read_bytes()[:BOOT_CODE_SIZE]
    raise BuildError("cannot find the boot loader's mbr.bin: install the package syslinux-common")


def _partition_table(size: int, boot: Boot) -> bytes:
    """The last 72 bytes of the master boot record: disk signature, four entries, magic number."""
    start = root_start(boot)
    entries = _entry(BOOTABLE, FAT_LBA, BOOT_START, boot.size) + _entry(0, LINUX, start, size - start)
    return struct.pack("<IH", int.from_bytes(os.urandom(4), "little"), 0) + entries + bytes(32) + b"\x55\xaa"


def _entry(flag: int, kind: int, start: int, size: int) -> bytes:
    # The cylinder/head/sector fields say "beyond reach": whatever boots here uses linear addresses.
    beyond = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", flag, beyond, kind, beyond, start // SECTOR, size // SECTOR)


def work_directory(cache: Path, name: str) -> Path:
    """An empty directory in the cache for one build."""
    directory = cache / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory

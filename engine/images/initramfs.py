"""Writes the initial RAM file system of the demo image: a static busybox, a few modules, one script."""

import gzip
import lzma
import re
import subprocess
from pathlib import Path

from engine.images.packages import BuildError, Kernel, run

# Magic number and layout of the "new ASCII" cpio format: the kernel's Documentation/driver-api/early-userspace.
CPIO_MAGIC = b"070701"
SIGNATURE_END = b"~Module signature appended~\n"
SIGNATURE_TRAILER = 12


def write_initramfs(target: Path, busybox: Path, script: Path, modules: list[Path]) -> None:
    """An uncompressed archive: unpacking a compressed one costs an emulated guest more than reading it."""
    archive = b"".join(_entry(name, 0o40755, b"") for name in ("bin", "dev", "proc", "sys", "root", "modules"))
    archive += _entry("bin/busybox", 0o100755, busybox.read_bytes())
    archive += _entry("init", 0o100755, script.read_bytes())
    # The numbers keep the order in which the modules depend on each other: the script loads them by name.
    for position, module in enumerate(modules):
        archive += _entry(f"modules/{position:02}-{_bare_name(module)}", 0o100644, read_module(module))
    target.write_bytes(archive + _entry("TRAILER!!!", 0, b""))


def module_files(kernel: Kernel, names: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of what they need, in loading order; those built into the kernel are left out."""
    files: list[Path] = []
    for name in names:
        where = ("--dirname", kernel.tree, "--set-version", kernel.version)
        for line in run(["modprobe", *where, "--show-depends", name], f"find the module {name}").splitlines():
            if line.startswith("insmod ") and Path(line.split()[1]) not in files:
                files.append(Path(line.split()[1]))
    return files


def read_module(path: Path) -> bytes:
    """A module as the plain ELF file that busybox can load, without its signature.

    Checking a signature takes an emulated processor about 20 ms a module, and this kernel does not insist on one."""
    content = _decompressed(path)
    if not content.endswith(SIGNATURE_END):
        return content
    trailer = len(content) - len(SIGNATURE_END) - SIGNATURE_TRAILER
    length = int.from_bytes(content[trailer + 8 : trailer + 12], "big")
    return content[: trailer - length]


def _decompressed(path: Path) -> bytes:
    if path.suffix == ".ko":
        return path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
    raise BuildError(f"cannot read the kernel module {path}: unknown compression")


def _bare_name(path: Path) -> str:
    return re.sub(r"\.ko(\.\w+)?$", ".ko", path.name)


def _entry(name: str, mode: int, content: bytes) -> bytes:
    links = 2 if mode & 0o40000 and not mode & 0o100000 else 1
    # inode, mode, uid, gid, links, time, size, device numbers (4), length of the name with its NUL, checksum.
    fields = (0, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    header = CPIO_MAGIC + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)

"""The doctor's look at the machine itself: packages, CPU, devices, disk, memory, clock, port."""

import ctypes
import os
import shutil
import socket
import time
from pathlib import Path

from engine.host.accelerator import kept_verdict, why_not
from engine.host.data_directory import GUESTS, closed_to, guest_user
from engine.host.devices import KVM, TUN, is_kvm_open_to_guests
from engine.host.findings import UP, Check, Examine
from engine.host.packages import install_command, missing_packages
from settings import Settings

GIB = 1 << 30
# Free bytes of the data directory: below the first nothing new may start; below the second an image import may fail.
DISK_NEEDED, DISK_WANTED = 1 * GIB, 5 * GIB
# MiB left over once the host has its own: one small guest under TCG takes half of it.
MEMORY_WANTED = 512
_TIME_ERROR = 5  # adjtimex(2): nothing keeps this clock in step


def check_root(settings: Settings) -> Check:
    """Sockets of libvirt and the switch open to root only."""
    if os.geteuid() == 0:
        return Check("user", True, "root")
    return Check("user", None, "not root: what follows may be refused", "run: sudo groundfog doctor")


def check_packages(settings: Settings) -> Check:
    """Everything that a host needs is installed."""
    missing = missing_packages(ceph=bool(settings.ceph_pools), lvm=bool(settings.lvm_pools))
    if not missing:
        return Check("packages", True, "all installed")
    return Check("packages", False, f"missing: {' '.join(missing)}", f"run: {' '.join(install_command(missing)[3:])}")


def check_accelerator(settings: Settings) -> Check:
    """KVM runs a guest, or the machine was told to do without."""
    name = "accelerator"
    if settings.accelerator == "tcg":
        return Check(name, None, "tcg, as set: guests are slow", "set GROUNDFOG_ACCELERATOR=auto")
    known = kept_verdict(settings) if settings.accelerator == "auto" else None
    why = known.why if known else why_not("kvm")
    if not why:
        return Check(name, True, "kvm: a probe guest ran")
    if settings.accelerator == "kvm":
        return Check(name, False, f"kvm is set, but: {why}", "set GROUNDFOG_ACCELERATOR=auto")
    return Check(name, None, f"tcg, which is slow: {why}", "enable virtualization in the firmware or the hypervisor")


def check_devices(settings: Settings) -> Check:
    """QEMU may open /dev/kvm if there is one; guests' network cards need /dev/net/tun."""
    if not TUN.exists():
        return Check("devices", False, f"there is no {TUN}", "run: modprobe tun")
    if KVM.exists() and not is_kvm_open_to_guests():
        detail = f"guests cannot open {KVM}: each would take a minute to start"
        return Check("devices", False, detail, f"run: chown root:kvm {KVM} && chmod 0660 {KVM}")
    return Check("devices", True, f"{TUN}{f', {KVM}' if KVM.exists() else ''}")


def check_guests_reach_data(settings: Settings) -> Check:
    """The user that QEMU runs as can pass through to disks, snapshots and images."""
    data, name = settings.data, "data directory"
    if not data.exists():
        return Check(name, False, f"{data} does not exist", UP)
    user = guest_user()
    closed = closed_to(user, [*reversed(data.parents), data, *(data / part for part in GUESTS)])
    if closed:
        remedy = f"run: setfacl --modify user:{user.name}:x {closed[0]}"
        return Check(name, False, f"{user.name}, who runs guests, cannot pass through {closed[0]}", remedy)
    return Check(name, True, f"{data}, open to {user.name}")


def check_data_is_ours(settings: Settings) -> Check:
    """This process may write to the data directory, or to the nearest parent that exists."""
    nearest = _nearest(settings.data)
    if os.access(nearest, os.W_OK | os.X_OK):
        return Check("data", True, f"{settings.data} can be written")
    return Check("data", False, f"cannot write to {nearest}", f"set GROUNDFOG_DATA, or run: chown -R $USER {nearest}")


def check_disk(settings: Settings) -> Check:
    """Room for disks and images."""
    free = shutil.disk_usage(_nearest(settings.data)).free
    detail = f"{free / GIB:.1f} GiB free for {settings.data}"
    ok = False if free < DISK_NEEDED else None if free < DISK_WANTED else True
    return Check("disk", ok, detail, "" if ok else "delete images and snapshots, or move GROUNDFOG_DATA")


def _nearest(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def check_memory(settings: Settings) -> Check:
    """Memory for one small guest over what the host keeps for itself."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(lines[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    room = total - settings.memory_reserved_mib
    detail = f"{free} of {total} MiB available, {settings.memory_reserved_mib} MiB are never given to guests"
    if room < MEMORY_WANTED:
        return Check("memory", False, detail, "lower GROUNDFOG_MEMORY_RESERVED_MIB, or add memory")
    return Check(
        "memory", True if free >= MEMORY_WANTED else None, detail, "" if free >= MEMORY_WANTED else "stop guests"
    )


def check_clock(settings: Settings) -> Check:
    """Signed requests are refused when client and server differ by five minutes (Signature Version 4)."""
    written = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    # A day: files that were copied between time zones.
    if time.time() < written - 86400:
        remedy = "run: timedatectl set-ntp true, or date --set"
        return Check("clock", False, f"{now} is before this program was installed: every signature will fail", remedy)
    # The kernel fills a struct timex, which is 208 bytes at most; with modes = 0 it only reads.
    libc, timex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    if libc.adjtimex(timex) == _TIME_ERROR:
        return Check(
            "clock", None, f"{now}, kept in step by nothing", "run: apt-get install systemd-timesyncd (or chrony)"
        )
    return Check("clock", True, f"{now}, kept in step")


def check_port(settings: Settings) -> Check:
    """The API can listen, or its health page answers already."""
    name, where = "port", f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except PermissionError:
            return Check(name, False, f"only root may listen on {where}", "set GROUNDFOG_PORT to 1024 or more")
        except OSError as reason:
            detail = f"{where}: {reason.strerror}; fine if that is Groundfog"
            return Check(name, None, detail, f"see who listens: ss -ltnp 'sport = :{settings.port}'")
    return Check(name, True, f"{where} is free")


MACHINE: tuple[Examine, ...] = (
    check_root,
    check_packages,
    check_accelerator,
    check_devices,
    check_guests_reach_data,
)
ALWAYS: tuple[Examine, ...] = (check_data_is_ours, check_disk, check_memory, check_clock, check_port)

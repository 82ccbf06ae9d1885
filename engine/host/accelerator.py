"""Finds out whether KVM runs guests here, by running one: a boot sector that ends QEMU with a number of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from engine.host.commands import Report, attempt
from settings import Settings

Accelerator = Literal["kvm", "tcg"]

QEMU = Path("/usr/bin/qemu-system-x86_64")
PROBE_LIMIT = 5.0
# The device turns a byte written to its port into the exit status 2 * byte + 1.
_PORT, _BYTE = 0xF4, 0x21
PASSED = 2 * _BYTE + 1


class Verdict(BaseModel):
    """What the probe found, and for which host: a new kernel, QEMU or boot asks again."""

    key: str
    accelerator: Accelerator
    why: str


def accelerator(settings: Settings) -> Accelerator:
    """What guests run on: the setting, or with ``auto`` the probe's verdict, which is kept in the data directory."""
    return settings.accelerator if settings.accelerator != "auto" else verdict(settings).accelerator


def verdict(settings: Settings, report: Report = lambda _: None) -> Verdict:
    """The probe's verdict on KVM: the one kept if it is for this boot, else that of a new probe (0.1 to 5 s)."""
    if known := kept_verdict(settings):
        return known
    why = why_not("kvm")
    found = Verdict(key=_key(), accelerator="tcg" if why else "kvm", why=why)
    settings.data.mkdir(parents=True, exist_ok=True)
    _file(settings).write_text(found.model_dump_json())
    report(f"guests run without KVM, which is slow: {why}" if why else "guests run on KVM")
    return found


def kept_verdict(settings: Settings) -> Verdict | None:
    """What was found earlier in this boot; None when nobody asked, or a power cut left half a file."""
    try:
        known = Verdict.model_validate_json(_file(settings).read_text())
    except (OSError, ValidationError):
        return None
    return known if known.key == _key() else None


def _file(settings: Settings) -> Path:
    return settings.data / "accelerator"


def _key() -> str:
    """Kernel, QEMU program and boot; the program by its size and date, which costs less than asking its version."""
    qemu = QEMU.stat() if QEMU.exists() else None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return json.dumps([os.uname().release, qemu and [qemu.st_size, qemu.st_mtime_ns], boot])


def why_not(accelerator: Accelerator, limit: float = PROBE_LIMIT) -> str:
    """Why the probe guest does not run on this accelerator; "" when it does.

    /dev/kvm can be there, make machines, and still hang every guest in its firmware or abort on a register: only a
    guest that ran to its end within ``limit`` seconds proves anything.
    """
    if accelerator == "kvm" and not Path("/dev/kvm").exists():
        return "there is no /dev/kvm: this CPU has no virtualization, or the firmware or hypervisor keeps it off"
    if not QEMU.exists():
        return f"{QEMU} is not installed"
    with tempfile.NamedTemporaryFile(prefix="groundfog-probe-") as disk:
        disk.write(boot_sector())
        # The firmware refuses a disk that is smaller than one cylinder.
        disk.truncate(1 << 20)
        disk.flush()
        try:
            ended = attempt(_command(accelerator, disk.name), timeout=limit)
        except subprocess.TimeoutExpired:
            return f"a probe guest on {accelerator} did not come out of its firmware within {limit:g} s"
    if ended.returncode == PASSED:
        return ""
    said = (ended.stderr.strip() or "QEMU said nothing").splitlines()[0]
    return f"a probe guest on {accelerator} ended with status {ended.returncode}: {said}"


def boot_sector() -> bytes:
    """512 bytes that a PC's firmware boots: they write one byte to one port, then halt for ever."""
    code = bytes(
        [0xBA, *_PORT.to_bytes(2, "little"),  # mov dx, port
         0xB0, _BYTE,                         # mov al, byte
         0xEE,                                # out dx, al
         0xF4, 0xEB, 0xFD]                    # halt: hlt; jmp halt
    )  # fmt: skip
    return code.ljust(510, b"\0") + b"\x55\xaa"


def _command(accelerator: Accelerator, disk: str) -> list[str]:
    """QEMU with the machine and CPU model that guests get from libvirt."""
    cpu = "host" if accelerator == "kvm" else "max"
    return [
        str(QEMU), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "32",
        "-machine", "q35", "-accel", accelerator, "-cpu", cpu,
        "-device", f"isa-debug-exit,iobase={_PORT:#x},iosize=0x4", "-drive", f"file={disk},format=raw,if=virtio",
    ]  # fmt: skip

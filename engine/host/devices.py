"""Device nodes that guests need, with the owners that udev gives them on a host that has udev."""

import grp
import os
import stat
from pathlib import Path

from engine.host.commands import HostError, Report, attempt

KVM = Path("/dev/kvm")
TUN = Path("/dev/net/tun")
_TUN_NUMBER = os.makedev(10, 200)


def ensure_devices(report: Report) -> None:
    """Load KVM and TUN, and let libvirt's QEMU user open /dev/kvm. Raises HostError without /dev/net/tun."""
    if not KVM.exists():
        _load_kvm()
    if KVM.exists() and not is_kvm_open_to_guests():
        # Root could open it and QEMU could not: libvirt would then drop its capabilities at every call, and take
        # 68 s to start a guest.
        report(f"giving {KVM} to the group kvm")
        try:
            os.chown(KVM, -1, grp.getgrnam("kvm").gr_gid)
            KVM.chmod(0o660)
        except OSError as reason:
            raise HostError(
                f"cannot give {KVM} to guests ({reason.strerror}); run on the host: chmod 0660 {KVM}; chgrp kvm {KVM}"
            ) from reason
    if not TUN.exists():
        _make_tun()


def is_kvm_open_to_guests() -> bool:
    """Whether the group kvm, in which QEMU runs, may open /dev/kvm."""
    node = KVM.stat()
    try:
        ours = node.st_gid == grp.getgrnam("kvm").gr_gid
    except KeyError:
        return True  # no such group on this system: its own rules hold
    return bool(node.st_mode & 0o006 == 0o006 or (ours and node.st_mode & 0o060 == 0o060))


def _load_kvm() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    for flag, module in (("vmx", "kvm_intel"), ("svm", "kvm_amd")):
        if f" {flag} " in flags:
            attempt(["modprobe", "--quiet", module])


def _make_tun() -> None:
    attempt(["modprobe", "--quiet", "tun"])
    if TUN.exists():
        return
    try:
        TUN.parent.mkdir(exist_ok=True)
        os.mknod(TUN, stat.S_IFCHR | 0o600, _TUN_NUMBER)
        TUN.open("rb").close()
    except OSError as reason:
        raise HostError(
            f"cannot open {TUN}, through which guests are connected: {reason.strerror}; run: modprobe tun, "
            "or give the container that device"
        ) from reason

"""Builds the demo image: a small Linux that reaches its SSH banner in seconds and behaves like an EC2 instance."""

import os
import shutil
from pathlib import Path

from engine.images import programs
from engine.images.disk import MIB, Boot, make_disk, publish, work_directory
from engine.images.initramfs import module_files, read_module, write_initramfs
from engine.images.packages import (
    Kernel,
    Report,
    fetch,
    fetch_closure,
    find_kernel,
    kernel_packages,
    one_build_at_a_time,
    run,
    unpack,
)

# What the host needs before build_demo() is called.
BUILD_PACKAGES: tuple[str, ...] = (
    "apt", "dosfstools", "e2fsprogs", "kmod", "mtools", "qemu-utils", "syslinux", "syslinux-common", "util-linux",
)  # fmt: skip

SIZE = 1024 * MIB
SCRIPTS = Path(__file__).with_name("demo")
PACKAGES = ("bash", "busybox", "curl", "dropbear-bin", "e2fsprogs", "fdisk", "libpam-modules",
            "netcat-openbsd", "openssh-sftp-server", "sudo", "util-linux")  # fmt: skip
PROGRAMS = (
    "bin/bash", "bin/lsblk", "bin/nc.openbsd", "usr/bin/curl", "usr/bin/sudo", "usr/lib/openssh/sftp-server",
    "usr/sbin/dropbear", "usr/bin/dropbearkey", "sbin/mke2fs", "sbin/resize2fs", "sbin/e2fsck", "sbin/sfdisk",
    "usr/libexec/sudo/sudoers.so", "lib/x86_64-linux-gnu/security/pam_permit.so",
)  # fmt: skip
BOOT_MODULES = ("virtio_pci", "virtio_blk")
ROOT_MODULES = ("virtio_net", "button", "evdev", "virtio_rng", "vfat", "nls_ascii", "nls_cp437", "8021q")
# quiet: a message takes an emulated serial port 1 ms; the guest prints them all after its start instead.
# cryptomgr.notests and noreplace-smp: self-tests and code patching that take an emulated processor 0.3 s and 0.1 s.
COMMAND_LINE = "console=ttyS0,115200 quiet cryptomgr.notests noreplace-smp panic=5"

# What the guest's names of programs are when they are not a file of their own.
LINKS = {
    "bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "usr/sbin": "bin",
    "usr/lib/sftp-server": "openssh/sftp-server",
    "usr/bin/mkfs.ext4": "mke2fs", "usr/bin/mkfs.ext3": "mke2fs", "usr/bin/fsck.ext4": "e2fsck",
    "usr/bin/reboot": "poweroff", "usr/bin/halt": "poweroff", "usr/bin/shutdown": "poweroff",
    "usr/bin/nc": "nc.openbsd",
    "etc/acpi/PWRF/00000080": "/usr/bin/poweroff",
}  # fmt: skip
DIRECTORIES = ("dev", "proc", "sys", "run", "mnt", "tmp", "etc/acpi/PWRF", "etc/dropbear", "root/.ssh", "usr/bin",
               "home/ec2-user/.ssh", "var/lib/demo-init", "var/log", "var/tmp", "usr/lib/demo-init")  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nec2-user:x:1000:1000:EC2 user:/home/ec2-user:/bin/sh\n"
                  "nobody:x:65534:65534:nobody:/:/bin/false\n",
    # No password opens either account: keys do.
    "etc/shadow": "root:*:19700::::::\nec2-user:*:19700::::::\nnobody:*:19700::::::\n",
    "etc/group": "root:x:0:\ntty:x:5:\nec2-user:x:1000:\nnogroup:x:65534:\n",
    "etc/shells": "/bin/sh\n/bin/bash\n",
    "etc/profile": "export PATH=/usr/bin\nexport PS1='\\u@\\h:\\w\\$ '\n",
    "etc/issue": "groundfog demo ",
    "etc/hostname": "demo\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/resolv.conf": "",
    "etc/fstab": "",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "etc/os-release": 'ID=groundfog-demo\nNAME="Groundfog demo"\nPRETTY_NAME="Groundfog demo"\n',
    "etc/pam.d/sudo": "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
    "etc/sudoers": "Defaults !fqdn\nroot ALL=(ALL:ALL) NOPASSWD: ALL\nec2-user ALL=(ALL:ALL) NOPASSWD: ALL\n",
    "etc/inittab": "::sysinit:/usr/lib/demo-init/boot.sh\n::once:/usr/lib/demo-init/userdata.sh\n"
                   "ttyS0::respawn:/usr/bin/getty -L ttyS0 115200 vt100\n::ctrlaltdel:/usr/bin/reboot\n",
}  # fmt: skip
# A static busybox starts in a seventh of the time of a dynamic one, and its shell runs most commands within itself: the
# whole boot lives on it. But it crashes when it resolves a name, and its shell would hide the programs that do.
RESOLVING_BUSYBOX = Path("usr/lib/busybox")
RESOLVING = frozenset({"ash", "ftpget", "ftpput", "httpd", "login", "nslookup", "ping", "ping6", "rdate", "sh",
                       "telnet", "tftp", "traceroute", "traceroute6", "wget"})  # fmt: skip
# Scripts that are commands of the guest; all others live in /usr/lib/demo-init.
COMMANDS = {"imds.sh": "usr/bin/imds", "halt.sh": "usr/bin/poweroff"}
MODES = {"usr/bin/sudo": 0o4755, "etc/sudoers": 0o440, "etc/shadow": 0o600, "tmp": 0o1777, "var/tmp": 0o1777,
         "root": 0o700, "root/.ssh": 0o700, "home/ec2-user": 0o700, "home/ec2-user/.ssh": 0o700}  # fmt: skip


def build_demo(target: Path, cache: Path, report: Report) -> None:
    """Write the demo image, a bootable qcow2 disk of 1 GiB, to `target`; packages are kept in `cache`.

    Raises BuildError "cannot ..." when a tool or a package is missing; `target` is then as it was before."""
    cache = cache.resolve()
    with one_build_at_a_time(cache):
        tree = unpack(fetch_closure(PACKAGES, cache, report), cache)
        alone = unpack(fetch([*kernel_packages(cache), "busybox-static"], cache, report), cache)
        kernel = find_kernel(alone)
        work = work_directory(cache, "demo")
        report("assembling the demo image")
        busybox = programs.find("bin/busybox", alone)
        root = work / "root"
        _make_root(root, tree, busybox)
        _install_modules(root, kernel)
        initramfs = work / "initrd"
        write_initramfs(initramfs, busybox, SCRIPTS / "initramfs.sh", module_files(kernel, BOOT_MODULES))
        make_disk(work / "disk.raw", SIZE, Boot(kernel.image, initramfs, COMMAND_LINE, 32), "demo-root", root)
        publish(work / "disk.raw", target)
        shutil.rmtree(work)
    report(f"{target}: {target.stat().st_size // MIB} MiB")


def _make_root(root: Path, tree: Path, static: Path) -> None:
    for directory in DIRECTORIES:
        (root / directory).mkdir(parents=True)
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    programs.install(PROGRAMS, tree, root)
    for script in SCRIPTS.glob("*.sh"):
        place = root / COMMANDS.get(script.name, f"usr/lib/demo-init/{script.name}")
        shutil.copyfile(script, place)
        place.chmod(0o755)
    for name, destination in LINKS.items():
        (root / name).symlink_to(destination)
    _install_busybox(root, tree, static)
    for name, mode in MODES.items():
        (root / name).chmod(mode)


def _install_busybox(root: Path, tree: Path, static: Path) -> None:
    """Both busyboxes, and a link for every command of theirs that is not a program of its own already."""
    shutil.copy(static, root / "usr/bin/busybox")
    programs.install_as(RESOLVING_BUSYBOX, "bin/busybox", tree, root)
    for applet in run([static, "--list"], "list the commands of busybox").split():
        if not os.path.lexists(root / "usr/bin" / applet):
            target = "../lib/busybox" if applet in RESOLVING else "busybox"
            (root / "usr/bin" / applet).symlink_to(target)


def _install_modules(root: Path, kernel: Kernel) -> None:
    for module in module_files(kernel, BOOT_MODULES + ROOT_MODULES):
        place = root / "usr" / module.relative_to(kernel.tree).with_suffix("")
        place = place if place.suffix == ".ko" else place.with_suffix(".ko")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(read_module(module))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(kernel.tree / "lib/modules" / kernel.version / name, root / "usr/lib/modules" / kernel.version)
    run(["depmod", "--basedir", root, kernel.version], "index the demo image's modules")

"""Builds a full Debian 12 image: systemd, the distribution's own kernel and cloud-init with the EC2 data source."""

import os
import shutil
from pathlib import Path

from engine.images import demo
from engine.images.disk import MIB, Boot, make_disk, publish, work_directory
from engine.images.packages import BuildError, Report, find_kernel, one_build_at_a_time, run

# What the host needs before build_debian() is called.
DEBIAN_BUILD_PACKAGES: tuple[str, ...] = (*demo.BUILD_PACKAGES, "debian-archive-keyring", "mmdebstrap")

# cloud-init grows the root file system into a larger disk at the first boot.
SIZE = 2048 * MIB
COPY_KERNEL = Path(__file__).with_name("debian") / "copy-kernel.sh"
PACKAGES = (
    "ca-certificates", "cloud-guest-utils", "cloud-init", "curl", "dbus", "e2fsprogs", "fdisk", "initramfs-tools",
    "iproute2", "iputils-ping", "libpam-systemd", "linux-image-cloud-amd64", "netbase", "openssh-server",
    "openssh-sftp-server", "sudo", "systemd-resolved", "systemd-sysv", "udev",
)  # fmt: skip
COMMAND_LINE = "root=LABEL=debian-root ro console=tty0 console=ttyS0,115200"

FILES = {
    "etc/fstab": "LABEL=debian-root / ext4 defaults,noinit_itable,errors=remount-ro 0 1\n"
                 "LABEL=BOOT /boot/syslinux vfat defaults,nofail 0 2\n",
    # networkd honours classless routes, MTU and DNS of the lease, also on an interface that is plugged in later.
    "etc/systemd/network/50-dhcp.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=ipv4\n\n"
                                           "[DHCPv4]\nClientIdentifier=mac\nUseMTU=yes\n",
    # The same default user as Debian's images on AWS. The service is asked whatever the firmware calls the machine.
    # An RSA host key would take an emulated processor up to a minute.
    "etc/cloud/cloud.cfg.d/50-ec2.cfg": """\
datasource_list: [Ec2, None]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ["http://169.254.169.254:80"]
network: {config: disabled}
apt: {preserve_sources_list: true}
locale: C.UTF-8
ssh_genkeytypes: [ed25519, ecdsa]
system_info:
  default_user:
    name: admin
    gecos: Debian
    lock_passwd: true
    groups: [adm, sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
""",
    # Drivers of the disks a hypervisor offers; all others would triple what the boot loader has to read.
    "etc/initramfs-tools/conf.d/list": "MODULES=list\n",
    "usr/share/initramfs-tools/modules.d/disks": "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\nnvme\next4\n",
}  # fmt: skip
# What must not be the same in two instances, and what mmdebstrap takes over from the host.
FINISH = (
    'chroot "$1" systemctl enable systemd-networkd systemd-networkd-wait-online',
    'rm -f "$1"/etc/ssh/ssh_host_*_key* "$1"/etc/hostname "$1"/var/lib/dbus/machine-id',
    'truncate --size=0 "$1"/etc/machine-id',
    'ln -sf ../run/systemd/resolve/stub-resolv.conf "$1"/etc/resolv.conf',
    'mkdir -p "$1"/boot/syslinux',
)


def build_debian(target: Path, cache: Path, report: Report, mirror: str = "") -> None:
    """Write a Debian 12 image, a bootable qcow2 disk of 2 GiB, to `target`; takes a minute or two.

    `mirror` is a Debian mirror's URL or a sources.list line, where the default one is not wanted. Raises BuildError
    "cannot ..." when a tool is missing or a package cannot be had; `target` is then as it was before."""
    if os.geteuid() != 0:
        raise BuildError("cannot build the Debian image without being root: its files belong to many users")
    cache = cache.resolve()
    with one_build_at_a_time(cache):
        work = work_directory(cache, "debian")
        try:
            root = _install(work, report, mirror)
            report("assembling the Debian image")
            kernel = find_kernel(root)
            boot = Boot(kernel.image, root / f"boot/initrd.img-{kernel.version}", COMMAND_LINE, 128)
            make_disk(work / "disk.raw", SIZE, boot, "debian-root", root)
            publish(work / "disk.raw", target)
        finally:
            shutil.rmtree(work)
    report(f"{target}: {target.stat().st_size // MIB} MiB")


def _install(work: Path, report: Report, mirror: str) -> Path:
    """A directory with the whole system, its packages installed and configured."""
    skeleton, root = work / "skeleton", work / "root"
    for name, content in FILES.items():
        (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
        (skeleton / name).write_text(content)
    for name in ("etc/kernel/postinst.d/zz-syslinux", "etc/initramfs/post-update.d/zz-syslinux"):
        (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(COPY_KERNEL, skeleton / name)
        (skeleton / name).chmod(0o755)
    report("installing Debian 12 into a directory; this takes a minute or two")
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory",
               f"--include={','.join(PACKAGES)}", '--aptopt=APT::Sandbox::User "root"']  # fmt: skip
    # Before the packages, because the first initramfs is made while they are configured.
    command.append(f'--essential-hook=cp -a "{skeleton}/." "$1"')
    command += [f"--customize-hook={line}" for line in FINISH]
    run([*command, "bookworm", root, *([mirror] if mirror else [])], "install Debian")
    return root

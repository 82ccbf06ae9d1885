"""A guest whose firmware is UEFI: what its image says is what it finds."""

import subprocess
from pathlib import Path

import pytest

from engine.images.demo import COMMAND_LINE
from engine.images.disk import BOOT_START
from tests.acceptance.deployment import Deployment
from tests.acceptance.guests import demo_image, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance


def test_an_image_for_uefi_boots_by_it_again_and_again(deployment: Deployment, tmp_path: Path) -> None:
    disk = uefi_disk(deployment, tmp_path)
    deployment.groundfog("images", "import", str(disk), "--name", "uefi-demo", "--uefi")
    ec2 = deployment.create_account("uefi")
    (image,) = ec2.describe_images(Filters=[{"Name": "boot-mode", "Values": ["uefi"]}])["Images"]
    key = make_key(ec2, "uefi", tmp_path)
    let_in(ec2, 22)
    guest = launch(ec2, key, ImageId=image["ImageId"])
    try:
        assert guest.ssh("test -d /sys/firmware/efi && echo there") == "there"
        assert guest.describe()["CurrentInstanceBootMode"] == "uefi"
        ec2.stop_instances(InstanceIds=[guest.id])
        guest.wait_until("stopped")
        ec2.start_instances(InstanceIds=[guest.id])
        assert guest.ssh("test -d /sys/firmware/efi && echo there") == "there"
    finally:
        terminate(guest)
        deployment.groundfog("images", "remove", image["ImageId"])
    assert not list(Path("/var/lib/libvirt/qemu/nvram").glob(f"{guest.id}*"))


def uefi_disk(deployment: Deployment, folder: Path) -> Path:
    """Return the demo image's disk with what the firmware's shell runs: its kernel is a program for UEFI, too."""
    ec2 = deployment.ec2
    (image,) = ec2.describe_images(ImageIds=[demo_image(ec2)])["Images"]
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    disk, script = folder / "uefi.raw", folder / "startup.nsh"
    run("qemu-img", "convert", "-O", "raw", str(deployment.data / "snapshots" / f"{snapshot}.qcow2"), str(disk))
    script.write_text(f"\\vmlinuz.efi initrd=\\initrd {COMMAND_LINE}\r\n")
    inside = f"{disk}@@{BOOT_START}"
    run("mcopy", "-i", inside, "::vmlinuz", str(folder / "kernel"))
    run("mcopy", "-i", inside, str(folder / "kernel"), "::vmlinuz.efi")
    run("mcopy", "-i", inside, str(script), "::startup.nsh")
    return disk


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

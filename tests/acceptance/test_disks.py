"""Disks of real guests: attached while they run, kept as snapshots, grown, and made into images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

ZONE = "us-east-1a"


@pytest.fixture(scope="module")
def ec2(deployment: Deployment) -> Any:
    return deployment.create_account("disks")


@pytest.fixture(scope="module")
def guest(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    key = make_key(ec2, "disks", tmp_path_factory.mktemp("key"))
    let_in(ec2, 22)
    made = launch(ec2, key, Placement={"AvailabilityZone": ZONE})
    made.wait_until("running")
    made.ssh("true")
    yield made
    terminate(made)


def attach(ec2: Any, guest: Guest, volume: str, device: str) -> str:
    """Attach a volume to a running guest; return the device that it finds."""
    ec2.attach_volume(VolumeId=volume, InstanceId=guest.id, Device=device)
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    return str(eventually(lambda: found(guest, volume), f"{volume} in the guest"))


def found(guest: Guest, volume: str) -> str:
    """Return the device of a volume by its serial number, as EC2's own tools find it."""
    serial = volume.replace("-", "")
    return guest.told(
        f"for d in /sys/block/vd*; do grep -q {serial[:20]} $d/serial && echo /dev/${{d##*/}}; done; true"
    )


def detach(ec2: Any, guest: Guest, volume: str) -> None:
    ec2.detach_volume(VolumeId=volume)
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    assert found(guest, volume) == ""


def make_volume(ec2: Any, **asked: Any) -> str:
    volume = ec2.create_volume(AvailabilityZone=ZONE, **asked)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    return str(volume)


def test_a_volume_comes_goes_grows_and_is_kept_while_the_guest_runs(ec2: Any, guest: Guest) -> None:
    volume = make_volume(ec2, Size=1, VolumeType="gp3")
    device = attach(ec2, guest, volume, "/dev/sdf")
    guest.ssh(f"mke2fs -q -F {device} && mkdir -p /mnt/a && mount {device} /mnt/a && echo early > /mnt/a/early && sync")
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1})
    guest.ssh("echo late > /mnt/a/late && sync")

    copy = make_volume(ec2, SnapshotId=snapshot, Size=2)
    other = attach(ec2, guest, copy, "/dev/sdg")
    guest.ssh(f"mkdir -p /mnt/b && mount {other} /mnt/b")
    assert guest.ssh("cat /mnt/b/early; ls /mnt/b").split() == ["early", "early", "lost+found"]
    assert guest.ssh("cat /mnt/a/late") == "late"

    ec2.modify_volume(VolumeId=volume, Size=3)
    name = device.removeprefix("/dev/")
    eventually(lambda: guest.told(f"cat /sys/block/{name}/size") == str(3 << 21), "a larger disk in the guest")
    assert guest.ssh("cat /mnt/a/early /mnt/a/late").split() == ["early", "late"]

    guest.ssh("umount /mnt/a /mnt/b")
    for each in (volume, copy):
        detach(ec2, guest, each)
    # Nothing that came from it minds the end of a snapshot.
    ec2.delete_snapshot(SnapshotId=snapshot)
    device = attach(ec2, guest, copy, "/dev/sdf")
    guest.ssh(f"mount {device} /mnt/b && grep early /mnt/b/early && umount /mnt/b")
    detach(ec2, guest, copy)
    for each in (volume, copy):
        ec2.delete_volume(VolumeId=each)


def test_what_was_attached_is_there_after_a_stop(ec2: Any, guest: Guest) -> None:
    volume = make_volume(ec2, Size=1)
    device = attach(ec2, guest, volume, "/dev/sdf")
    guest.ssh(f"echo stays > {device} && sync")
    ec2.stop_instances(InstanceIds=[guest.id])
    guest.wait_until("stopped")
    ec2.start_instances(InstanceIds=[guest.id])
    guest.wait_until("running")
    assert guest.ssh("head -c 5 /dev/vdb") == "stays"
    detach(ec2, guest, volume)
    ec2.delete_volume(VolumeId=volume)


def test_an_image_of_a_running_guest_has_its_files(deployment: Deployment, ec2: Any, guest: Guest) -> None:
    guest.ssh("echo mine > /root/mine && sync")
    image = ec2.create_image(InstanceId=guest.id, Name="mine", NoReboot=True)["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    guest.ssh("echo later > /root/later && sync")
    twin = launch(ec2, guest.key, ImageId=image, Placement={"AvailabilityZone": ZONE})
    try:
        twin.wait_until("running")
        assert twin.ssh("cat /root/mine; ls /root/later 2> /dev/null; true") == "mine"
    finally:
        terminate(twin)
    (device,) = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
    ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=device["Ebs"]["SnapshotId"])
    assert guest.ssh("cat /root/mine /root/later").split() == ["mine", "later"]
    assert snapshots_of(ec2) == []


WRITES = """
n=0
while echo $n | dd of=DEVICE bs=4096 seek=$n conv=sync,notrunc,fsync 2> /dev/null; do echo $n; n=$((n + 1)); done
"""
"""Writes blocks with their numbers, and says of each that it is there once the disk has said so."""


def said(log: Path) -> int:
    """Return how many blocks the guest has said are on the disk; a line that was cut short does not count."""
    return log.read_text().count("\n")


def wait_for_more(log: Path) -> int:
    goal = said(log) + 20
    eventually(lambda: said(log) >= goal, "more blocks in the guest", every=0.05)
    return said(log)


def blocks(guest: Guest, device: str, most: int) -> list[str]:
    """Return the numbers in the first blocks of a disk; where nothing was written there is none."""
    return guest.ssh(f"dd if={device} bs=4096 count={most} 2> /dev/null | tr -d '\\000'").split()


def test_each_snapshot_is_one_moment_and_no_acknowledged_write_is_missing_after_a_crash(
    deployment: Deployment, ec2: Any, guest: Guest, tmp_path: Path
) -> None:
    volume, log = make_volume(ec2, Size=1), tmp_path / "said"
    device = attach(ec2, guest, volume, "/dev/sdf")
    taken: list[tuple[str, int, int]] = []
    with guest.working(WRITES.replace("DEVICE", device), log):
        for _ in range(3):
            before = wait_for_more(log)
            snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
            ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1})
            taken.append((snapshot, before, wait_for_more(log)))
        deployment.cut_power(guest.id)
        guest.wait_until("stopped")
    acknowledged = said(log)

    ec2.start_instances(InstanceIds=[guest.id])
    guest.wait_until("running")
    guest.ssh("true")
    most = acknowledged + 100
    there = blocks(guest, found(guest, volume), most)
    assert there == [str(number) for number in range(len(there))]
    assert acknowledged <= len(there) <= acknowledged + 1
    restored = [make_volume(ec2, SnapshotId=snapshot) for snapshot, _, _ in taken]
    for copy, name, (_, least, last) in zip(restored, "ghi", taken, strict=True):
        kept = blocks(guest, attach(ec2, guest, copy, f"/dev/sd{name}"), most)
        assert kept == [str(number) for number in range(len(kept))]
        assert least <= len(kept) <= last
    for each in (volume, *restored):
        detach(ec2, guest, each)
        ec2.delete_volume(VolumeId=each)
    for snapshot, _, _ in taken:
        ec2.delete_snapshot(SnapshotId=snapshot)


def snapshots_of(ec2: Any) -> list[str]:
    return [each["SnapshotId"] for each in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]

"""A real guest whose disks are in a Ceph cluster: launched from an image, kept, restored and grown while it runs."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.ceph import Cluster
from tests.acceptance.deployment import CEPH_ZONE, Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate
from tests.acceptance.test_disks import attach, detach

pytestmark = pytest.mark.acceptance

FILES_ZONE = "us-east-1a"


@pytest.fixture(scope="module")
def ec2(ceph_cluster: Cluster, deployment: Deployment) -> Any:
    return deployment.create_account("ceph")


@pytest.fixture(scope="module")
def guest(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    key = make_key(ec2, "ceph", tmp_path_factory.mktemp("key"))
    let_in(ec2, 22)
    made = launch(ec2, key, Placement={"AvailabilityZone": CEPH_ZONE})
    made.wait_until("running")
    yield made
    terminate(made)


def make_volume(ec2: Any, zone: str = CEPH_ZONE, **asked: Any) -> str:
    volume = ec2.create_volume(AvailabilityZone=zone, **asked)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    return str(volume)


def wait_for(ec2: Any, snapshot: str) -> str:
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1})
    return snapshot


def images_of(cluster: Cluster, owner: str, ids: set[str]) -> list[str]:
    return [name for name in cluster.rbd("ls") if any(name.startswith(f"{owner}.{id}.") for id in ids)]


def test_a_guests_disks_are_in_ceph_and_are_kept_restored_and_grown_while_it_runs(
    ceph_cluster: Cluster, deployment: Deployment, ec2: Any, guest: Guest, refused: Any
) -> None:
    guest.ssh("true")
    root = guest.describe()["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    volume = make_volume(ec2, Size=1)
    assert len(images_of(ceph_cluster, deployment.owner, {root, volume})) == 2
    device = attach(ec2, guest, volume, "/dev/sdf")
    guest.ssh(f"mke2fs -q -F {device} && mkdir -p /mnt/a && mount {device} /mnt/a && echo early > /mnt/a/early && sync")

    kept = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    deployment.kill("worker")
    wait_for(ec2, kept)
    guest.ssh("echo late > /mnt/a/late && sync")

    asked = ec2.create_volume(AvailabilityZone=CEPH_ZONE, SnapshotId=kept, Size=2)["VolumeId"]
    deployment.kill("worker")
    ec2.get_waiter("volume_available").wait(VolumeIds=[asked], WaiterConfig={"Delay": 1})
    other = attach(ec2, guest, asked, "/dev/sdg")
    guest.ssh(f"mkdir -p /mnt/b && mount {other} /mnt/b")
    assert guest.ssh("cat /mnt/b/early; ls /mnt/b").split() == ["early", "early", "lost+found"]
    assert guest.ssh("cat /mnt/a/late") == "late"

    ec2.modify_volume(VolumeId=volume, Size=3)
    name = device.removeprefix("/dev/")
    eventually(lambda: guest.told(f"cat /sys/block/{name}/size") == str(3 << 21), "a larger disk in the guest")

    with refused("InvalidParameterValue", "CopySnapshot"):
        ec2.create_volume(AvailabilityZone=FILES_ZONE, SnapshotId=kept)
    copy = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=kept, DestinationAvailabilityZone=FILES_ZONE)[
        "SnapshotId"
    ]
    moved = make_volume(ec2, FILES_ZONE, SnapshotId=wait_for(ec2, copy))
    assert f"{moved}.qcow2" in deployment.disks()

    guest.ssh("umount /mnt/a /mnt/b")
    for each in (volume, asked):
        detach(ec2, guest, each)
    for snapshot in (kept, copy):
        ec2.delete_snapshot(SnapshotId=snapshot)
    for each in (volume, asked, moved):
        ec2.delete_volume(VolumeId=each)
    gone = {kept, copy, volume, asked}
    eventually(lambda: not images_of(ceph_cluster, deployment.owner, gone), "end of the images")

"""A real guest with a disk that a driver of somebody's own keeps: QEMU reaches it by iSCSI."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.acceptance.deployment import TARGET_ZONE, Deployment, deployed, why_not
from tests.acceptance.guests import launch, let_in, make_key, terminate
from tests.acceptance.test_disks import attach, detach
from tests.engine.drivers.targets import TargetDaemon

pytestmark = pytest.mark.acceptance


@pytest.fixture
def own_deployment(target_daemon: TargetDaemon, pytestconfig: pytest.Config) -> Iterator[Deployment]:
    """One with a zone on targets. The shared one has none: not all that guests do with disks is possible there."""
    if reason := why_not():
        pytest.skip(reason)
    assert pytestconfig.cache is not None
    with TemporaryDirectory(dir="/var/tmp", prefix="gf-targets-") as directory:
        targets = target_daemon.named(Path(directory))
        with deployed(Path(pytestconfig.cache.mkdir("images")), targets=targets) as found:
            yield found


def test_what_a_guest_writes_to_an_iscsi_disk_is_there_when_it_is_attached_again(
    target_daemon: TargetDaemon, own_deployment: Deployment, tmp_path: Path
) -> None:
    ec2: Any = own_deployment.create_account("targets")
    key = make_key(ec2, "targets", tmp_path)
    let_in(ec2, 22)
    guest = launch(ec2, key, Placement={"AvailabilityZone": TARGET_ZONE})
    try:
        volume = ec2.create_volume(AvailabilityZone=TARGET_ZONE, Size=1)["VolumeId"]
        ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
        guest.wait_until("running")
        guest.ssh("true")
        device = attach(ec2, guest, volume, "/dev/sdf")
        assert f"{own_deployment.owner}.{volume}" in target_daemon.tgtadm("--op", "show", "--mode", "target")
        guest.ssh(f"mke2fs -q -F {device} && mkdir -p /mnt/a && mount {device} /mnt/a && echo kept > /mnt/a/file")
        guest.ssh("umount /mnt/a")
        detach(ec2, guest, volume)
        device = attach(ec2, guest, volume, "/dev/sdf")
        assert guest.ssh(f"mount {device} /mnt/a && cat /mnt/a/file && umount /mnt/a") == "kept"
        detach(ec2, guest, volume)
        ec2.delete_volume(VolumeId=volume)
    finally:
        terminate(guest)

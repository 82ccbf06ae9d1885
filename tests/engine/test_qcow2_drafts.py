"""The EBS direct APIs on real files."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from engine.disk_keys import open_key
from engine.drivers.qcow2 import Qcow2
from engine.state import Volume
from tests.cloud import Cloud
from tests.engine.drivers.test_encrypted_disks import qemu_io
from tests.engine.drivers.test_storage_contract import needs_qemu_img
from tests.translators.blocks import ONE, THREE, TWO, content, write

pytestmark = [pytest.mark.acceptance, needs_qemu_img]


@pytest.fixture
def store(cloud: Cloud, tmp_path: Path) -> Qcow2:
    """Have the cloud's disks be files."""
    store = Qcow2(tmp_path / "store")
    storages = dict.fromkeys(cloud.backend.storages, store)
    for region, drivers in cloud.drivers.items():
        cloud.drivers[region] = replace(drivers, storages=storages)
    cloud.app.extensions["groundfog"].blocks.storages = storages
    return store


def test_what_is_sent_is_on_a_volume_and_what_a_guest_writes_comes_back(cloud: Cloud, store: Qcow2) -> None:
    ebs, ec2 = cloud.client("ebs"), cloud.ec2
    first = write(cloud, ebs, {0: ONE, 2047: TWO})
    volume = ec2.create_volume(SnapshotId=first, AvailabilityZone="us-east-1a")["VolumeId"]
    cloud.settle()
    disk = store.locate_disk(volume).name
    commands = ("read -P 1 0 512k", "read -P 2 1073217536 512k", "write -P 3 5M 512k", "write -z 0 512k")
    for command in commands:
        subprocess.run(["qemu-io", "-c", command, disk], check=True, capture_output=True)
    second = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    assert content(ebs, second) == {10: THREE, 2047: TWO}
    changed = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second)["ChangedBlocks"]
    assert [(b["BlockIndex"], "FirstBlockToken" in b, "SecondBlockToken" in b) for b in changed] == [
        (0, True, False), (10, False, True),
    ]  # fmt: skip
    third = write(cloud, ebs, {1: ONE}, ParentSnapshotId=second)
    for id in (second, first):
        ec2.delete_snapshot(SnapshotId=id)
    cloud.settle()
    assert content(ebs, third) == {1: ONE, 10: THREE, 2047: TWO}


def test_encrypted_volumes_come_back_and_are_made_of_what_is_sent(cloud: Cloud, store: Qcow2) -> None:
    ebs, ec2 = cloud.client("ebs"), cloud.ec2
    first = write(cloud, ebs, {0: ONE, 2047: TWO}, Encrypted=True)
    volume = ec2.create_volume(SnapshotId=first, AvailabilityZone="us-east-1a")
    cloud.settle()
    assert volume["Encrypted"]
    with cloud.database.read() as db:
        key = open_key(cloud.settings, db.get_one(Volume, volume["VolumeId"]).key)
    assert key
    for command in ("read -P 2 1073217536 512k", "write -P 3 5M 512k"):
        assert "failed" not in qemu_io(store, volume["VolumeId"], command, key)
    second = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
    cloud.settle()
    third = write(cloud, ebs, {1: TWO}, ParentSnapshotId=second)
    assert content(ebs, third) == {0: ONE, 1: TWO, 10: THREE, 2047: TWO}
    changed = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=third)["ChangedBlocks"]
    assert [block["BlockIndex"] for block in changed] == [1, 10]

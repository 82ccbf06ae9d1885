"""Zones whose disks are in different stores: what is made where, of what, and how snapshots get from one to another."""

from typing import Any

import pytest

from engine.drivers.base import BLOCK
from engine.drivers.simulated import Simulated
from engine.state import Snapshot, Zone
from engine.workflows import copy_snapshot
from tests.cloud import IMAGE, REGION, Cloud
from tests.translators.test_instances import launch

FILES, CEPH = f"{REGION}a", f"{REGION}b"


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """The second zone has a store of its own, with the public image in it, as every store has that."""
    with cloud.database.write() as db:
        db.get_one(Zone, CEPH).storage = "rbd:guests"
        image = db.query(Snapshot.id).filter_by(storage="").one()[0]
    other = Simulated(zones=(CEPH,)).storages[CEPH]
    other.add_snapshot(image, 1)
    cloud.backend.storages[CEPH] = other
    return cloud


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.ec2


def volume_of(cloud: Cloud, zone: str, **asked: Any) -> str:
    id = cloud.ec2.create_volume(AvailabilityZone=zone, **{"Size": 1, **asked})["VolumeId"]
    cloud.settle()
    return str(id)


def snapshot(cloud: Cloud, zone: str) -> str:
    id = cloud.ec2.create_snapshot(VolumeId=volume_of(cloud, zone))["SnapshotId"]
    cloud.settle()
    return str(id)


def copy(cloud: Cloud, source: str, zone: str, **asked: Any) -> str:
    made = cloud.ec2.copy_snapshot(
        SourceRegion=REGION, SourceSnapshotId=source, DestinationAvailabilityZone=zone, **asked
    )["SnapshotId"]
    cloud.settle()
    return str(made)


def state(cloud: Cloud, id: str) -> str:
    return str(cloud.ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"][0]["State"])


def test_a_public_image_is_launched_in_every_zone(cloud: Cloud) -> None:
    for zone in (FILES, CEPH):
        launch(cloud, Placement={"AvailabilityZone": zone})
    cloud.settle()
    assert [len(cloud.backend.storages[zone].list_disks()) for zone in (FILES, CEPH)] == [1, 1]


def test_a_snapshot_is_for_the_zones_of_its_store(cloud: Cloud, ec2: Any, refused: Any) -> None:
    made = snapshot(cloud, CEPH)
    with refused("InvalidParameterValue", f"CopySnapshot with DestinationAvailabilityZone={FILES}"):
        ec2.create_volume(AvailabilityZone=FILES, SnapshotId=made)
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": made}}]
    with refused("InvalidParameterValue", "CopySnapshot"):
        launch(cloud, Placement={"AvailabilityZone": FILES}, BlockDeviceMappings=mapping)
    launch(cloud, Placement={"AvailabilityZone": CEPH}, BlockDeviceMappings=mapping)
    assert (
        ec2.describe_volumes(VolumeIds=[volume_of(cloud, CEPH, SnapshotId=made)])["Volumes"][0]["State"] == "available"
    )


def test_a_launch_that_names_no_zone_is_in_one_that_can_have_its_volumes(cloud: Cloud, ec2: Any) -> None:
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot(cloud, CEPH)}}]
    files = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "Encrypted": True}}]
    for _ in range(3):
        ids = [*launch(cloud, BlockDeviceMappings=mapping), *launch(cloud, BlockDeviceMappings=files)]
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        zones = {one["InstanceId"]: one["Placement"]["AvailabilityZone"] for each in found for one in each["Instances"]}
        assert zones[ids[0]] == CEPH != zones[ids[1]]


@pytest.mark.parametrize(("here", "there"), [(FILES, CEPH), (CEPH, FILES)])
def test_a_copy_takes_what_a_snapshot_holds_into_another_store(cloud: Cloud, here: str, there: str) -> None:
    source = snapshot(cloud, here)
    stores = cloud.backend.storages
    stores[here].write_draft("snap-0", 3 * BLOCK, b"x" * BLOCK)
    stores[here].complete_draft("snap-0", 1, source)
    stores[here].remove_snapshot(source)
    stores[here].copy_snapshot(source, "snap-0")
    made = copy(cloud, source, there)
    assert state(cloud, made) == "completed"
    assert stores[there].read_snapshot(made, 3 * BLOCK, BLOCK) == b"x" * BLOCK
    assert made not in stores[here].list_snapshots()
    cloud.ec2.delete_snapshot(SnapshotId=source)
    cloud.settle()
    volume_of(cloud, there, SnapshotId=made)


def test_a_copy_within_a_store_copies_no_data(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_snapshot, "carry", None)
    assert state(cloud, copy(cloud, snapshot(cloud, CEPH), CEPH)) == "completed"


def test_a_large_copy_takes_several_turns(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store_transfers.TURN", -1.0)
    source, store = snapshot(cloud, FILES), cloud.backend.storages[FILES]
    for number in (0, 1, 5):
        store.write_draft("snap-0", number * BLOCK, bytes([number]) * BLOCK)
    store.complete_draft("snap-0", 1, source)
    store.remove_snapshot(source)
    store.copy_snapshot(source, "snap-0")
    made = copy(cloud, source, CEPH)
    assert state(cloud, made) == "completed"
    held = [cloud.backend.storages[CEPH].read_snapshot(made, n * BLOCK, 1)[0] for n in (0, 1, 2, 5)]
    assert held == [0, 1, 0, 5]


@pytest.mark.parametrize("zone", ["mars-1a", "eu-west-1a"])
def test_a_zone_that_the_region_has_not_is_refused(cloud: Cloud, refused: Any, zone: str) -> None:
    made = snapshot(cloud, FILES)
    with refused("InvalidParameterValue", zone):
        copy(cloud, made, zone)


# -- encryption --------------------------------------------------------------------


def test_nothing_is_encrypted_where_the_store_cannot(cloud: Cloud, ec2: Any, refused: Any) -> None:
    made = snapshot(cloud, CEPH)
    with refused("UnsupportedOperation", "cannot be encrypted"):
        ec2.create_volume(AvailabilityZone=CEPH, Size=1, Encrypted=True)
    with refused("UnsupportedOperation", "cannot be encrypted"):
        ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=made, Encrypted=True)
    with refused("UnsupportedOperation", "cannot be encrypted"):
        copy(cloud, made, CEPH, Encrypted=True)
    with refused("UnsupportedOperation", "what is encrypted is not written"):
        copy(cloud, made, FILES, Encrypted=True)
    assert ec2.create_volume(AvailabilityZone=FILES, Size=1, Encrypted=True)["Encrypted"]


def test_what_is_encrypted_does_not_leave_its_store(cloud: Cloud, ec2: Any, refused: Any) -> None:
    made = ec2.create_snapshot(VolumeId=volume_of(cloud, FILES, Encrypted=True))["SnapshotId"]
    cloud.settle()
    with refused("UnsupportedOperation", "cannot be encrypted"):
        copy(cloud, made, CEPH)


def test_a_default_of_encryption_is_for_the_zones_that_can(cloud: Cloud, ec2: Any, refused: Any) -> None:
    ec2.enable_ebs_encryption_by_default()
    with refused("UnsupportedOperation", "cannot be encrypted"):
        ec2.create_volume(AvailabilityZone=CEPH, Size=1)
    with refused("UnsupportedOperation", "cannot be encrypted"):
        launch(cloud, ImageId=IMAGE, Placement={"AvailabilityZone": CEPH})
    public = ec2.describe_images(ImageIds=[IMAGE])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    made = ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=public)["SnapshotId"]
    assert cloud.look(lambda db: db.get_one(Snapshot, made).storage) == "default"


def test_a_region_that_cannot_encrypt_takes_no_default_of_encryption(cloud: Cloud, ec2: Any, refused: Any) -> None:
    with cloud.database.write() as db:
        db.query(Zone).filter_by(region=REGION).update({Zone.storage: "rbd:guests"})
    with refused("UnsupportedOperation", "disks that can be encrypted"):
        ec2.enable_ebs_encryption_by_default()
    assert not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]

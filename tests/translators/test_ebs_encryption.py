"""Encrypted volumes, snapshots and images, and what accounts set for them, through a real client."""

from typing import Any

import pytest

from engine.disk_keys import open_key
from engine.drivers.base import Disk
from engine.state import Snapshot, Volume
from tests.cloud import IMAGE, REGION, Cloud
from tests.engine.volumes import see
from tests.translators.test_instances import launch
from tests.translators.test_launch_disks import mapping, volumes

OWN = "arn:aws:kms:us-east-1:000000000000:key/"
ALIAS = "alias/aws/ebs"


@pytest.fixture
def by_default(ec2: Any) -> None:
    assert ec2.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True


def make(cloud: Cloud, **more: Any) -> str:
    asked = {"AvailabilityZone": "us-east-1a", "Size": 1} | more
    id = cloud.ec2.create_volume(**asked)["VolumeId"]
    cloud.settle()
    return str(id)


def keep(cloud: Cloud, volume: str) -> str:
    id = cloud.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    return str(id)


def copy(cloud: Cloud, source: str, **more: Any) -> str:
    id = cloud.ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source, **more)["SnapshotId"]
    cloud.settle()
    return str(id)


def snapshot(cloud: Cloud, id: str) -> Any:
    (found,) = cloud.ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"]
    return found


def made(cloud: Cloud, id: str) -> Disk:
    """Return the disk as the storage was asked for it."""
    return cloud.backend.storages["us-east-1a"].disks[id]


def sealed(cloud: Cloud, kind: type[Volume] | type[Snapshot], id: str) -> str:
    with cloud.database.read() as db:
        return db.get_one(kind, id).key


def test_an_encrypted_volume_says_so_and_its_disk_has_a_key_that_the_database_holds_sealed(cloud: Cloud) -> None:
    id, other, plain = make(cloud, Encrypted=True), make(cloud, Encrypted=True), make(cloud)
    assert see(cloud, id)["Encrypted"] is True
    assert see(cloud, id)["KmsKeyId"].startswith(OWN)
    assert see(cloud, plain)["Encrypted"] is False
    assert "KmsKeyId" not in see(cloud, plain)
    key = made(cloud, id).key
    assert key is not None
    assert len(key) == 64
    assert key not in repr(made(cloud, id))
    assert key not in sealed(cloud, Volume, id)
    assert open_key(cloud.settings, sealed(cloud, Volume, id)) == key
    assert made(cloud, other).key not in (None, key)
    assert made(cloud, plain).key is None


def test_the_accounts_own_key_is_named_in_four_ways(cloud: Cloud, refused: Any) -> None:
    arn = see(cloud, make(cloud, Encrypted=True))["KmsKeyId"]
    for name in (arn, arn.rpartition("/")[2], ALIAS, f"arn:aws:kms:us-east-1:000000000000:{ALIAS}"):
        assert see(cloud, make(cloud, Encrypted=True, KmsKeyId=name))["KmsKeyId"] == arn
    for name in (arn.replace("000000000000", "222222222222"), arn.replace("us-east-1", "us-west-2"), "alias/mine"):
        with refused("KMS.NotFoundException", name):
            cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, Encrypted=True, KmsKeyId=name)


def test_a_lineage_has_one_key(cloud: Cloud) -> None:
    volume = make(cloud, Encrypted=True)
    kept = keep(cloud, volume)
    copied = copy(cloud, kept)
    clone = make(cloud, SnapshotId=copied, Encrypted=False, Size=2)
    for id in (kept, copied):
        assert snapshot(cloud, id)["Encrypted"] is True
        assert snapshot(cloud, id)["KmsKeyId"].startswith(OWN)
    assert see(cloud, clone)["Encrypted"] is True
    assert made(cloud, clone).key == made(cloud, volume).key
    assert cloud.backend.storages["us-east-1a"].snapshot_keys[copied] == made(cloud, volume).key


def test_what_is_plain_is_encrypted_by_a_copy_or_by_a_volume_of_it(cloud: Cloud) -> None:
    plain = keep(cloud, make(cloud))
    assert snapshot(cloud, plain)["Encrypted"] is False
    assert "KmsKeyId" not in snapshot(cloud, plain)
    copied = copy(cloud, plain, Encrypted=True, KmsKeyId=ALIAS)
    assert snapshot(cloud, copied)["Encrypted"] is True
    volume = make(cloud, SnapshotId=plain, Encrypted=True)
    keys = {made(cloud, volume).key, cloud.backend.storages["us-east-1a"].snapshot_keys[copied]}
    assert len(keys - {None}) == 2
    assert snapshot(cloud, copy(cloud, plain))["Encrypted"] is False


def test_an_instance_boots_from_an_encrypted_disk_and_keeps_it_in_its_image(cloud: Cloud) -> None:
    disks = [mapping("/dev/xvda", Encrypted=True, KmsKeyId=ALIAS), mapping("/dev/sdf", VolumeSize=1, Encrypted=True)]
    (id,) = launch(cloud, BlockDeviceMappings=disks)
    cloud.settle()
    found = volumes(cloud, id)
    assert [volume["Encrypted"] for volume in found.values()] == [True, True]
    keys = {made(cloud, volume["VolumeId"]).key for volume in found.values()}
    assert len(keys - {None}) == 2
    (machine,) = (guest.machine for host in cloud.backend.computes.values() for guest in host._guests.values())
    assert {disk.key for disk in machine.disks} == keys
    assert not any(str(key) in repr(machine) for key in keys)
    image = cloud.ec2.create_image(InstanceId=id, Name="sealed", NoReboot=True)["ImageId"]
    cloud.settle()
    (shown,) = cloud.ec2.describe_images(ImageIds=[image])["Images"]
    assert all(device["Ebs"]["Encrypted"] for device in shown["BlockDeviceMappings"])
    (again,) = launch(cloud, ImageId=image)
    cloud.settle()
    assert {made(cloud, volume["VolumeId"]).key for volume in volumes(cloud, again).values()} == keys


def test_an_encrypted_image_is_not_shared(cloud: Cloud, refused: Any) -> None:
    copied = cloud.ec2.copy_image(Name="sealed", SourceImageId=IMAGE, SourceRegion=REGION, Encrypted=True)["ImageId"]
    cloud.settle()
    (shown,) = cloud.ec2.describe_images(ImageIds=[copied])["Images"]
    (device,) = shown["BlockDeviceMappings"]
    assert device["Ebs"]["Encrypted"] is True
    assert snapshot(cloud, device["Ebs"]["SnapshotId"])["Encrypted"] is True
    with refused("OperationNotPermitted", copied):
        cloud.ec2.modify_image_attribute(ImageId=copied, LaunchPermission={"Add": [{"Group": "all"}]})


def test_an_image_may_have_an_empty_disk_that_is_encrypted(cloud: Cloud) -> None:
    (root,) = cloud.ec2.describe_images(ImageIds=[IMAGE])["Images"][0]["BlockDeviceMappings"]
    image = cloud.ec2.register_image(
        Name="two", RootDeviceName="/dev/xvda", VirtualizationType="hvm", Architecture="x86_64",
        BlockDeviceMappings=[
            mapping("/dev/xvda", SnapshotId=root["Ebs"]["SnapshotId"]),
            mapping("/dev/sdf", VolumeSize=1, Encrypted=True),
        ],
    )["ImageId"]  # fmt: skip
    (id,) = launch(cloud, ImageId=image)
    cloud.settle()
    found = volumes(cloud, id)
    assert {name: volume["Encrypted"] for name, volume in found.items()} == {"/dev/xvda": False, "/dev/sdf": True}


@pytest.mark.usefixtures("by_default")
def test_what_an_account_has_encrypted_by_default_is_so_whatever_is_said(cloud: Cloud) -> None:
    assert see(cloud, make(cloud))["Encrypted"] is True
    assert see(cloud, make(cloud, Encrypted=False, KmsKeyId=ALIAS))["Encrypted"] is True
    (id,) = launch(cloud)
    assert all(volume["Encrypted"] for volume in volumes(cloud, id).values())
    cloud.ec2.disable_ebs_encryption_by_default()
    assert see(cloud, make(cloud))["Encrypted"] is False


def test_a_default_is_of_one_account_in_one_region(make_cloud: Any) -> None:
    cloud = make_cloud(regions=f"{REGION},eu-west-1")
    elsewhere, other = cloud.client(region="eu-west-1"), cloud.another_account("222222222222")
    cloud.ec2.enable_ebs_encryption_by_default()
    assert cloud.client().get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    for client in (elsewhere, other):
        assert client.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    zone = "us-east-1a"
    assert other.create_volume(AvailabilityZone=zone, Size=1)["Encrypted"] is False


def test_the_default_key_is_the_accounts_own(ec2: Any, refused: Any) -> None:
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == ALIAS
    arn = ec2.modify_ebs_default_kms_key_id(KmsKeyId=ALIAS)["KmsKeyId"]
    assert arn.startswith(OWN)
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == arn
    assert ec2.modify_ebs_default_kms_key_id(KmsKeyId=arn)["KmsKeyId"] == arn
    with refused("KMS.NotFoundException", "alias/mine"):
        ec2.modify_ebs_default_kms_key_id(KmsKeyId="alias/mine")
    assert ec2.reset_ebs_default_kms_key_id()["KmsKeyId"] == ALIAS
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == ALIAS


@pytest.mark.parametrize("way", ["enable_ebs_encryption_by_default", "modify_ebs_default_kms_key_id"])
def test_a_dry_run_changes_nothing(ec2: Any, refused: Any, way: str) -> None:
    more = {"KmsKeyId": ec2.modify_ebs_default_kms_key_id(KmsKeyId=ALIAS)["KmsKeyId"]} if "kms" in way else {}
    ec2.reset_ebs_default_kms_key_id()
    with refused("DryRunOperation"):
        getattr(ec2, way)(DryRun=True, **more)
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == ALIAS

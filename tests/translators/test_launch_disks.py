"""Volumes that instances are launched with, through a real client."""

from collections.abc import Callable
from typing import Any

from engine.drivers.base import Refused
from tests.cloud import IMAGE, Cloud
from tests.engine.volumes import disks, disks_of, see
from tests.translators.test_instances import instance, launch, state
from tests.translators.test_volume_changes import add_snapshot


def mapping(device: str, **ebs: Any) -> dict[str, Any]:
    return {"DeviceName": device, "Ebs": ebs}


def volumes(cloud: Cloud, id: str) -> dict[str, Any]:
    """Return the volumes of an instance by the names of their devices."""
    found = instance(cloud, id)["BlockDeviceMappings"]
    return {device["DeviceName"]: see(cloud, device["Ebs"]["VolumeId"]) for device in found}


def test_volumes_of_every_kind_are_made_at_launch(cloud: Cloud) -> None:
    snapshot = add_snapshot(cloud, 8)
    (id,) = launch(
        cloud,
        BlockDeviceMappings=[
            mapping("/dev/xvda", VolumeSize=20, VolumeType="gp3", Throughput=200, DeleteOnTermination=False),
            mapping("/dev/sdf", SnapshotId=snapshot),
            mapping("/dev/sdg", SnapshotId=snapshot, VolumeSize=9, VolumeType="io1", Iops=450),
            mapping("/dev/sdh", VolumeSize=125, VolumeType="st1", Encrypted=False),
            {"DeviceName": "/dev/sdi", "VirtualName": "ephemeral0"},
        ],
    )
    cloud.settle()
    found = volumes(cloud, id)
    shown = {
        name: (v["Size"], v["VolumeType"], v.get("Iops"), v.get("Throughput"), v["SnapshotId"] == snapshot)
        for name, v in found.items()
    }
    assert shown == {
        "/dev/xvda": (20, "gp3", 3000, 200, False),
        "/dev/sdf": (8, "gp2", 100, None, True),
        "/dev/sdg": (9, "io1", 450, None, True),
        "/dev/sdh": (125, "st1", None, None, False),
    }
    deleted = {name: v["Attachments"][0]["DeleteOnTermination"] for name, v in found.items()}
    assert deleted == {"/dev/xvda": False, "/dev/sdf": True, "/dev/sdg": True, "/dev/sdh": True}
    mib = 2**20
    limits = {d.device: (d.iops, d.bytes_per_second, d.boot) for d in disks_of(cloud, id).values()}
    assert limits == {
        "vda": (3000, 200 * mib, True),
        "vdb": (3000, None, False),
        "vdc": (450, None, False),
        "vdd": (None, None, False),
    }
    root = found["/dev/xvda"]["VolumeId"]
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert see(cloud, root)["State"] == "available" and set(disks(cloud)) == {root}


def test_a_device_of_the_image_may_be_left_out_or_changed(cloud: Cloud) -> None:
    snapshot = add_snapshot(cloud, 8)
    image = cloud.ec2.register_image(
        Name="with data", Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm",
        BlockDeviceMappings=[
            mapping("/dev/xvda", SnapshotId=snapshot, VolumeSize=30),
            mapping("/dev/sdb", VolumeSize=10, VolumeType="gp3", Iops=3500, DeleteOnTermination=False),
        ],
    )["ImageId"]  # fmt: skip
    (plain,) = launch(cloud, ImageId=image)
    found = volumes(cloud, plain)
    assert (found["/dev/sdb"]["Iops"], found["/dev/sdb"]["VolumeType"]) == (3500, "gp3")
    assert found["/dev/sdb"]["Attachments"][0]["DeleteOnTermination"] is False
    (without,) = launch(cloud, ImageId=image, BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "NoDevice": ""}])
    assert list(volumes(cloud, without)) == ["/dev/xvda"]
    changes = [mapping("/dev/sdb", VolumeSize=20), mapping("/dev/xvda", VolumeSize=8)]
    (changed,) = launch(cloud, ImageId=image, BlockDeviceMappings=changes)
    found = volumes(cloud, changed)
    assert (found["/dev/sdb"]["Size"], found["/dev/sdb"]["Iops"]) == (20, 3500)
    assert found["/dev/xvda"]["Size"] == 8, "not less than the snapshot has"
    (other,) = launch(cloud, ImageId=image, BlockDeviceMappings=[mapping("/dev/sdb", VolumeType="gp2")])
    assert volumes(cloud, other)["/dev/sdb"]["Iops"] == 100


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([mapping("/dev/sdf")], "MissingParameter"),
    ([mapping("/dev/sdf", VolumeSize=5), mapping("sdf", VolumeSize=5)], "InvalidBlockDeviceMapping"),
    ([mapping("", VolumeSize=5)], "InvalidBlockDeviceMapping"),
    ([mapping("/dev/nonsense", VolumeSize=5)], "InvalidParameterValue"),
    ([mapping("/dev/sdf", VolumeSize=5, VolumeType="io1")], "InvalidParameterCombination"),
    ([mapping("/dev/sdf", VolumeSize=5, VolumeType="io1", Iops=251)], "InvalidParameterValue"),
    ([mapping("/dev/sdf", VolumeSize=5, Iops=100)], "InvalidParameterCombination"),
    ([mapping("/dev/sdf", VolumeSize=5, VolumeType="st1")], "InvalidParameterValue"),
    ([mapping("/dev/sdf", VolumeSize=5, Encrypted=True, KmsKeyId="alias/mine")], "KMS.NotFoundException"),
    ([mapping("/dev/sdf", VolumeSize=5, KmsKeyId="alias/aws/ebs")], "InvalidParameterDependency"),
    ([mapping("/dev/sdf", SnapshotId="snap-00000000")], "InvalidSnapshot.NotFound"),
    ([mapping("/dev/xvda", VolumeSize=200, VolumeType="sc1")], "InvalidBlockDeviceMapping"),
    ([mapping("/dev/xvda", SnapshotId="snap-00000000")], "InvalidBlockDeviceMapping"),
    ([{"DeviceName": "/dev/xvda", "NoDevice": ""}], "InvalidBlockDeviceMapping"),
    ([mapping(f"/dev/sd{letter}", VolumeSize=1) for letter in "bcdefghijklmnopqrstuvwxyz"]
     + [mapping("/dev/xvdba", VolumeSize=1)], "AttachmentLimitExceeded"),
]  # fmt: skip


def test_what_ec2_refuses_is_refused(cloud: Cloud, refused: Any) -> None:
    for mappings, code in REFUSED:
        with refused(code):
            launch(cloud, BlockDeviceMappings=mappings)
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_snapshots_that_are_too_large_pending_or_anothers_are_refused(cloud: Cloud, refused: Any) -> None:
    for snapshot, code in (
        (add_snapshot(cloud, 8), "InvalidBlockDeviceMapping"),
        (add_snapshot(cloud, 4, state="pending"), "IncorrectState"),
        (add_snapshot(cloud, 4, account="222222222222"), "InvalidSnapshot.NotFound"),
    ):
        with refused(code):
            launch(cloud, BlockDeviceMappings=[mapping("/dev/sdf", SnapshotId=snapshot, VolumeSize=5)])


def test_a_launch_may_not_have_more_than_the_account(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(quotas={"volumes": 3})
    with refused("VolumeLimitExceeded"):
        launch(cloud, 2, BlockDeviceMappings=[mapping("/dev/sdf", VolumeSize=1)])
    assert cloud.ec2.describe_instances()["Reservations"] == []
    launch(cloud, 3)


def test_a_launch_that_finds_no_room_ends_terminated(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(disk_overcommit=1.0)
    for storage in cloud.backend.storages.values():
        storage._free_gib = 50
    (id,) = launch(cloud, ImageId=IMAGE, BlockDeviceMappings=[mapping("/dev/sdf", VolumeSize=60)])
    cloud.settle()
    assert state(cloud, id) == "terminated" and disks(cloud) == {}
    assert instance(cloud, id)["StateReason"]["Code"] == "Server.InternalError"


def test_what_is_to_stay_is_there_however_early_the_launch_ended(cloud: Cloud) -> None:
    for steps in range(5):
        (id,) = launch(cloud, BlockDeviceMappings=[mapping("/dev/sdf", VolumeSize=5, DeleteOnTermination=False)])
        cloud.run_single_steps(steps)
        cloud.ec2.terminate_instances(InstanceIds=[id])
        cloud.settle()
        left = cloud.ec2.describe_volumes()["Volumes"]
        assert [(v["State"], v["Size"]) for v in left] == [("available", 5)] * (steps + 1)
        assert disks(cloud) == {v["VolumeId"]: 5 for v in left}


def test_a_volume_that_was_to_stay_though_its_launch_failed_is_made(cloud: Cloud) -> None:
    cloud.backend.fail_next("ensure_disk", Refused("cannot"), 1)
    (id,) = launch(cloud, BlockDeviceMappings=[mapping("/dev/sdf", VolumeSize=5, DeleteOnTermination=False)])
    cloud.settle()
    (left,) = cloud.ec2.describe_volumes()["Volumes"]
    assert state(cloud, id) == "terminated" and left["State"] == "available" and left["VolumeId"] in disks(cloud)

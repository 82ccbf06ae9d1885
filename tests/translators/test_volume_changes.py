"""Volumes made and deleted through a real client."""

from collections.abc import Callable
from typing import Any

from engine.drivers.base import DriverError
from engine.drivers.simulated_storage import SimulatedStorage
from engine.state import Snapshot
from tests.cloud import OPERATOR, REGION, Cloud
from tests.engine.volumes import creating, disks, see
from tests.translators.test_volumes import add_volume


def add_snapshot(cloud: Cloud, size: int = 8, account: str = OPERATOR, state: str = "completed") -> str:
    """Put a snapshot there as if it had been made; return its id."""
    id = Snapshot.new_id()
    with cloud.database.write() as db:
        db.add(Snapshot(id=id, account=account, region=REGION, volume_size=size, state=state))
    for storage in cloud.backend.storages.values():
        storage.add_snapshot(id, size)
    return id


def test_a_new_volume_is_creating_and_then_available(cloud: Cloud, ec2: Any) -> None:
    made = ec2.create_volume(
        AvailabilityZone="us-east-1b", Size=10, VolumeType="gp3", Iops=4000, Throughput=250,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}],
    )  # fmt: skip
    id = made["VolumeId"]
    assert (made["State"], made["Attachments"], made["Encrypted"]) == ("creating", [], False)
    cloud.settle()
    found = see(cloud, id)
    assert found["State"] == "available" and disks(cloud) == {id: 10}
    asked = ("gp3", 10, 4000, 250, "us-east-1b", "use1-az2", "")
    keys = ("VolumeType", "Size", "Iops", "Throughput", "AvailabilityZone", "AvailabilityZoneId", "SnapshotId")
    assert tuple(found[key] for key in keys) == tuple(made[key] for key in keys) == asked
    assert found["Tags"] == [{"Key": "Name", "Value": "data"}] and found["MultiAttachEnabled"] is False
    assert found["VolumeArn"] == f"arn:aws:ec2:us-east-1:{OPERATOR}:volume/{id}" and found["OwnerId"] == OPERATOR
    assert id in cloud.backend.storages["us-east-1b"].disks, "each zone has its own store"


def test_what_is_not_asked_for_is_the_types_default(ec2: Any) -> None:
    shown = {}
    for kind, size, extra in (
        ("gp2", 1, {}), ("gp2", 500, {}), ("gp2", 9000, {}), ("gp3", 1, {}), ("io1", 4, {"Iops": 200}),
        ("io2", 4, {"Iops": 4000}), ("st1", 125, {}), ("sc1", 125, {}), ("standard", 1, {}),
    ):  # fmt: skip
        made = ec2.create_volume(AvailabilityZoneId="use1-az1", Size=size, VolumeType=kind, **extra)
        shown[kind, size] = (made.get("Iops"), made.get("Throughput"))
        assert made["AvailabilityZone"] == "us-east-1a"
    assert shown == {
        ("gp2", 1): (100, None), ("gp2", 500): (1500, None), ("gp2", 9000): (16000, None), ("gp3", 1): (3000, 125),
        ("io1", 4): (200, None), ("io2", 4): (4000, None), ("st1", 125): (None, None), ("sc1", 125): (None, None),
        ("standard", 1): (None, None),
    }  # fmt: skip
    assert ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeType"] == "gp2"


def test_a_volume_of_a_snapshot_has_its_size_or_more(cloud: Cloud, ec2: Any, refused: Any) -> None:
    snapshot = add_snapshot(cloud)
    small = ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot)
    large = ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot, Size=20)
    assert (small["Size"], large["Size"], small["SnapshotId"]) == (8, 20, snapshot)
    cloud.settle()
    assert disks(cloud) == {small["VolumeId"]: 8, large["VolumeId"]: 20}
    with refused("InvalidParameterValue", "smaller than snapshot"):
        ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot, Size=7)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "MissingParameter"),
    ({"Size": None}, "MissingParameter"),
    ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound"),
    ({"AvailabilityZone": None, "AvailabilityZoneId": "use1-az9"}, "InvalidZone.NotFound"),
    ({"AvailabilityZone": None}, "MissingParameter"),
    ({"AvailabilityZoneId": "use1-az1"}, "InvalidParameterCombination"),
    ({"SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound"),
    ({"SnapshotId": "nonsense"}, "InvalidSnapshotID.Malformed"),
    ({"VolumeType": "warp"}, "InvalidParameterValue"),
    ({"VolumeType": "st1"}, "InvalidParameterValue"),
    ({"Size": 0}, "InvalidParameterValue"),
    ({"Size": 16385}, "InvalidParameterValue"),
    ({"Iops": 100}, "InvalidParameterCombination"),
    ({"Throughput": 125}, "InvalidParameterCombination"),
    ({"VolumeType": "io1"}, "InvalidParameterCombination"),
    ({"VolumeType": "io1", "Iops": 99}, "InvalidParameterValue"),
    ({"VolumeType": "io1", "Iops": 251}, "InvalidParameterValue"),
    ({"VolumeType": "gp3", "Throughput": 2001}, "InvalidParameterValue"),
    ({"MultiAttachEnabled": True}, "InvalidParameterCombination"),
    ({"VolumeType": "io2", "Iops": 100, "MultiAttachEnabled": True}, "UnsupportedOperation"),
    ({"Encrypted": True, "KmsKeyId": "alias/mine"}, "KMS.NotFoundException"),
    ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency"),
    ({"VolumeInitializationRate": 100}, "UnsupportedOperation"),
    ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]}, "InvalidParameterValue"),
    ({"DryRun": True}, "DryRunOperation"),
]


def test_what_cannot_be_made_is_refused(ec2: Any, refused: Any) -> None:
    for asked, code in REFUSED:
        whole = {"AvailabilityZone": "us-east-1a", "Size": 5} | asked if asked else {}
        with refused(code):
            ec2.create_volume(**{name: value for name, value in whole.items() if value is not None})
    assert ec2.describe_volumes()["Volumes"] == []


def test_what_is_off_may_be_said_to_be(ec2: Any) -> None:
    made = ec2.create_volume(AvailabilityZone="us-east-1a", Size=5, Encrypted=False, MultiAttachEnabled=False)
    assert made["Encrypted"] is False


def test_the_messages_are_ec2s(ec2: Any, refused: Any) -> None:
    for asked, text in (
        ({"VolumeType": "st1"}, "Volume of 5GiB is too small for volume type st1; minimum is 125GiB."),
        ({"Size": 16385}, "Volume of 16385GiB is too large for volume type gp2; maximum is 16384GiB."),
        ({"VolumeType": "io1", "Iops": 99}, "Volume iops of 99 is too low; minimum is 100."),
        ({"VolumeType": "gp3", "Iops": 80001}, "Volume iops of 80001 is too high; maximum is 80000."),
        ({"VolumeType": "gp3", "Iops": 3001}, "Iops to volume size ratio of 600.200000 is too high; maximum is 500"),
        (
            {"VolumeType": "gp3", "Throughput": 1000},
            "Throughput (MiBps) to iops ratio of 0.333333 is too high; maximum is 0.250000 MiBps per iops",
        ),
    ):
        with refused("InvalidParameterValue", text):
            ec2.create_volume(**{"AvailabilityZone": "us-east-1a", "Size": 5} | asked)


def test_a_snapshot_that_is_not_done_or_is_anothers_is_refused(cloud: Cloud, ec2: Any, refused: Any) -> None:
    with refused("IncorrectState"):
        creating(cloud, SnapshotId=add_snapshot(cloud, state="pending"))
    with refused("InvalidSnapshot.NotFound"):
        creating(cloud, SnapshotId=add_snapshot(cloud, account="222222222222"))


def test_the_same_client_token_makes_one_volume(cloud: Cloud, ec2: Any, refused: Any) -> None:
    assert creating(cloud, ClientToken="t") == creating(cloud, ClientToken="t")
    with refused("IdempotentParameterMismatch"):
        creating(cloud, ClientToken="t", Size=5)
    assert len(ec2.describe_volumes()["Volumes"]) == 1


def test_a_deleted_volume_is_gone_with_its_tags(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = creating(cloud)
    cloud.settle()
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "b"}])
    ec2.delete_volume(VolumeId=id)
    assert see(cloud, id)["State"] == "deleting" and id in disks(cloud)
    with refused("IncorrectState"):
        ec2.delete_volume(VolumeId=id)
    cloud.settle()
    assert disks(cloud) == {} and ec2.describe_tags()["Tags"] == []
    for call in (ec2.delete_volume, lambda VolumeId: ec2.describe_volumes(VolumeIds=[VolumeId])):
        with refused("InvalidVolume.NotFound", f"The volume '{id}' does not exist."):
            call(VolumeId=id)


def test_another_accounts_volume_is_not_deleted(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = creating(cloud)
    cloud.settle()
    with refused("InvalidVolume.NotFound"):
        cloud.another_account().delete_volume(VolumeId=id)
    with refused("InvalidVolumeID.Malformed"):
        ec2.delete_volume(VolumeId="vol-xyz")
    with refused("DryRunOperation"):
        ec2.delete_volume(VolumeId=id, DryRun=True)
    assert see(cloud, id)["State"] == "available"


def test_a_volume_that_is_being_made_is_not_deleted(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = creating(cloud)
    with refused("IncorrectState"):
        ec2.delete_volume(VolumeId=id)


def test_what_the_account_may_not_have_is_refused(
    make_cloud: Callable[..., Cloud], refused: Callable[..., Any]
) -> None:
    cloud = make_cloud(quotas={"volumes": 3, "GiB of volumes": 200, "provisioned IOPS of volumes": 1000})
    creating(cloud, Size=100)
    with refused("VolumeLimitExceeded", "200 GiB"):
        creating(cloud, Size=101)
    creating(cloud, VolumeType="io1", Size=20, Iops=600)
    with refused("MaxIOPSLimitExceeded"):
        creating(cloud, VolumeType="io2", Size=20, Iops=401)
    creating(cloud, VolumeType="gp3", Iops=3000)
    with refused("VolumeLimitExceeded"):
        creating(cloud, Size=1)
    other = cloud.another_account()
    assert other.create_volume(AvailabilityZone="us-east-1a", Size=100)["State"] == "creating"


def test_a_volume_that_finds_no_room_is_an_error(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(disk_overcommit=2.0, disk_reserved_gib=10)
    cloud.backend.storages["us-east-1a"]._free_gib = 60
    cloud.backend.storages["us-east-1b"] = SimulatedStorage(cloud.backend.faults, 1000)
    fits, large = creating(cloud, Size=50), creating(cloud, Size=101)
    cloud.settle()
    assert (see(cloud, fits)["State"], see(cloud, large)["State"]) == ("available", "error")
    small = creating(cloud, Size=1)
    cloud.settle()
    assert see(cloud, small)["State"] == "error", "what is kept free is left free"
    elsewhere = creating(cloud, "us-east-1b", Size=101)
    cloud.settle()
    assert see(cloud, elsewhere)["State"] == "available" and disks(cloud) == {fits: 50, elsewhere: 101}
    with refused("IncorrectState"):
        cloud.ec2.modify_volume(VolumeId=large, Size=200)
    cloud.ec2.delete_volume(VolumeId=large)
    cloud.settle()
    with refused("InvalidVolume.NotFound"):
        see(cloud, large)


def test_a_volume_that_the_store_does_not_make_is_an_error(cloud: Cloud) -> None:
    id = creating(cloud)
    cloud.backend.fail_next("ensure_disk", DriverError("the store is broken"), 10)
    cloud.settle()
    assert see(cloud, id)["State"] == "error"


def test_volumes_outlive_the_simulator(cloud: Cloud) -> None:
    from engine.fleet import simulate

    id, gone = creating(cloud), add_volume(cloud, state="error")
    cloud.settle()
    again = simulate(cloud.database)
    assert again.storages["us-east-1a"].disks[id].size_gib == 4 and gone not in again.storages["us-east-1a"].disks

"""Volumes changed through a real client, while they are in use or not."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.drivers.base import DriverError, Location
from engine.state import VolumeModification
from tests.cloud import Cloud
from tests.engine.volumes import attaching, creating, disks, disks_of, growing, is_modified, see, volume_of


def made(cloud: Cloud, **asked: Any) -> str:
    id = creating(cloud, **asked)
    cloud.settle()
    return id


def held(cloud: Cloud) -> str:
    """A volume of a running instance."""
    id = volume_of(cloud, attaching(cloud))
    cloud.settle()
    return id


def change(cloud: Cloud, id: str) -> Any:
    (found,) = cloud.ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    return found


def test_a_volume_that_is_in_use_grows_and_is_faster(cloud: Cloud, ec2: Any) -> None:
    id = held(cloud)
    answer = ec2.modify_volume(VolumeId=id, Size=9, VolumeType="gp3", Iops=4000, Throughput=200)["VolumeModification"]
    assert (answer["ModificationState"], answer["Progress"]) == ("modifying", 0) and "EndTime" not in answer
    original = ("OriginalSize", "OriginalVolumeType", "OriginalIops", "OriginalMultiAttachEnabled")
    assert [answer[name] for name in original] == [4, "gp2", 100, False] and "OriginalThroughput" not in answer
    target = ("TargetSize", "TargetVolumeType", "TargetIops", "TargetThroughput", "TargetMultiAttachEnabled")
    assert [answer[name] for name in target] == [9, "gp3", 4000, 200, False]
    assert (see(cloud, id)["Size"], see(cloud, id)["VolumeType"]) == (4, "gp2"), "shown when it has them"
    cloud.settle()
    assert is_modified(cloud, id) and change(cloud, id)["EndTime"] >= answer["StartTime"]


def test_a_disk_that_its_store_grows_has_grown_when_its_machine_is_told(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = held(cloud)
    (storage,), (compute,) = ({*each.values()} for each in (cloud.backend.storages, cloud.backend.computes))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(storage, "locate_disk", lambda id: Location("block", id))
    monkeypatch.setattr(storage, "ensure_disk", lambda disk: storage.resize(disk.id, disk.size_gib))
    monkeypatch.setattr(compute, "resize_disk", lambda machine, disk, size: told.append((disks(cloud)[id], size)))
    cloud.ec2.modify_volume(VolumeId=id, Size=9)
    cloud.settle()
    assert told == [(9, 9)] and change(cloud, id)["ModificationState"] == "completed"


def test_a_change_is_optimizing_when_the_new_size_is_there(cloud: Cloud) -> None:
    id = growing(cloud)
    cloud.run_single_steps(5)
    assert (change(cloud, id)["ModificationState"], see(cloud, id)["Size"]) == ("optimizing", 9)
    assert disks(cloud)[id] == 9
    cloud.settle()
    assert change(cloud, id)["ModificationState"] == "completed"


def test_a_volume_that_is_not_in_use_grows_in_its_store(cloud: Cloud, ec2: Any) -> None:
    id = made(cloud)
    ec2.modify_volume(VolumeId=id, Size=6)
    cloud.settle()
    assert (see(cloud, id)["Size"], see(cloud, id)["State"], disks(cloud)[id]) == (6, "available", 6)
    assert see(cloud, id)["Iops"] == 100


def test_a_stopped_instance_starts_with_the_new_size_and_speed(cloud: Cloud, ec2: Any) -> None:
    id = held(cloud)
    holder = see(cloud, id)["Attachments"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[holder])
    cloud.settle()
    ec2.modify_volume(VolumeId=id, Size=9, VolumeType="gp3", Iops=4000, Throughput=200)
    cloud.settle()
    assert disks(cloud)[id] == 9
    ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert is_modified(cloud, id)


@pytest.mark.parametrize("action", ["stop_instances", "terminate_instances", "start_instances", "detach"])
def test_the_instance_may_move_at_any_step(cloud: Cloud, action: str) -> None:
    for steps in range(6):
        move(cloud, cloud.ec2, action, steps)


def move(cloud: Cloud, ec2: Any, action: str, steps: int) -> None:
    id = held(cloud)
    holder = see(cloud, id)["Attachments"][0]["InstanceId"]
    if action == "start_instances":
        ec2.stop_instances(InstanceIds=[holder])
        cloud.settle()
    ec2.modify_volume(VolumeId=id, Size=9, VolumeType="gp3", Iops=4000, Throughput=200)
    cloud.run_single_steps(steps)
    if action == "detach":
        ec2.detach_volume(VolumeId=id)
    else:
        getattr(ec2, action)(InstanceIds=[holder])
    cloud.settle()
    assert (change(cloud, id)["ModificationState"], see(cloud, id)["Size"], disks(cloud)[id]) == ("completed", 9, 9)
    assert see(cloud, id)["State"] == ("in-use" if action in ("stop_instances", "start_instances") else "available")
    assert action != "start_instances" or disks_of(cloud, holder)[id].iops == 4000


def test_what_is_not_named_stays_or_is_the_new_types_default(cloud: Cloud, ec2: Any) -> None:
    id = made(cloud, VolumeType="gp3", Size=100, Iops=4000, Throughput=300)
    for asked, expected in (
        ({"Size": 200}, ("gp3", 200, 4000, 300)),
        ({"Iops": 5000}, ("gp3", 200, 5000, 300)),
        ({"VolumeType": "gp2"}, ("gp2", 200, 600, None)),
        ({"VolumeType": "io1"}, ("io1", 200, 3000, None)),
        ({"VolumeType": "io2", "Iops": 100}, ("io2", 200, 100, None)),
        ({"VolumeType": "gp3"}, ("gp3", 200, 3000, 125)),
        ({"VolumeType": "st1"}, ("st1", 200, None, None)),
        ({"Size": 200}, ("st1", 200, None, None)),
    ):
        ec2.modify_volume(VolumeId=id, **asked)
        cloud.settle()
        found = see(cloud, id)
        shown = (found["VolumeType"], found["Size"], found.get("Iops"), found.get("Throughput"))
        assert shown == expected, asked


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "MissingParameter"),
    ({"Size": 3}, "InvalidParameterValue"),
    ({"Size": 16385}, "InvalidParameterValue"),
    ({"Iops": 300}, "InvalidParameterCombination"),
    ({"VolumeType": "io1"}, "InvalidParameterValue"),
    ({"VolumeType": "gp3", "Throughput": 5000}, "InvalidParameterValue"),
    ({"VolumeType": "st1"}, "InvalidParameterValue"),
    ({"VolumeType": "standard"}, "UnsupportedOperation"),
    ({"MultiAttachEnabled": True}, "InvalidParameterCombination"),
    ({"VolumeType": "io2", "Iops": 100, "MultiAttachEnabled": True}, "UnsupportedOperation"),
    ({"Size": 9, "DryRun": True}, "DryRunOperation"),
]


def test_what_a_volume_cannot_become_is_refused(cloud: Cloud, refused: Any) -> None:
    id = made(cloud)
    for asked, code in REFUSED:
        with refused(code):
            cloud.ec2.modify_volume(VolumeId=id, **asked)
    assert cloud.ec2.describe_volumes_modifications()["VolumesModifications"] == []


def test_volumes_that_cannot_be_changed_now_are_refused(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = creating(cloud)
    with refused("IncorrectState"):
        ec2.modify_volume(VolumeId=id, Size=9)
    cloud.settle()
    ec2.modify_volume(VolumeId=id, Size=9)
    with refused("IncorrectModificationState", f"Volume {id} cannot be modified in modification state MODIFYING"):
        ec2.modify_volume(VolumeId=id, Size=10)
    cloud.settle()
    ec2.modify_volume(VolumeId=id, Size=10)
    cloud.settle()
    assert (change(cloud, id)["OriginalSize"], change(cloud, id)["TargetSize"]) == (9, 10)
    with refused("UnsupportedOperation"):
        ec2.modify_volume(VolumeId=made(cloud, VolumeType="standard"), Size=10)
    with refused("InvalidVolume.NotFound"):
        cloud.another_account().modify_volume(VolumeId=id, Size=20)


def test_a_root_volume_stays_one_that_can_boot(cloud: Cloud, ec2: Any, refused: Any) -> None:
    holder = see(cloud, held(cloud))["Attachments"][0]["InstanceId"]
    chosen = [
        {"Name": "attachment.instance-id", "Values": [holder]}, {"Name": "attachment.device", "Values": ["/dev/xvda"]}
    ]  # fmt: skip
    (root,) = ec2.describe_volumes(Filters=chosen)["Volumes"]
    with refused("InvalidParameterValue"):
        ec2.modify_volume(VolumeId=root["VolumeId"], VolumeType="st1", Size=200)
    ec2.modify_volume(VolumeId=root["VolumeId"], Size=200)
    cloud.settle()
    assert disks(cloud)[root["VolumeId"]] == 200


def test_more_than_the_account_may_have_is_refused(make_cloud: Callable[..., Cloud], refused: Any) -> None:
    cloud = make_cloud(quotas={"volumes": 1, "GiB of volumes": 50, "provisioned IOPS of volumes": 1000})
    id = made(cloud, VolumeType="io1", Size=20, Iops=900)
    with refused("VolumeLimitExceeded"):
        cloud.ec2.modify_volume(VolumeId=id, Size=51)
    with refused("MaxIOPSLimitExceeded"):
        cloud.ec2.modify_volume(VolumeId=id, Iops=1001, Size=50)
    cloud.ec2.modify_volume(VolumeId=id, Iops=1000, Size=50)


def test_a_change_that_finds_no_room_fails_and_changes_nothing(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(disk_overcommit=1.0)
    id = made(cloud)
    cloud.backend.storages["us-east-1a"]._free_gib = 10
    cloud.ec2.modify_volume(VolumeId=id, Size=100, VolumeType="gp3")
    cloud.settle()
    found = change(cloud, id)
    assert found["ModificationState"] == "failed" and "room" in found["StatusMessage"] and found["EndTime"]
    assert (see(cloud, id)["Size"], see(cloud, id)["VolumeType"], disks(cloud)[id]) == (4, "gp2", 4)
    cloud.ec2.modify_volume(VolumeId=id, Size=6)
    cloud.settle()
    assert (change(cloud, id)["ModificationState"], "StatusMessage" in change(cloud, id)) == ("completed", False)


def test_a_change_that_fails_leaves_the_disk_as_it_was_though_its_instance_starts(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud(disk_overcommit=1.0)
    id = held(cloud)
    (attachment,) = see(cloud, id)["Attachments"]
    for action in (cloud.ec2.stop_instances, cloud.ec2.start_instances):
        cloud.settle()
        action(InstanceIds=[attachment["InstanceId"]])
    for storage in cloud.backend.storages.values():
        storage._free_gib = 10
    cloud.ec2.modify_volume(VolumeId=id, Size=20)
    cloud.settle()
    assert (change(cloud, id)["ModificationState"], disks(cloud)[id]) == ("failed", 4)


def test_a_change_that_has_begun_goes_on_however_long_it_takes(cloud: Cloud) -> None:
    id = growing(cloud)
    cloud.backend.fail_next("resize_disk", DriverError("not now"), 12)
    cloud.settle()
    assert is_modified(cloud, id)


def test_changes_are_filtered_and_paged(cloud: Cloud, ec2: Any) -> None:
    first, second = made(cloud), made(cloud, VolumeType="gp3", Size=50)
    ec2.modify_volume(VolumeId=first, Size=9)
    cloud.settle()
    ec2.modify_volume(VolumeId=second, VolumeType="io1", Iops=400)
    with cloud.database.write() as db:
        db.get_one(VolumeModification, second).started = "2020-01-01T00:00:00.000Z"

    def found(name: str, value: str) -> list[str]:
        answer = ec2.describe_volumes_modifications(Filters=[{"Name": name, "Values": [value]}])
        return [each["VolumeId"] for each in answer["VolumesModifications"]]

    for name, value in (
        ("modification-state", "modifying"), ("original-iops", "3000"), ("original-size", "50"),
        ("original-volume-type", "gp3"), ("start-time", "2020*"), ("target-iops", "400"), ("target-size", "50"),
        ("target-volume-type", "io1"), ("volume-id", second),
    ):  # fmt: skip
        assert found(name, value) == [second], name
    for name in ("originalMultiAttachEnabled", "targetMultiAttachEnabled"):
        assert found(name, "false") == sorted([first, second]) and found(name, "true") == []
    pages = ec2.get_paginator("describe_volumes_modifications").paginate(PaginationConfig={"PageSize": 1})
    assert [[m["VolumeId"] for m in page["VolumesModifications"]] for page in pages] == [
        [i] for i in sorted((first, second))
    ]
    assert cloud.another_account().describe_volumes_modifications()["VolumesModifications"] == []


def test_to_ask_for_what_never_was_is_an_error(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = made(cloud)
    with refused("InvalidVolumeModification.NotFound"):
        ec2.describe_volumes_modifications(VolumeIds=[id])
    with refused("InvalidVolume.NotFound"):
        ec2.describe_volumes_modifications(VolumeIds=["vol-00000000"])

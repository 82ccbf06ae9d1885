"""Volumes through a real client."""

from typing import Any

import pytest

from engine.state import Volume, VolumeAttachment
from tests.cloud import OPERATOR, REGION, Cloud
from translators.errors import Ec2Error
from translators.volume_types import check_volume

SINCE = "2026-01-02T03:04:05.678Z"


def add_volume(cloud: Cloud, account: str = OPERATOR, instance: str = "", tag: str = "", **columns: Any) -> str:
    """Put a row there as if a volume had been made, attached to an instance if one is named; return its id."""
    id = Volume.new_id()
    values: dict[str, Any] = {"zone": "us-east-1a", "size": 8, "state": "available", "created": SINCE} | columns
    with cloud.database.write() as db:
        db.add(Volume(id=id, account=account, region=REGION, **values))
        db.flush()
        if instance:
            db.add(
                VolumeAttachment(
                    volume_id=id, instance_id=instance, device="/dev/xvda", guest_device="vda", state="attached",
                    delete_on_termination=True, attach_time=SINCE,
                )
            )  # fmt: skip
    if tag:
        cloud.ec2.create_tags(Resources=[id], Tags=[{"Key": "Name", "Value": tag}])
    return id


def test_a_volume_shows_what_terraform_reads(cloud: Cloud, ec2: Any) -> None:
    id = add_volume(cloud, size=40, snapshot_id="snap-1", state="in-use", instance="i-0123456789abcdef0", tag="root")
    (volume,) = ec2.describe_volumes(VolumeIds=[id])["Volumes"]
    assert (volume["Size"], volume["VolumeType"], volume["Iops"]) == (40, "gp2", 120)
    assert (volume["SnapshotId"], volume["State"], volume["Encrypted"]) == ("snap-1", "in-use", False)
    assert (volume["AvailabilityZone"], volume["AvailabilityZoneId"]) == ("us-east-1a", "use1-az1")
    assert volume["MultiAttachEnabled"] is False and "Throughput" not in volume and "KmsKeyId" not in volume
    assert volume["Tags"] == [{"Key": "Name", "Value": "root"}]
    (attachment,) = volume["Attachments"]
    assert attachment["AttachTime"].isoformat() == "2026-01-02T03:04:05.678000+00:00" and attachment.pop("AttachTime")
    assert attachment == {
        "VolumeId": id, "InstanceId": "i-0123456789abcdef0", "Device": "/dev/xvda", "State": "attached",
        "DeleteOnTermination": True,
    }  # fmt: skip


def test_the_performance_shown_is_the_types_where_none_was_asked_for(cloud: Cloud, ec2: Any) -> None:
    shown = {}
    for kind, iops, throughput in (
        ("gp3", None, None),
        ("gp3", 4000, 300),
        ("io1", 500, None),
        ("standard", None, None),
    ):
        id = add_volume(cloud, volume_type=kind, iops=iops, throughput=throughput)
        (volume,) = ec2.describe_volumes(VolumeIds=[id])["Volumes"]
        shown[kind, iops] = (volume.get("Iops"), volume.get("Throughput"))
    assert shown == {
        ("gp3", None): (3000, 125),
        ("gp3", 4000): (4000, 300),
        ("io1", 500): (500, None),
        ("standard", None): (None, None),
    }


def test_volumes_are_filtered(cloud: Cloud, ec2: Any, refused: Any) -> None:
    small = add_volume(cloud)
    large = add_volume(
        cloud, size=99, volume_type="gp3", state="in-use", zone="us-east-1b", instance="i-1", snapshot_id="snap-7",
        created="2025-01-01T00:00:00.000Z", tag="big",
    )  # fmt: skip

    def found(name: str, *values: str) -> list[str]:
        answer = ec2.describe_volumes(Filters=[{"Name": name, "Values": values}])
        return [v["VolumeId"] for v in answer["Volumes"]]

    for name, value in (
        ("attachment.attach-time", "2026*"), ("attachment.delete-on-termination", "true"),
        ("attachment.device", "/dev/xvda"), ("attachment.instance-id", "i-1"), ("attachment.status", "attached"),
        ("availability-zone", "us-east-1b"), ("availability-zone-id", "use1-az2"), ("create-time", "2025*"),
        ("size", "99"), ("snapshot-id", "snap-7"), ("status", "in-use"), ("tag:Name", "big"), ("tag-key", "Name"),
        ("volume-id", large), ("volume-type", "gp3"),
    ):  # fmt: skip
        assert found(name, value) == [large], name
    for name in ("encrypted", "multi-attach-enabled", "fast-restored", "operator.managed"):
        assert found(name, "false") == sorted([small, large]) and found(name, "true") == [], name
    assert found("operator.principal", "x") == []
    with refused("InvalidParameterValue"):
        found("nonsense", "x")


def test_volumes_come_in_pages(cloud: Cloud, ec2: Any, refused: Any) -> None:
    ids = sorted(add_volume(cloud) for _ in range(7))
    pages = ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 3})
    assert [[v["VolumeId"] for v in p["Volumes"]] for p in pages] == [ids[:3], ids[3:6], ids[6:]]
    with refused("InvalidParameterCombination"):
        ec2.describe_volumes(VolumeIds=ids, MaxResults=5)


def test_another_accounts_volume_is_not_found(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = add_volume(cloud)
    other = cloud.another_account()
    with refused("InvalidVolume.NotFound", f"The volume '{id}' does not exist."):
        other.describe_volumes(VolumeIds=[id])
    assert other.describe_volumes()["Volumes"] == []
    with refused("InvalidVolumeID.Malformed"):
        ec2.describe_volumes(VolumeIds=["vol-xyz"])
    with refused("DryRunOperation"):
        ec2.describe_volumes(DryRun=True)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("gp2", 8, 100), "InvalidParameterCombination"),
        (("gp2", 16385), "InvalidParameterValue"),
        (("gp3", 8, 2999), "InvalidParameterValue"),
        (("gp3", 8, 4001), "InvalidParameterValue"),
        (("gp3", 8, 3000, 124), "InvalidParameterValue"),
        (("gp3", 8, 3000, 751), "InvalidParameterValue"),
        (("io1", 4), "InvalidParameterCombination"),
        (("io1", 4, 201), "InvalidParameterValue"),
        (("io2", 4, 200, 125), "InvalidParameterCombination"),
        (("st1", 124), "InvalidParameterValue"),
        (("warp", 1), "UnknownVolumeType"),
    ],
)
def test_numbers_that_a_volume_cannot_have_are_refused(asked: Any, code: str) -> None:
    with pytest.raises(Ec2Error) as error:
        check_volume(*asked)
    assert error.value.code == code


def test_numbers_that_a_volume_can_have_are_taken() -> None:
    for asked in (("gp2", 1), ("gp3", 1, 3000, 125), ("gp3", 8, 4000, 1000), ("gp3", 8, None, 750), ("io1", 4, 200),
                  ("io2", 4, 4000), ("sc1", 125), ("standard", 1024)):  # fmt: skip
        check_volume(*asked)

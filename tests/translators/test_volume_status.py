"""How volumes are, through a real client."""

from typing import Any

from tests.cloud import Cloud
from tests.engine.volumes import attaching, creating, see, volume_of
from tests.translators.test_volumes import add_volume


def test_a_volume_is_ok_once_it_is_made(cloud: Cloud, ec2: Any) -> None:
    id = creating(cloud)
    (found,) = ec2.describe_volume_status(VolumeIds=[id])["VolumeStatuses"]
    assert found["VolumeStatus"] == {"Status": "insufficient-data", "Details": []}
    cloud.settle()
    (found,) = ec2.describe_volume_status(VolumeIds=[id])["VolumeStatuses"]
    assert (found["AvailabilityZone"], found["AvailabilityZoneId"]) == ("us-east-1a", "use1-az1")
    assert (found["Actions"], found["Events"], found["AttachmentStatuses"]) == ([], [], [])
    assert found["VolumeStatus"] == {
        "Status": "ok",
        "Details": [
            {"Name": "io-enabled", "Status": "passed"},
            {"Name": "io-performance", "Status": "not-applicable"},
        ],
    }


def test_status_is_filtered_and_paged(cloud: Cloud, ec2: Any, refused: Any) -> None:
    held = volume_of(cloud, attaching(cloud))
    cloud.settle()
    holder = see(cloud, held)["Attachments"][0]["InstanceId"]
    quick = add_volume(cloud, volume_type="io1", iops=100, zone="us-east-1b")
    new = creating(cloud, "us-east-1c")

    def found(name: str, value: str) -> set[str]:
        answer = ec2.describe_volume_status(Filters=[{"Name": name, "Values": [value]}])
        return {each["VolumeId"] for each in answer["VolumeStatuses"]}

    everything = {each["VolumeId"] for each in ec2.describe_volume_status()["VolumeStatuses"]}
    assert held in found("attachment-status.instance-id", holder)
    assert held in found("attachment-status.io-performance", "not-applicable")
    assert found("attachment-status.io-performance", "normal") == set()
    assert quick in found("availability-zone", "us-east-1b") and new not in found("availability-zone", "us-east-1b")
    assert found("volume-status.status", "insufficient-data") == {new}
    assert found("volume-status.status", "ok") == everything - {new}
    assert found("volume-status.details-name", "io-enabled") == everything - {new}
    assert found("volume-status.details-status", "passed") == everything - {new}
    assert found("volume-status.details-status", "normal") == {quick}
    for name in ("action.code", "event.event-type", "event.not-after"):
        assert found(name, "e*") == set()
    pages = ec2.get_paginator("describe_volume_status").paginate(PaginationConfig={"PageSize": 2})
    assert [each["VolumeId"] for page in pages for each in page["VolumeStatuses"]] == sorted(everything)
    with refused("InvalidVolume.NotFound"):
        cloud.another_account().describe_volume_status(VolumeIds=[new])


def test_reading_and_writing_may_be_enabled_by_itself_or_by_hand(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = creating(cloud)
    for wanted in (True, False):
        ec2.modify_volume_attribute(VolumeId=id, AutoEnableIO={"Value": wanted})
        found = ec2.describe_volume_attribute(VolumeId=id, Attribute="autoEnableIO")
        assert (found["VolumeId"], found["AutoEnableIO"]) == (id, {"Value": wanted})
    assert ec2.describe_volume_attribute(VolumeId=id, Attribute="productCodes")["ProductCodes"] == []
    ec2.enable_volume_io(VolumeId=id)
    with refused("MissingParameter"):
        ec2.modify_volume_attribute(VolumeId=id)
    other = cloud.another_account()
    for call in (
        lambda: other.enable_volume_io(VolumeId=id),
        lambda: other.describe_volume_attribute(VolumeId=id, Attribute="autoEnableIO"),
        lambda: other.modify_volume_attribute(VolumeId=id, AutoEnableIO={"Value": True}),
    ):
        with refused("InvalidVolume.NotFound"):
            call()

"""Terraform on volumes, snapshots and images: all of it comes, grows under a running guest, and goes."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, client
from tests.acceptance.guests import demo_image
from tests.acceptance.terraform import terraform, why_not

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(bool(why_not()), reason=why_not())]

CHANGED = ("-var", "size=2", "-var", "type=gp3", "-var", "note=two")


def test_volumes_snapshots_and_images_are_applied_grown_and_destroyed(deployment: Deployment, tmp_path: Path) -> None:
    own, friend = deployment.create_credentials("terraform-disks"), deployment.create_account("terraform-friend")
    ec2 = client(own)
    variables = {
        "TF_VAR_image": demo_image(ec2),
        "TF_VAR_friend": account_of(friend),
    }
    with terraform(tmp_path, {**deployment.environment, **own, **variables}, "disks") as stack:
        stack.apply()
        stack.assert_nothing_to_do()
        stack.apply(*CHANGED)
        stack.assert_nothing_to_do(*CHANGED)
        ids, things = stack.ids(), stack.resources()
        assert_disks_are_as_asked(ec2, things)
        assert_friend_may_use(friend, things)
        assert any(id in name for id in ids for name in deployment.disks())
    assert not ec2.describe_volumes()["Volumes"]
    assert not ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert not ec2.describe_images(Owners=["self"])["Images"]
    assert not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    assert [name for name in deployment.disks() for id in ids if id in name] == []


def assert_disks_are_as_asked(ec2: Any, things: dict[str, dict[str, Any]]) -> None:
    id, restored = things["aws_ebs_volume.data"]["id"], things["aws_ebs_volume.restored"]["id"]
    volumes = {volume["VolumeId"]: volume for volume in ec2.describe_volumes()["Volumes"]}
    data = volumes[id]
    assert (data["Size"], data["VolumeType"], data["Attachments"][0]["State"]) == (2, "gp3", "attached")
    assert {"Key": "Note", "Value": "two"} in data["Tags"]
    assert (volumes[restored]["Encrypted"], data["Encrypted"]) == (True, False)
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]


def assert_friend_may_use(friend: Any, things: dict[str, dict[str, Any]]) -> None:
    snapshot, image = things["aws_ebs_snapshot.data"]["id"], things["aws_ami.registered"]["id"]
    assert [found["SnapshotId"] for found in friend.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]] == [
        snapshot
    ]
    assert [found["ImageId"] for found in friend.describe_images(ImageIds=[image])["Images"]] == [image]


def account_of(ec2: Any) -> str:
    return str(ec2.describe_vpcs()["Vpcs"][0]["OwnerId"])

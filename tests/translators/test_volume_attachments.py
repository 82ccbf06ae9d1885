"""Volumes attached and detached through a real client."""

from typing import Any

import pytest

from engine.state import Instance
from tests.cloud import Cloud
from tests.engine.volumes import creating, disks, disks_of, see
from tests.translators.test_instances import instance, launch, state
from tests.translators.test_volumes import add_volume


@pytest.fixture
def holder(cloud: Cloud) -> str:
    """A running instance."""
    (id,) = launch(cloud, InstanceType="t3.small")
    cloud.settle()
    return id


def zone(cloud: Cloud, holder: str) -> str:
    return str(instance(cloud, holder)["Placement"]["AvailabilityZone"])


def make(cloud: Cloud, holder: str, **asked: Any) -> str:
    id = creating(cloud, zone(cloud, holder), **asked)
    cloud.settle()
    return id


def attached(cloud: Cloud, holder: str, device: str = "/dev/sdf", **asked: Any) -> str:
    id = make(cloud, holder, **asked)
    cloud.ec2.attach_volume(VolumeId=id, InstanceId=holder, Device=device)
    cloud.settle()
    return id


def stop(cloud: Cloud, holder: str) -> None:
    cloud.ec2.stop_instances(InstanceIds=[holder])
    cloud.settle()


def root_of(cloud: Cloud, holder: str) -> str:
    return str(instance(cloud, holder)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])


def states(cloud: Cloud, id: str) -> tuple[str, str]:
    found = see(cloud, id)
    return found["State"], found["Attachments"][0]["State"] if found["Attachments"] else ""


def test_a_volume_is_attached_to_a_running_instance(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = make(cloud, holder)
    answer = ec2.attach_volume(VolumeId=id, InstanceId=holder, Device="/dev/sdf")
    assert states(cloud, id) == ("in-use", "attaching") and answer["State"] == "attaching"
    cloud.settle()
    assert states(cloud, id) == ("in-use", "attached")
    (found,) = see(cloud, id)["Attachments"]
    expected = {"VolumeId": id, "InstanceId": holder, "Device": "/dev/sdf", "DeleteOnTermination": False}
    for key, value in expected.items():
        assert found[key] == answer[key] == value
    assert found["AttachTime"] == answer["AttachTime"]
    shown = instance(cloud, holder)["BlockDeviceMappings"]
    assert [(d["DeviceName"], d["Ebs"]["Status"]) for d in shown] == [
        ("/dev/xvda", "attached"),
        ("/dev/sdf", "attached"),
    ]
    disk = disks_of(cloud, holder)[id]
    assert (disk.device, disk.serial, disk.boot) == ("vdb", id.replace("-", ""), False)


def test_terraform_finds_an_attachment_by_its_filters(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = attached(cloud, holder, "/dev/sdh")
    for device, expected in (("/dev/sdh", [id]), ("/dev/sdi", [])):
        chosen = [
            {"Name": "attachment.device", "Values": [device]},
            {"Name": "attachment.instance-id", "Values": [holder]},
        ]
        found = ec2.describe_volumes(VolumeIds=[id], Filters=chosen)["Volumes"]
        assert [volume["VolumeId"] for volume in found] == expected


def test_a_volume_is_attached_to_a_stopped_instance_at_once(cloud: Cloud, ec2: Any, holder: str) -> None:
    stop(cloud, holder)
    id = make(cloud, holder)
    ec2.attach_volume(VolumeId=id, InstanceId=holder, Device="xvdh")
    assert states(cloud, id) == ("in-use", "attached") and see(cloud, id)["Attachments"][0]["Device"] == "xvdh"
    ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert id in disks_of(cloud, holder)
    stop(cloud, holder)
    assert ec2.detach_volume(VolumeId=id)["State"] == "detaching"
    assert states(cloud, id) == ("available", "")
    ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert id not in disks_of(cloud, holder) and id in disks(cloud)


def test_a_volume_is_detached_from_a_running_instance(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = attached(cloud, holder)
    answer = ec2.detach_volume(VolumeId=id, InstanceId=holder, Device="/dev/sdf", Force=False)
    assert (answer["State"], answer["Device"], answer["InstanceId"]) == ("detaching", "/dev/sdf", holder)
    assert states(cloud, id) == ("in-use", "detaching")
    assert ec2.detach_volume(VolumeId=id)["State"] == "detaching", "asked once more, it is still on its way"
    cloud.settle()
    assert states(cloud, id) == ("available", "") and id not in disks_of(cloud, holder)
    assert [d["DeviceName"] for d in instance(cloud, holder)["BlockDeviceMappings"]] == ["/dev/xvda"]


def test_a_volume_moves_with_its_data_from_one_instance_to_another(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = attached(cloud, holder)
    (other,) = launch(cloud, SubnetId=instance(cloud, holder)["SubnetId"])
    cloud.settle()
    for target in (other, holder, other):
        ec2.detach_volume(VolumeId=id)
        cloud.settle()
        ec2.attach_volume(VolumeId=id, InstanceId=target, Device="/dev/sdf")
        cloud.settle()
        assert id in disks_of(cloud, target) and states(cloud, id) == ("in-use", "attached")


def test_names_are_those_that_ec2_knows(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    id = make(cloud, holder)
    for name in ("/dev/nvme1n1", "/dev/sdf16", "disk", "/dev/xvdea", "/dev/SDF", "/dev/vdb"):
        with refused("InvalidParameterValue", f"{name} is not a valid EBS device name."):
            ec2.attach_volume(VolumeId=id, InstanceId=holder, Device=name)
    with refused("MissingParameter"):
        ec2.attach_volume(VolumeId=id, InstanceId=holder)
    assert states(cloud, id) == ("available", "")
    stop(cloud, holder)
    for name in ("/dev/sdb", "/dev/sdz", "sdf", "/dev/sda2", "/dev/xvdba", "xvdh", "/dev/hdb", "/dev/sdf15"):
        id = add_volume(cloud, zone=zone(cloud, holder))
        ec2.attach_volume(VolumeId=id, InstanceId=holder, Device=name)
        assert see(cloud, id)["Attachments"][0]["Device"] == name


def test_a_name_that_is_in_use_is_refused(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    attached(cloud, holder)
    id = make(cloud, holder)
    for name in ("/dev/sdf", "sdf", "/dev/xvda"):
        with refused("InvalidParameterValue", f"Attachment point {name} is already in use"):
            ec2.attach_volume(VolumeId=id, InstanceId=holder, Device=name)


def test_what_cannot_be_attached_is_refused(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    id = attached(cloud, holder)
    with refused("VolumeInUse", f"{id} is already attached to an instance"):
        ec2.attach_volume(VolumeId=id, InstanceId=holder, Device="/dev/sdg")
    with refused("VolumeInUse", f"Volume {id} is currently attached to {holder}"):
        ec2.delete_volume(VolumeId=id)
    elsewhere = creating(cloud, "us-east-1a" if zone(cloud, holder) != "us-east-1a" else "us-east-1b")
    with refused("IncorrectState"):
        ec2.attach_volume(VolumeId=elsewhere, InstanceId=holder, Device="/dev/sdg")
    cloud.settle()
    with refused("InvalidVolume.ZoneMismatch"):
        ec2.attach_volume(VolumeId=elsewhere, InstanceId=holder, Device="/dev/sdg")
    free = make(cloud, holder)
    with refused("InvalidParameterValue"):
        ec2.attach_volume(VolumeId=free, InstanceId=holder, Device="/dev/sdg", EbsCardIndex=1)
    with refused("InvalidVolume.NotFound"):
        ec2.attach_volume(VolumeId="vol-00000000", InstanceId=holder, Device="/dev/sdg")
    with refused("InvalidInstanceID.NotFound"):
        ec2.attach_volume(VolumeId=free, InstanceId="i-00000000", Device="/dev/sdg")
    other = cloud.another_account()
    with refused("InvalidInstanceID.NotFound"):
        other.attach_volume(VolumeId=free, InstanceId=holder, Device="/dev/sdg")
    with refused("InvalidVolume.NotFound"):
        other.detach_volume(VolumeId=id)
    with refused("DryRunOperation"):
        ec2.attach_volume(VolumeId=free, InstanceId=holder, Device="/dev/sdg", DryRun=True)
    assert states(cloud, free) == ("available", "")


def test_only_a_running_or_stopped_instance_takes_a_volume(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    id = make(cloud, holder)
    for moving in ("pending", "stopping", "shutting-down", "terminated"):
        with cloud.database.write() as db:
            db.get_one(Instance, holder).state = moving
        with refused("IncorrectState", f"Instance '{holder}' is not 'running'."):
            ec2.attach_volume(VolumeId=id, InstanceId=holder, Device="/dev/sdg")


def test_more_volumes_than_the_type_has_are_refused(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    stop(cloud, holder)
    place = zone(cloud, holder)
    names = [f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"]
    for name in names:
        ec2.attach_volume(VolumeId=add_volume(cloud, zone=place), InstanceId=holder, Device=name)
    with refused("AttachmentLimitExceeded"):
        ec2.attach_volume(VolumeId=add_volume(cloud, zone=place), InstanceId=holder, Device="/dev/xvdba")
    # Interfaces and volumes share what a Nitro instance can have.
    ec2.detach_volume(VolumeId=see_device(cloud, holder, "/dev/sdz"))
    subnet = instance(cloud, holder)["SubnetId"]
    for index in (1, 2):
        card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        ec2.attach_network_interface(NetworkInterfaceId=card, InstanceId=holder, DeviceIndex=index)
    with refused("AttachmentLimitExceeded"):
        ec2.attach_volume(VolumeId=add_volume(cloud, zone=place), InstanceId=holder, Device="/dev/sdz")


def see_device(cloud: Cloud, holder: str, name: str) -> str:
    devices = instance(cloud, holder)["BlockDeviceMappings"]
    return str(next(d["Ebs"]["VolumeId"] for d in devices if d["DeviceName"] == name))


def test_what_is_not_attached_cannot_be_detached(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    free, id = make(cloud, holder), attached(cloud, holder)
    with refused("IncorrectState", f"Volume '{free}' is in the 'available' state."):
        ec2.detach_volume(VolumeId=free)
    (other,) = launch(cloud)
    with refused("InvalidAttachment.NotFound"):
        ec2.detach_volume(VolumeId=id, InstanceId=other)
    with refused("InvalidAttachment.NotFound"):
        ec2.detach_volume(VolumeId=id, Device="/dev/sdx")
    with refused("InvalidInstanceID.NotFound"):
        ec2.detach_volume(VolumeId=id, InstanceId="i-00000000")
    with refused("InvalidVolume.NotFound"):
        ec2.detach_volume(VolumeId="vol-00000000")
    assert states(cloud, id) == ("in-use", "attached")


def test_the_root_volume_goes_only_from_a_stopped_instance(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    root = root_of(cloud, holder)
    with refused("OperationNotPermitted", f"Unable to detach root volume '{root}' from instance '{holder}'"):
        ec2.detach_volume(VolumeId=root, Force=True)
    stop(cloud, holder)
    ec2.detach_volume(VolumeId=root)
    assert states(cloud, root) == ("available", "")
    with refused("InvalidParameterValue", "does not have a volume attached at root (/dev/xvda)"):
        ec2.start_instances(InstanceIds=[holder])
    slow = make(cloud, holder, VolumeType="st1", Size=125)
    with refused("InvalidParameterCombination"):
        ec2.attach_volume(VolumeId=slow, InstanceId=holder, Device="/dev/xvda")
    ec2.attach_volume(VolumeId=root, InstanceId=holder, Device="/dev/xvda")
    ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert state(cloud, holder) == "running" and disks_of(cloud, holder)[root].boot


def test_volumes_stay_or_go_with_their_instance_as_was_asked(cloud: Cloud, ec2: Any, refused: Any, holder: str) -> None:
    stays, goes, root = attached(cloud, holder), attached(cloud, holder, "/dev/sdg"), root_of(cloud, holder)
    ec2.modify_instance_attribute(
        InstanceId=holder,
        BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True, "VolumeId": goes}}],
    )
    assert see(cloud, goes)["Attachments"][0]["DeleteOnTermination"] is True
    devices = ec2.describe_instance_attribute(InstanceId=holder, Attribute="blockDeviceMapping")["BlockDeviceMappings"]
    assert [d["Ebs"]["DeleteOnTermination"] for d in devices] == [True, False, True]
    ec2.terminate_instances(InstanceIds=[holder])
    with refused("IncorrectState"):
        ec2.detach_volume(VolumeId=goes)
    cloud.settle()
    assert states(cloud, stays) == ("available", "") and set(disks(cloud)) == {stays}
    for id in (goes, root):
        with refused("InvalidVolume.NotFound"):
            see(cloud, id)


def test_a_device_that_is_not_there_cannot_be_changed(ec2: Any, refused: Any, holder: str) -> None:
    for mapping, code in (
        ({"DeviceName": "/dev/sdq", "Ebs": {"DeleteOnTermination": True}}, "InvalidInstanceAttributeValue"),
        ({"DeviceName": "/dev/xvda", "Ebs": {"VolumeId": "vol-00000000"}}, "InvalidInstanceAttributeValue"),
        ({"DeviceName": "/dev/xvda", "NoDevice": ""}, "UnsupportedOperation"),
    ):
        with refused(code):
            ec2.modify_instance_attribute(InstanceId=holder, BlockDeviceMappings=[mapping])

"""Volumes on their way from one state to another, for the tests of workflows and of what comes between their steps."""

from typing import Any

from sqlalchemy import select

from engine.state import Instance, Volume, VolumeAttachment
from tests.cloud import Cloud
from tests.translators.test_instances import instance, launch


def running(cloud: Cloud) -> str:
    (id,) = launch(cloud)
    cloud.settle()
    return id


def creating(cloud: Cloud, zone: str = "us-east-1a", **asked: Any) -> str:
    """A volume that is about to be made; return its id."""
    return str(cloud.ec2.create_volume(**{"AvailabilityZone": zone, "Size": 4} | asked)["VolumeId"])


def deleting(cloud: Cloud) -> str:
    id = creating(cloud)
    cloud.settle()
    cloud.ec2.delete_volume(VolumeId=id)
    return id


def attaching(cloud: Cloud) -> str:
    """A volume that a running instance is about to have; return the id of its attachment."""
    holder = running(cloud)
    id = creating(cloud, instance(cloud, holder)["Placement"]["AvailabilityZone"])
    cloud.settle()
    cloud.ec2.attach_volume(VolumeId=id, InstanceId=holder, Device="/dev/sdf")
    return attachment_of(cloud, id)


def detaching(cloud: Cloud) -> str:
    """A volume that a running instance has, and is about to lose; return the id of its attachment."""
    id = attaching(cloud)
    cloud.settle()
    cloud.ec2.detach_volume(VolumeId=volume_of(cloud, id))
    return id


def growing(cloud: Cloud) -> str:
    """A volume of a running instance that is about to be larger and faster; return its id."""
    id = volume_of(cloud, attaching(cloud))
    cloud.settle()
    cloud.ec2.modify_volume(VolumeId=id, Size=9, VolumeType="gp3", Iops=4000, Throughput=200)
    return id


def attachment_of(cloud: Cloud, volume_id: str) -> str:
    return str(cloud.look(lambda db: db.scalar(select(VolumeAttachment.id).filter_by(volume_id=volume_id))))


def volume_of(cloud: Cloud, attachment_id: str) -> str:
    return str(cloud.look(lambda db: db.scalar(select(VolumeAttachment.volume_id).filter_by(id=attachment_id))))


def see(cloud: Cloud, id: str) -> Any:
    (found,) = cloud.ec2.describe_volumes(VolumeIds=[id])["Volumes"]
    return found


def disks(cloud: Cloud) -> dict[str, int]:
    """Return all disks that there are, and their sizes in GiB."""
    found: dict[str, int] = {}
    for storage in cloud.backend.storages.values():
        found |= {id: disk.size_gib for id, disk in storage.disks.items()}
    return found


def disks_of(cloud: Cloud, instance_id: str) -> dict[str, Any]:
    """Return the disks of the machine of an instance, by the ids of their volumes."""
    (guest,) = (g for c in cloud.backend.computes.values() if (g := c._guests.get(instance_id)))
    return {disk.disk_id: disk for disk in guest.machine.disks}


def is_available(cloud: Cloud, id: str) -> bool:
    return see(cloud, id)["State"] == "available" and disks(cloud)[id] == 4


def is_error(cloud: Cloud, id: str) -> bool:
    return bool(see(cloud, id)["State"] == "error")


def is_gone(cloud: Cloud, id: str) -> bool:
    return cloud.look(lambda db: db.get(Volume, id)) is None and id not in disks(cloud)


def is_attached(cloud: Cloud, id: str) -> bool:
    """Say whether an attachment is as it should be in the end."""
    row = cloud.look(lambda db: db.scalar(select(VolumeAttachment).filter_by(id=id)))
    found = see(cloud, volume_of(cloud, id))
    return (
        row is not None
        and (row.state, found["State"]) == ("attached", "in-use")
        and row.volume_id in disks_of(cloud, row.instance_id)
    )


def is_detached(cloud: Cloud, id: str) -> bool:
    """Say whether an attachment is no more, and no machine has a disk that it should not have."""
    gone = cloud.look(lambda db: db.scalar(select(VolumeAttachment.id).filter_by(id=id))) is None
    ids = cloud.look(lambda db: db.scalars(select(Instance.id).where(Instance.state == "running")).all())
    rows = cloud.look(lambda db: db.execute(select(VolumeAttachment.instance_id, VolumeAttachment.volume_id)).all())
    attached = {(i, v) for i, v in rows if i in ids}
    plugged = {(id, volume) for id in ids for volume in disks_of(cloud, id)}
    volumes = cloud.ec2.describe_volumes()["Volumes"]
    free = {v["State"] for v in volumes if not v["Attachments"]} <= {"available"}
    return gone and free and attached == plugged


def is_modified(cloud: Cloud, id: str) -> bool:
    (change,) = cloud.ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    found = see(cloud, id)
    disk = disks_of(cloud, found["Attachments"][0]["InstanceId"])[id]
    return (
        (change["ModificationState"], change["Progress"]) == ("completed", 100)
        and (found["Size"], found["VolumeType"], found["Iops"], found["Throughput"]) == (9, "gp3", 4000, 200)
        and (disks(cloud)[id], disk.iops, disk.bytes_per_second) == (9, 4000, 200 * 2**20)
    )


def is_unmodified(cloud: Cloud, id: str) -> bool:
    (change,) = cloud.ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    return (change["ModificationState"], see(cloud, id)["Size"], disks(cloud)[id]) == ("failed", 4, 4)

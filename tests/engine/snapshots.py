"""Scenarios of snapshots and of images made of instances: how they begin, and what must have come true."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select

from engine.reconciler import reconcile
from engine.state import Instance, Snapshot, Task, VolumeAttachment
from tests.cloud import REGION, Cloud
from tests.translators.test_instances import launch, state

DATA = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}}]


def running_with_data(cloud: Cloud) -> str:
    """A running instance with two volumes."""
    (id,) = launch(cloud, BlockDeviceMappings=DATA)
    cloud.settle()
    return id


def stopped_with_data(cloud: Cloud) -> str:
    id = running_with_data(cloud)
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    return id


def volumes_of(cloud: Cloud, instance: str) -> list[str]:
    rows = select(VolumeAttachment.volume_id).filter_by(instance_id=instance).order_by(VolumeAttachment.guest_device)
    return cloud.look(lambda db: list(db.scalars(rows)))


def taking(cloud: Cloud) -> str:
    """Snapshots of both volumes of a running instance are about to be taken; return the first one's id."""
    instance = running_with_data(cloud)
    made = cloud.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"]
    return str(made[0]["SnapshotId"])


def completed(cloud: Cloud) -> str:
    id = taking(cloud)
    cloud.settle()
    return id


def copying(cloud: Cloud) -> str:
    source = completed(cloud)
    return str(cloud.ec2.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source)["SnapshotId"])


def removing(cloud: Cloud) -> str:
    id = completed(cloud)
    cloud.ec2.delete_snapshot(SnapshotId=id)
    return id


def imaging(before: Callable[[Cloud], str], **asked: Any) -> Callable[[Cloud], str]:
    """An image is about to be made of an instance; return its id."""

    def begin(cloud: Cloud) -> str:
        instance = before(cloud)
        return str(cloud.ec2.create_image(InstanceId=instance, Name=f"of {instance}", **asked)["ImageId"])

    return begin


def pausing(cloud: Cloud) -> str:
    """A running instance is about to be off for an image; return its id."""
    instance = running_with_data(cloud)
    cloud.ec2.create_image(InstanceId=instance, Name=f"of {instance}")
    return instance


def stored(cloud: Cloud) -> set[str]:
    return {id for storage in cloud.drivers[REGION].storages.values() for id in storage.list_snapshots()}


def made(cloud: Cloud, task: str) -> list[Snapshot]:
    return cloud.look(lambda db: list(db.scalars(select(Snapshot).filter_by(taken_by=task))))


def machines_write_where_their_disks_are(cloud: Cloud) -> bool:
    guests = [g for c in cloud.backend.computes.values() for g in c._guests.values() if g.state == "running"]
    storages = cloud.drivers[REGION].storages.values()
    places = {id: storage.locate_disk(id) for storage in storages for id in storage.list_disks()}
    return all(places[disk.disk_id] == disk.location for guest in guests for disk in guest.machine.disks)


def are_completed(cloud: Cloud, task: str) -> bool:
    """All snapshots of a task are there, nothing is held any more, and no machine writes to one of them."""
    snapshots = made(cloud, task)
    whole = all((s.state, s.progress, s.being_taken) == ("completed", "100%", False) for s in snapshots)
    return bool(snapshots) and whole and kept(cloud, snapshots) and machines_write_where_their_disks_are(cloud)


def kept(cloud: Cloud, snapshots: list[Snapshot]) -> bool:
    return {snapshot.id for snapshot in snapshots} <= stored(cloud)


def have_failed(cloud: Cloud, task: str) -> bool:
    snapshots = made(cloud, task)
    return {(s.state, s.being_taken) for s in snapshots} == {("error", False)} and (
        machines_write_where_their_disks_are(cloud)
    )


def is_removed(cloud: Cloud, id: str) -> bool:
    return cloud.look(lambda db: db.get(Snapshot, id)) is None and id not in stored(cloud)


def is_available(cloud: Cloud, image: str) -> bool:
    (found,) = cloud.ec2.describe_images(ImageIds=[image])["Images"]
    return found["State"] == "available" and are_completed(cloud, image)


def has_restarted(cloud: Cloud, instance: str) -> bool:
    """It runs again, and is off for no image any more."""
    images = cloud.ec2.describe_images(Filters=[{"Name": "source-instance-id", "Values": [instance]}])["Images"]
    power = [p for c in cloud.backend.computes.values() for id, p in c.list_machines().items() if id == instance]
    done = all(is_available(cloud, image["ImageId"]) for image in images)
    return bool(images) and done and state(cloud, instance) == "running" and power == ["running"]


IMAGES: dict[str, Callable[[Cloud], str]] = {
    "as-it-runs": imaging(running_with_data, NoReboot=True),
    "shut-down": imaging(running_with_data),
    "stopped": imaging(stopped_with_data),
}
"""The ways in which an image is made of an instance: each leaves the task of one due."""


def spare(cloud: Cloud, instance: str) -> str:
    """Return a volume that could be attached to an instance."""
    zone = cloud.look(lambda db: db.get_one(Instance, instance).zone)
    volume = str(cloud.ec2.create_volume(AvailabilityZone=zone, Size=2)["VolumeId"])
    cloud.settle()
    return volume


def attachment(cloud: Cloud, volume: str) -> str:
    return str(cloud.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"][0]["State"])


def lose_tasks(cloud: Cloud) -> None:
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()

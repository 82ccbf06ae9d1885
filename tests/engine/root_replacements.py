"""Scenarios of root volumes that are replaced: how they begin, and what must have come true."""

from typing import Any

from tests.cloud import Cloud
from tests.engine.snapshots import volumes_of
from tests.translators.test_instances import launch, state


def running(cloud: Cloud) -> str:
    (id,) = launch(cloud)
    cloud.settle()
    return id


def replace(cloud: Cloud, instance: str, **asked: Any) -> dict[str, Any]:
    answer = cloud.ec2.create_replace_root_volume_task(InstanceId=instance, **asked)
    return dict(answer["ReplaceRootVolumeTask"])


def replacing(cloud: Cloud) -> str:
    """A running instance that is about to boot from another volume; return its id."""
    instance = running(cloud)
    replace(cloud, instance, DeleteReplacedRootVolume=True)
    return instance


def shown(cloud: Cloud, instance: str) -> list[dict[str, Any]]:
    chosen = [{"Name": "instance-id", "Values": [instance]}]
    return list(cloud.ec2.describe_replace_root_volume_tasks(Filters=chosen)["ReplaceRootVolumeTasks"])


def disks(cloud: Cloud, instance: str) -> list[str]:
    """Return the disks that the machine of an instance runs with."""
    guests = [c._guests[instance] for c in cloud.backend.computes.values() if instance in c._guests]
    return [disk.disk_id for guest in guests if guest.state == "running" for disk in guest.machine.disks]


def runs_with_its_volumes(cloud: Cloud, instance: str) -> bool:
    """It runs with the volumes that it is said to have; there are no others, and no disks without a volume."""
    volumes = {volume["VolumeId"]: volume["State"] for volume in cloud.ec2.describe_volumes()["Volumes"]}
    mine = volumes_of(cloud, instance)
    kept = {disk for storage in cloud.backend.storages.values() for disk in storage.list_disks()}
    same = disks(cloud, instance) == mine and set(mine) <= volumes.keys() and kept == volumes.keys()
    return same and state(cloud, instance) == "running" and set(volumes.values()) == {"in-use"}


def is_replaced(cloud: Cloud, instance: str) -> bool:
    return shown(cloud, instance)[0]["TaskState"] == "succeeded" and runs_with_its_volumes(cloud, instance)


def has_failed(cloud: Cloud, instance: str) -> bool:
    return shown(cloud, instance)[0]["TaskState"] == "failed" and runs_with_its_volumes(cloud, instance)

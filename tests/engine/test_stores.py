"""Which store each zone has, and that a change of the settings takes nothing away from it."""

from pathlib import Path

import pytest
from sqlalchemy import select

from engine.state import Snapshot, Zone
from engine.stores import Misplaced, place
from settings import Settings
from tests.cloud import Cloud

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


def placed(cloud: Cloud, directory: Path, **storage: str) -> list[str]:
    with cloud.database.write() as db:
        place(db, Settings(engine="kvm", data=directory, storage=storage))
        return list(db.scalars(select(Zone.storage).order_by(Zone.name)))


def where(cloud: Cloud) -> set[str]:
    return cloud.look(lambda db: set(db.scalars(select(Snapshot.storage))))


def test_zones_have_the_stores_that_the_settings_name(cloud: Cloud, tmp_path: Path) -> None:
    for _ in range(2):
        assert placed(cloud, tmp_path, **{B: "rbd:guests"}) == ["default", "rbd:guests", "default"]
    assert placed(cloud, tmp_path) == ["default"] * 3


def test_images_that_lay_in_every_store_do_not_lie_in_a_new_one(cloud: Cloud, tmp_path: Path) -> None:
    assert where(cloud) == {""}
    placed(cloud, tmp_path)
    assert where(cloud) == {""}
    placed(cloud, tmp_path, **{B: "rbd:guests"})
    assert where(cloud) == {"default"}


def test_a_region_with_images_in_two_stores_takes_no_third_one(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.database.write() as db:
        db.get_one(Zone, B).storage = "rbd:guests"
    with pytest.raises(Misplaced, match="default and rbd:guests"):
        placed(cloud, tmp_path, **{B: "rbd:guests", C: "rbd:more"})
    assert cloud.look(lambda db: db.get_one(Zone, C).storage) == "default"


def test_a_zone_with_volumes_keeps_its_store(cloud: Cloud, tmp_path: Path) -> None:
    volume = cloud.ec2.create_volume(AvailabilityZone=B, Size=1)["VolumeId"]
    cloud.settle()
    with pytest.raises(Misplaced, match="it has volumes"):
        placed(cloud, tmp_path, **{B: "rbd:guests"})
    cloud.ec2.delete_volume(VolumeId=volume)
    cloud.settle()
    placed(cloud, tmp_path, **{B: "rbd:guests"})


def test_the_last_zone_of_a_store_keeps_it_while_snapshots_lie_there(cloud: Cloud, tmp_path: Path) -> None:
    volume = cloud.ec2.create_volume(AvailabilityZone=A, Size=1)["VolumeId"]
    cloud.settle()
    cloud.ec2.create_snapshot(VolumeId=volume)
    cloud.settle()
    cloud.ec2.delete_volume(VolumeId=volume)
    cloud.settle()
    with pytest.raises(Misplaced, match="snapshots lie in this one"):
        placed(cloud, tmp_path, **dict.fromkeys((A, B, C), "rbd:guests"))

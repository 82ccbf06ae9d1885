"""Which disks are compacted, with what, and which are left alone."""

from typing import Any

import pytest

from engine import tasks
from engine.compaction import MOST_LAYERS, compact
from engine.disk_keys import open_key
from engine.drivers.base import DriverError
from engine.state import Volume
from tests.cloud import Cloud
from tests.translators.test_ebs_encryption import make

Asked = list[tuple[str, int, str | None]]


@pytest.fixture
def asked(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return what stores were asked for."""
    found: Asked = []

    def note(storage: Any, id: str, beyond: int, key: str | None = None) -> None:
        found.append((id, beyond, key))

    monkeypatch.setattr(type(cloud.backend.storages["us-east-1a"]), "compact", note)
    return found


def test_every_disk_is_looked_at_with_its_key(cloud: Cloud, asked: Asked) -> None:
    plain, secret = make(cloud), make(cloud, Encrypted=True)
    compact(cloud.engine)
    key = cloud.look(lambda db: open_key(cloud.settings, db.get_one(Volume, secret).key))
    assert key and sorted(asked, key=str) == sorted([(plain, MOST_LAYERS, None), (secret, MOST_LAYERS, key)], key=str)


def test_what_is_being_made_changed_or_deleted_is_left_alone(cloud: Cloud, asked: Asked) -> None:
    id = make(cloud)
    cloud.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)
    with cloud.database.write() as db:
        tasks.start(db, id, "modify_volume", "us-east-1")
    compact(cloud.engine)
    assert asked == []


def test_a_disk_that_cannot_be_compacted_is_not_the_last(cloud: Cloud) -> None:
    ids = [make(cloud), make(cloud)]
    cloud.backend.fail_next("compact", DriverError("cannot"))
    compact(cloud.engine)
    compact(cloud.engine, is_over=lambda: True)
    assert len(ids) == 2


def test_nothing_is_compacted_where_there_is_no_room(make_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make_cloud()
    make(cloud)
    storage = type(cloud.backend.storages["us-east-1a"])
    monkeypatch.setattr(storage, "free_gib", lambda self: 0)
    monkeypatch.setattr(storage, "compact", lambda *a: pytest.fail("it was compacted"))
    compact(cloud.engine)

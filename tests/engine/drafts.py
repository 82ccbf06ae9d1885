"""Scenarios of snapshots that are written block by block: how they begin, and what must have come true."""

from engine import snapshot_drafts
from engine.state import Snapshot, SnapshotDraft
from tests.cloud import Cloud
from tests.engine.snapshots import stored
from tests.translators.blocks import ONE, content, put


def written(cloud: Cloud) -> str:
    """One block of a snapshot is written."""
    ebs = cloud.client("ebs")
    id = str(ebs.start_snapshot(VolumeSize=1)["SnapshotId"])
    put(ebs, id, 3, ONE)
    return id


def completing(cloud: Cloud) -> str:
    id = written(cloud)
    cloud.client("ebs").complete_snapshot(SnapshotId=id, ChangedBlocksCount=1)
    return id


def late(cloud: Cloud) -> str:
    """Nobody completed a snapshot in time."""
    id = written(cloud)
    with cloud.database.write() as db:
        snapshot_drafts.expire(db, "9999-12-31T00:00:00.000Z")
    return id


def is_completed(cloud: Cloud, id: str) -> bool:
    snapshot = cloud.look(lambda db: db.get_one(Snapshot, id))
    return snapshot.state == "completed" and content(cloud.client("ebs"), id) == {3: ONE} and _is_over(cloud, id)


def is_cancelled(cloud: Cloud, id: str) -> bool:
    snapshot = cloud.look(lambda db: db.get_one(Snapshot, id))
    return snapshot.state == "error" and id not in stored(cloud) and _is_over(cloud, id)


def _is_over(cloud: Cloud, id: str) -> bool:
    return cloud.look(lambda db: db.get(SnapshotDraft, id)) is None

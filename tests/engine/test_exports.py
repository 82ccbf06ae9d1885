"""Exports whose worker, process or task is lost, and stores that fail for a moment."""

import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from engine.exports.archives import Joined, archive
from engine.exports.uploads import S3Uploads, open_uploads
from engine.flow_logs.stores import ACCESS, UNKNOWN, DeliveryError
from engine.imports import work
from engine.reconciler import reconcile
from engine.state import ExportImageTask, StoreImageTask, Task
from tests.cloud import Cloud
from tests.engine import exports


def test_a_process_that_was_killed_is_started_again(cloud: Cloud) -> None:
    id = exports.exporting(cloud)
    cloud.run_steps(1)
    process = work._processes.get(cloud.settings.data / "exports" / id)
    if process is not None:
        process.send_signal(signal.SIGKILL)
        process.wait()
    cloud.settle()
    assert exports.is_exported(cloud, id)


def test_exports_whose_task_was_lost_are_gone_on_with(cloud: Cloud) -> None:
    ids = [exports.exporting(cloud), exports.exporting_instance(cloud), exports.exporting_instance(cloud)]
    cloud.run_single_steps(2)
    cloud.ec2.cancel_export_task(ExportTaskId=ids[2])
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()
    assert exports.is_exported(cloud, ids[0]) and exports.is_instance_exported(cloud, ids[1])
    assert exports.is_cancelled(cloud, ids[2])


def test_the_directory_of_an_export_without_a_task_is_swept_away(cloud: Cloud) -> None:
    folder = cloud.settings.data / "exports" / "export-ami-0"
    folder.mkdir(parents=True)
    reconcile(cloud.engine)
    assert not folder.exists()


def test_what_ended_long_ago_is_forgotten(cloud: Cloud) -> None:
    id = exports.exporting(cloud)
    exports.stored(cloud)
    cloud.settle()
    ages = ((ExportImageTask, 8), (StoreImageTask, 32))
    for kind, days in ages:
        with cloud.database.write() as db:
            db.query(kind).update({"created": exports.days_ago(days - 2)})
        reconcile(cloud.engine)
        assert cloud.look(lambda db, kind=kind: db.query(kind).count()) == 1, id
        with cloud.database.write() as db:
            db.query(kind).update({"created": exports.days_ago(days)})
        reconcile(cloud.engine)
        assert cloud.look(lambda db, kind=kind: db.query(kind).count()) == 0


def test_snapshots_of_an_export_that_their_owner_locked_stay(cloud: Cloud) -> None:
    id = exports.exporting_instance(cloud)
    (one, other) = cloud.ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "status", "Values": ["pending"]}])[
        "Snapshots"
    ]
    cloud.ec2.lock_snapshot(SnapshotId=one["SnapshotId"], LockMode="governance", LockDuration=1)
    cloud.settle()
    assert exports.instance_task(cloud, id)["State"] == "completed"
    left = {s["SnapshotId"] for s in cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert one["SnapshotId"] in left and other["SnapshotId"] not in left


def test_an_archive_is_read_in_pieces_of_the_size_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    stream = archive([("a", b"hello"), ("b", file)])
    pieces = []
    while piece := stream.read(700):
        pieces.append(piece)
    assert {len(piece) for piece in pieces[:-1]} == {700}
    assert len(b"".join(pieces)) == stream.length == 512 * 2 + 512 + 1024 + 1024
    (tmp_path / "all.tar").write_bytes(b"".join(pieces))
    with tarfile.open(tmp_path / "all.tar") as tar:
        assert [tar.extractfile(member).read() for member in tar] == [b"hello", b"x" * 1000]  # type: ignore[union-attr]


class _Broken:
    """A store's client that fails so many times before it does as it is told."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.puts = failures, error, 0

    def put_object(self, **asked: Any) -> dict[str, str]:
        self.puts += 1
        if self.left:
            self.left -= 1
            raise self.error
        return {"ETag": "1"}


def test_an_upload_outlasts_failures_of_a_moment_and_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def put(client: _Broken) -> None:
        S3Uploads(client).write("b", "k", Joined([b"content"]), 7, {}, lambda done, whole: None)

    moment = EndpointConnectionError(endpoint_url="http://s3")
    put(client := _Broken(4, moment))
    assert client.puts == 5
    with pytest.raises(DeliveryError) as error:
        put(_Broken(5, moment))
    assert error.value.said == UNKNOWN
    answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    with pytest.raises(DeliveryError) as error:
        put(client := _Broken(1, ClientError(answer, "PutObject")))  # type: ignore[arg-type]
    assert (error.value.said, client.puts) == (ACCESS, 1)
    assert open_uploads(("", "", "")) is None

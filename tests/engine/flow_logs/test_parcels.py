"""Where lines go, and what is left of them by a kill, a store that is away and a log that is deleted."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.drivers.flows import Period
from engine.flow_logs.deliveries import Deliveries
from engine.flow_logs.parcels import Lines, Parcel, bucket_of, parcels_of, plain_path
from engine.flow_logs.pending import Pending
from engine.flow_logs.stores import ACCESS, RATE, UNKNOWN, DeliveryError, DirectoryStore, S3Store, open_store
from tests.engine.flow_logs.scene import CARD, END, LOG, START

OTHER = replace(CARD, id="eni-2")
WRITTEN = [Lines(CARD, START, END, ["a", "b"]), Lines(OTHER, START, END, ["c"]), Lines(OTHER, END, END + 60, [])]
BUCKET = replace(LOG, kind="s3", destination="arn:aws:s3:::logs/of/mine/", fields=("srcaddr", "dstaddr"))
PERIOD = Period(60, START)


# -- names -------------------------------------------------------------------------


def test_a_group_has_a_stream_for_each_card_and_a_file_for_each_period() -> None:
    files = {parcel.path: parcel.content for parcel in parcels_of(LOG, WRITTEN, "host")}
    assert files == {
        "123456789012/us-east-1/traffic/eni-1-all/20231114T221400Z_60s_fl-1.log": b"a\nb\n",
        "123456789012/us-east-1/traffic/eni-2-all/20231114T221400Z_60s_fl-1.log": b"c\n",
    }


def test_a_bucket_gets_one_object_for_all_cards() -> None:
    (parcel,) = parcels_of(BUCKET, WRITTEN, "host")
    name = parcel.path.rpartition("_")[0]
    assert (parcel.bucket, name) == (
        "logs",
        "of/mine/AWSLogs/123456789012/vpcflowlogs/us-east-1/2023/11/14/"
        "123456789012_vpcflowlogs_us-east-1_fl-1_20231114T2215Z",
    )
    assert parcel.path.endswith(".log.gz") and len(parcel.path.rpartition("_")[2]) == len("12345678.log.gz")
    assert gzip.decompress(parcel.content) == b"srcaddr dstaddr\na\nb\nc\n"
    assert list(parcels_of(BUCKET, WRITTEN, "host")) == [parcel]
    assert next(parcels_of(BUCKET, WRITTEN, "another")).path != parcel.path
    assert list(parcels_of(BUCKET, WRITTEN[2:], "host")) == []


HIVE = "aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2023/month=11/day=14/"


@pytest.mark.parametrize(
    ("hive", "hourly", "folders"),
    [
        (False, True, "123456789012/vpcflowlogs/us-east-1/2023/11/14/22/"),
        (True, False, HIVE),
        (True, True, f"{HIVE}hour=22/"),
    ],
)
def test_objects_lie_in_the_partitions_that_were_asked_for(hive: bool, hourly: bool, folders: str) -> None:
    (parcel,) = parcels_of(replace(BUCKET, hive=hive, hourly=hourly), WRITTEN, "host")
    assert parcel.path.startswith(f"of/mine/AWSLogs/{folders}123456789012_")


def test_a_bucket_may_have_a_prefix() -> None:
    assert bucket_of("arn:aws:s3:::logs") == bucket_of("arn:aws:s3:::logs/") == ("logs", "")
    assert bucket_of("arn:aws:s3:::logs/a/b") == ("logs", "a/b/")


def test_no_name_leads_upwards() -> None:
    assert plain_path("/aws//vpc/./../..x") == "aws/vpc/%2E/%2E%2E/..x"


# -- what waits --------------------------------------------------------------------


@pytest.fixture
def pending(tmp_path: Path) -> Pending:
    pending = Pending(tmp_path / "pending")
    pending.prepare()
    return pending


def keep(pending: Pending, *parcels: Parcel) -> None:
    pending.release(pending.commit(parcels, [("eni-1", PERIOD)]))


def parcel(path: str, bucket: str = "", log: str = "fl-1", content: bytes = b"x") -> Parcel:
    return Parcel(log, bucket, path, content)


def test_what_is_committed_is_found_again_with_what_it_was_made_from(pending: Pending) -> None:
    pending.commit([parcel("a"), parcel("b", "logs")], [("eni-1", PERIOD), ("eni-2", PERIOD)])
    pending.prepare()
    (batch,) = pending.committed()
    assert batch.counted == (("eni-1", PERIOD), ("eni-2", PERIOD))
    assert pending.ready() == []
    pending.release(batch)
    (batch,) = pending.ready()
    assert [(each.bucket, each.path, each.file.read_bytes()) for each in batch.parcels()] == [
        ("", "a", b"x"), ("logs", "b", b"x"),
    ]  # fmt: skip
    assert pending.committed() == []


def test_what_was_not_finished_is_worth_nothing(pending: Pending, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        pending.commit([parcel("a")], [("eni-1", PERIOD)])
    pending.prepare()
    assert pending.committed() == pending.ready() == []


# -- deliveries --------------------------------------------------------------------


class Shelf:
    """A store that can be away."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.away: set[str] = set()
        self.asked = 0

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.asked += 1
        if bucket in self.away:
            raise DeliveryError(ACCESS, "no such bucket")
        self.objects[bucket, key] = content


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def deliveries(pending: Pending, shelf: Shelf, tmp_path: Path) -> Deliveries:
    return Deliveries(pending, tmp_path / "files", shelf, lambda: {"fl-1", "fl-2"})


def test_parcels_arrive_once(deliveries: Deliveries, pending: Pending, shelf: Shelf, tmp_path: Path) -> None:
    keep(pending, parcel("a/b.log"), parcel("k", "logs", "fl-2"))
    assert deliveries.deliver() == {"fl-1": "", "fl-2": ""}
    assert (tmp_path / "files" / "a" / "b.log").read_bytes() == b"x"
    assert shelf.objects == {("logs", "k"): b"x"}
    assert pending.ready() == [] and deliveries.deliver() == {}


def test_a_store_that_is_away_keeps_nobody_else_waiting(
    deliveries: Deliveries, pending: Pending, shelf: Shelf, tmp_path: Path
) -> None:
    shelf.away = {"logs"}
    keep(pending, parcel("k", "logs"), parcel("l", "logs"), parcel("m", "other", "fl-2"))
    keep(pending, parcel("file", log="fl-2"))
    assert deliveries.deliver() == {"fl-1": ACCESS, "fl-2": ""}
    assert shelf.asked == 2, "a bucket that refuses is not asked again in the same round"
    assert shelf.objects.keys() == {("other", "m")} and (tmp_path / "files" / "file").exists()
    shelf.away = set()
    assert deliveries.deliver() == {"fl-1": ""}
    assert shelf.objects.keys() == {("other", "m"), ("logs", "k"), ("logs", "l")}
    assert pending.ready() == []


def test_a_log_that_was_deleted_gets_nothing_more(deliveries: Deliveries, pending: Pending, tmp_path: Path) -> None:
    keep(pending, parcel("a", log="fl-3"))
    assert deliveries.deliver() == {} and pending.ready() == []
    assert not (tmp_path / "files").exists()


def test_what_nobody_takes_for_a_day_is_thrown_away(
    deliveries: Deliveries, pending: Pending, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.away = {"logs"}
    keep(pending, parcel("k", "logs"))
    assert deliveries.deliver() == {"fl-1": ACCESS}
    later = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert deliveries.deliver() == {} and pending.ready() == []


def test_without_a_store_an_object_has_no_place(pending: Pending, tmp_path: Path) -> None:
    keep(pending, parcel("k", "logs"))
    assert Deliveries(pending, tmp_path, None, lambda: {"fl-1"}).deliver() == {"fl-1": ACCESS}


def test_a_full_disk_is_told(deliveries: Deliveries, pending: Pending, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    keep(pending, parcel("a"))
    assert deliveries.deliver() == {"fl-1": UNKNOWN}


# -- stores ------------------------------------------------------------------------


def test_a_directory_stands_in_for_a_store(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/st%20ore", "", "")
    assert isinstance(store, DirectoryStore)
    for _ in range(2):
        store.put("logs", "a/../b.gz", b"x")
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("st ore/logs/a/%2E%2E/b.gz")
    ]
    assert open_store("", "", "") is None


def test_a_directory_that_is_closed_is_an_access_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise PermissionError("closed")

    monkeypatch.setattr(Path, "mkdir", closed)
    with pytest.raises(DeliveryError, match="closed") as failure:
        DirectoryStore(tmp_path).put("logs", "k", b"x")
    assert failure.value.said == ACCESS


class Bucket(BaseHTTPRequestHandler):
    """What an S3-compatible store answers: the code that the key names, or that it took the object."""

    puts: list[tuple[str, bytes, str]] = []

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.puts.append((self.path, body, self.headers["Authorization"]))
        codes = {"gone": (404, "NoSuchBucket"), "shut": (403, "AccessDenied"), "busy": (503, "SlowDown")}
        status, code = codes.get(self.path.split("/")[1], (200, ""))
        answer = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        found = self.path == "/images/a%3D1.raw"
        body = b"content" if found else b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_s3_store_takes_objects_by_a_signed_request(bucket: str) -> None:
    Bucket.puts.clear()
    store = open_store(bucket, "AKIAEXAMPLE", "secret")
    assert isinstance(store, S3Store)
    store.put("logs", "a/b=1/c.gz", b"x")
    ((path, body, authorization),) = Bucket.puts
    assert (path, body) == ("/logs/a/b%3D1/c.gz", b"x")
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")


def test_an_s3_stores_refusals_are_told_in_ec2s_words(bucket: str) -> None:
    store, said = S3Store(bucket, "AKIAEXAMPLE", "secret"), {}
    for name in ("gone", "shut", "busy"):
        with pytest.raises(DeliveryError) as failure:
            store.put(name, "k", b"x")
        said[name] = failure.value.said
    assert said == {"gone": ACCESS, "shut": ACCESS, "busy": RATE}
    with pytest.raises(DeliveryError) as failure:
        S3Store("http://127.0.0.1:9", "AKIAEXAMPLE", "secret").put("logs", "k", b"x")
    assert failure.value.said == UNKNOWN


def test_objects_are_read_from_an_s3_store_and_from_a_directory(bucket: str, tmp_path: Path) -> None:
    directory = DirectoryStore(tmp_path)
    directory.put("images", "a=1.raw", b"content")
    for store in (S3Store(bucket, "AKIAEXAMPLE", "secret"), directory):
        with store.open("images", "a=1.raw") as (stream, length):
            assert (stream.read(3), stream.read(100), length) == (b"con", b"tent", 7)
        with pytest.raises(DeliveryError) as failure, store.open("images", "none"):
            pass
        assert failure.value.said == ACCESS

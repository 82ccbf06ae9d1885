"""What a period comes to for each destination: files of a log group's streams, and objects in buckets.

Names follow from what is in them, and a parcel that is delivered twice has the same name twice.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from engine.flow_logs.rows import Card, Log


@dataclass(frozen=True)
class Parcel:
    """Bytes of a log on their way to ``path`` in a bucket, or beneath DATA/flow-logs where ``bucket`` is empty."""

    log: str
    bucket: str
    path: str
    content: bytes


@dataclass(frozen=True)
class Lines:
    """The lines of a card in a period, both ends in seconds since 1970."""

    card: Card
    start: int
    end: int
    lines: Sequence[str]


def parcels_of(log: Log, written: Iterable[Lines], host: str) -> Iterator[Parcel]:
    """Yield what a log has to deliver: of a log group a file for each card, of a bucket one object for all of them."""
    filled = [each for each in written if each.lines]
    if log.kind == "s3":
        if filled:
            yield _object(log, filled, host)
        return
    for each in filled:
        name = f"{_moment(each.start):%Y%m%dT%H%M%SZ}_{each.end - each.start}s_{log.id}.log"
        path = f"{log.account}/{log.region}/{plain_path(log.group)}/{each.card.id}-{log.traffic.lower()}/{name}"
        yield Parcel(log.id, "", path, _joined(each.lines))


def _object(log: Log, written: Sequence[Lines], host: str) -> Parcel:
    end = max(each.end for each in written)
    text = _joined([" ".join(log.fields), *(line for each in written for line in each.lines)])
    periods = sorted((each.card.id, each.start, each.end) for each in written)
    word = sha256(repr((host, periods)).encode()).hexdigest()[:8]
    service = f"{log.account}_vpcflowlogs_{log.region}_{log.id}"
    bucket, prefix = bucket_of(log.destination)
    name = f"{service}_{_moment(end):%Y%m%dT%H%MZ}_{word}.log.gz"
    return Parcel(log.id, bucket, f"{prefix}AWSLogs/{_partitions(log, end)}/{name}", gzip.compress(text, mtime=0))


def _partitions(log: Log, end: int) -> str:
    """Return the folders of an object (VPC user guide, "Flow log files")."""
    moment = _moment(end)
    if log.hive:
        folders = f"aws-account-id={log.account}/aws-service=vpcflowlogs/aws-region={log.region}/"
        return folders + f"{moment:year=%Y/month=%m/day=%d}" + (f"/hour={moment:%H}" if log.hourly else "")
    return f"{log.account}/vpcflowlogs/{log.region}/{moment:%Y/%m/%d}" + (f"/{moment:%H}" if log.hourly else "")


def bucket_of(arn: str) -> tuple[str, str]:
    """Return the bucket and the prefix, with a slash at its end unless it is empty, that an ARN names."""
    bucket, _, prefix = arn.partition(":::")[2].partition("/")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


def plain_path(text: str) -> str:
    """Return a name with slashes as a path that leads nowhere but downwards."""
    parts = [part for part in text.split("/") if part]
    return "/".join(part.replace(".", "%2E") if set(part) == {"."} else part for part in parts)


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

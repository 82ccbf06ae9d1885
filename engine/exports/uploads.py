"""Write large objects into a store, piece by piece, so that there is either the whole object or nothing.

What was begun and not ended is found again by the object's name, whoever began it: nothing needs to be remembered.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlencode, urlparse

from engine.flow_logs.parcels import plain_path
from engine.flow_logs.stores import ACCESS, UNKNOWN, DeliveryError, failure, s3_client

MIB = 1 << 20
_PART = 16 * MIB
_MOST_PARTS = 9_000
"""S3 takes 10,000."""
_TRIES = 5
Answer = TypeVar("Answer")
Report = Callable[[int, int], None]


class Source(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return exactly so many bytes, fewer only at the end."""
        ...


class Uploads(Protocol):
    def write(
        self, bucket: str, key: str, source: Source, length: int, tags: Mapping[str, str], report: Report
    ) -> None:
        """Make an object of ``length`` bytes; ``report`` is told how many are written, and the length.

        Raise DeliveryError; then what was begun may still be there.
        """
        ...

    def abort(self, bucket: str, key: str) -> None:
        """Take away what was written of an object that is not whole. Raise DeliveryError."""
        ...

    def remove(self, bucket: str, key: str) -> None:
        """Take an object away, if it is there. Raise DeliveryError."""
        ...


class DirectoryUploads:
    """Buckets are directories, as those of ``DirectoryStore``; objects there have no tags."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(
        self, bucket: str, key: str, source: Source, length: int, tags: Mapping[str, str], report: Report
    ) -> None:
        file, draft = self._places(bucket, key)
        with _told():
            file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as stream:
                while piece := source.read(MIB):
                    stream.write(piece)
                    report(stream.tell(), length)
            draft.replace(file)

    def abort(self, bucket: str, key: str) -> None:
        with _told():
            self._places(bucket, key)[1].unlink(missing_ok=True)

    def remove(self, bucket: str, key: str) -> None:
        with _told():
            self._places(bucket, key)[0].unlink(missing_ok=True)

    def _places(self, bucket: str, key: str) -> tuple[Path, Path]:
        file = self._root / plain_path(bucket) / plain_path(key)
        return file, file.with_name(f".{file.name}.new")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeliveryError(ACCESS if isinstance(error, PermissionError) else UNKNOWN, error) from error


class S3Uploads:
    def __init__(self, client: Any) -> None:
        self._client = client

    def write(
        self, bucket: str, key: str, source: Source, length: int, tags: Mapping[str, str], report: Report
    ) -> None:
        named: dict[str, Any] = {"Bucket": bucket, "Key": key}
        tagged = {"Tagging": urlencode(tags)} if tags else {}
        size = max(_PART, -(-length // _MOST_PARTS // MIB) * MIB)
        if length <= size:
            content = source.read(length)
            _again(lambda: self._client.put_object(**named, **tagged, Body=content))
            return
        begun = _again(lambda: self._client.create_multipart_upload(**named, **tagged))
        named["UploadId"] = begun["UploadId"]
        parts: list[dict[str, Any]] = []
        done = 0
        while piece := source.read(size):
            parts.append(self._part(named, len(parts) + 1, piece))
            done += len(piece)
            report(done, length)
        # Not again: once it is done, the upload is not known any more.
        _once(lambda: self._client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts}))

    def _part(self, named: Mapping[str, Any], number: int, piece: bytes) -> dict[str, Any]:
        answer = _again(lambda: self._client.upload_part(**named, PartNumber=number, Body=piece))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def abort(self, bucket: str, key: str) -> None:
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self._page(asked)
            for upload in page.get("Uploads") or ():
                if upload["Key"] == key:
                    self._abort(bucket, key, upload["UploadId"])
            if not page.get("IsTruncated"):
                return
            asked |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _page(self, asked: Mapping[str, Any]) -> Any:
        return _once(lambda: self._client.list_multipart_uploads(**asked))

    def _abort(self, bucket: str, key: str, upload: str) -> None:
        _once(lambda: self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload))

    def remove(self, bucket: str, key: str) -> None:
        _once(lambda: self._client.delete_object(Bucket=bucket, Key=key))


def _once(ask: Callable[[], Answer]) -> Answer:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (ClientError, BotoCoreError) as error:
        raise failure(error) from error


def _again(ask: Callable[[], Answer]) -> Answer:
    """Ask up to five times, within 15 seconds beside what the store takes: an upload of hours meets with hiccups."""
    for count in range(_TRIES - 1):
        try:
            return _once(ask)
        except DeliveryError as error:
            if error.said == ACCESS:
                raise
        time.sleep(2**count)
    return _once(ask)


def open_uploads(store: Sequence[str], patience: float = 15) -> Uploads | None:
    """Return the way into a store, of which there are the URL (``http(s)://`` or ``file://``), key id and secret.

    None where no URL is named. ``patience`` is how many seconds the store may take to begin an answer.
    """
    url, key, secret = store
    if not url:
        return None
    parts = urlparse(url)
    if parts.scheme == "file":
        return DirectoryUploads(Path(unquote(parts.path)))
    return S3Uploads(s3_client(url, key, secret, patience))

"""Where objects of flow logs go: an S3-compatible store, or a directory in its place."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from engine.flow_logs.parcels import plain_path

ACCESS, RATE, UNKNOWN = "Access error", "Rate limited", "Unknown error"
"""What EC2 says of a delivery that failed (DescribeFlowLogs, DeliverLogsErrorMessage)."""

_RATE_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable"}


class DeliveryError(Exception):
    """An object could not be delivered: ``said`` is EC2's word for it, the text is the reason."""

    def __init__(self, said: str, reason: object) -> None:
        super().__init__(str(reason))
        self.said = said


class Store(Protocol):
    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Make the object so. Raises DeliveryError."""
        ...

    def open(self, bucket: str, key: str) -> AbstractContextManager[tuple[Any, int]]:
        """Give an object to ``read(size)`` from, and its length in bytes. Raises DeliveryError."""
        ...


class DirectoryStore:
    """Buckets are directories, made when they are needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, bucket: str, key: str, content: bytes) -> None:
        file = self._root / plain_path(bucket) / plain_path(key)
        draft = file.with_name(f".{file.name}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(file)
        except OSError as error:
            raise DeliveryError(ACCESS if isinstance(error, PermissionError) else UNKNOWN, error) from error

    @contextmanager
    def open(self, bucket: str, key: str) -> Iterator[tuple[Any, int]]:
        file = self._root / plain_path(bucket) / plain_path(key)
        try:
            stream = file.open("rb")
        except OSError as error:
            raise DeliveryError(ACCESS, error) from error
        with stream:
            yield stream, file.stat().st_size


def s3_client(url: str, key: str, secret: str, patience: float = 30) -> Any:
    """Return a client for a store; ``patience`` is how many seconds it may take to begin an answer.

    Requests are signed for us-east-1, which such stores call their region.
    """
    import botocore.session
    from botocore.config import Config

    return botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=patience,
            retries={"total_max_attempts": 1},
            # Not every store knows the checksums that AWS added.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class S3Store:
    """``url`` is the store's endpoint."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._client = s3_client(url, key, secret)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/x-gzip")
        except (ClientError, BotoCoreError) as error:
            raise failure(error) from error

    @contextmanager
    def open(self, bucket: str, key: str) -> Iterator[tuple[Any, int]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as stream:
                yield stream, int(answer["ContentLength"])
        except (ClientError, BotoCoreError) as error:
            raise failure(error) from error


def failure(error: Any) -> DeliveryError:
    """Return what an error of botocore means."""
    answer = getattr(error, "response", None)  # only a ClientError has one
    if answer is None:
        return DeliveryError(UNKNOWN, error)
    code, status = answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    return DeliveryError(RATE if code in _RATE_CODES else ACCESS if status in (403, 404) else UNKNOWN, error)


def open_store(url: str, key: str, secret: str) -> Store | None:
    """Return the store at an ``http(s)://`` or ``file://`` URL; None where none is named."""
    if not url:
        return None
    parts = urlparse(url)
    return DirectoryStore(Path(unquote(parts.path))) if parts.scheme == "file" else S3Store(url, key, secret)

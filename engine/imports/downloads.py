"""Fetch a file from a web server or an S3-compatible store, never more than is allowed, and from nowhere else."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, Protocol

from engine.drivers.base import Refused

_PIECE = 1 << 20
_TIMEOUT = 30.0
"""Seconds in which a server must send something."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("http://", "https://")) or not self._is_allowed(newurl):
            raise Refused("The server redirects to a place that may not be read.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def web_file(url: str, is_allowed: Callable[[str], bool]) -> Iterator[tuple[Readable, int | None]]:
    """Give what a web server sends, and the length that it announces; raise Refused where it does not answer well."""
    opener = urllib.request.build_opener(_Redirects(is_allowed))
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer:
            length = answer.headers.get("Content-Length", "")
            yield answer, int(length) if length.isdigit() else None
    except urllib.error.HTTPError as error:
        raise Refused(f"The server answered {error.code}.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Refused(f"The file could not be fetched: {error}") from error


def save(source: Readable, length: int | None, target: Path, limit: int, report: Callable[[int, int], None]) -> None:
    """Write what is read to a new file; raise Refused when it has more bytes than the limit, or fewer than announced.

    ``report`` is told the bytes that are there and those that are expected (0: not known).
    """
    if length is not None and length > limit:
        raise Refused(f"The file has {length} bytes: at most {limit} can be imported.")
    done = 0
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            done += len(piece)
            if done > limit:
                raise Refused(f"The file has more than the {limit} bytes that can be imported.")
            file.write(piece)
            report(done, length or 0)
    if length is not None and done < length:
        raise Refused(f"The file ended after {done} of {length} bytes.")


@contextmanager
def store_object(store: Any, bucket: str, key: str) -> Iterator[tuple[Readable, int | None]]:
    """Give an object of the store and its length."""
    from engine.flow_logs.stores import DeliveryError

    try:
        with store.open(bucket, key) as found:
            yield found
    except DeliveryError as error:
        raise Refused(f"The object could not be read from the bucket: {error.said}.") from error

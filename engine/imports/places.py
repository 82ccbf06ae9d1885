"""Where disk images may be read from: what the operator's ``import_sources`` name, and the upload directory.

Without these bounds a request could make this host read its neighbours' services, or its own files.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

_WEB = {"http": 80, "https": 443}


class Forbidden(Exception):
    """The image is not in a place that may be read."""


def allowed(url: str, sources: Sequence[str], account: str) -> bool:
    """Say whether an ``http``, ``https`` or ``s3`` URL lies under one of the sources; ``{account}`` is the caller's.

    A source ends where a name ends: ``https://host/images`` is not ``https://host/images-of-others``.
    """
    try:
        asked = _parts(url)
        return any(_lies_under(asked, _parts(source.replace("{account}", account))) for source in sources)
    except (ValueError, Forbidden):
        return False


def _parts(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    if parts.scheme not in (*_WEB, "s3", "file") or parts.username is not None or parts.password is not None:
        raise Forbidden(url)
    _check_path(parts)
    port = parts.port if parts.port is not None else _WEB.get(parts.scheme, 0)
    return parts.scheme, parts.hostname or "", port, unquote(parts.path)


def _check_path(parts: SplitResult) -> None:
    path = unquote(parts.path)
    odd = any(ord(letter) < 32 or letter in "\\\x7f" for letter in path + parts.query)
    # A server may decode twice: what would then lead upwards leads nowhere.
    if odd or {"..", "."} & set(unquote(path).replace("\\", "/").split("/")):
        raise Forbidden(parts.path)


def _lies_under(asked: tuple[str, str, int, str], source: tuple[str, str, int, str]) -> bool:
    if asked[:3] != source[:3]:
        return False
    root = source[3].rstrip("/")
    return asked[3] == root or asked[3].startswith(f"{root}/")


def bucket_url(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{quote(key)}"


def local_file(url: str, sources: Sequence[str], uploads: Path, account: str) -> Path:
    """Return the file of a ``file:///`` URL: in a directory among the sources, else by its path in ``uploads``.

    Raise Forbidden for what is not a plain file there, be it by a link that leads out.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise Forbidden(f"{url} is not a file's URL")
    _check_path(parts)
    path = Path(unquote(parts.path))
    rooms = [urlsplit(s.replace("{account}", account)).path for s in sources if s.startswith("file:///")]
    room = next((Path(unquote(room)) for room in rooms if path.is_relative_to(unquote(room))), None)
    if room is None:
        room, path = uploads, uploads / path.relative_to("/")
    real = path.resolve()
    if not real.is_relative_to(room.resolve()) or not real.is_file():
        raise Forbidden(f"{url}: there is no such file in the directories that may be read")
    return real

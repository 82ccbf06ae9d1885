"""What the process of an export is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """``disks`` have ``protocol``, ``name``, ``format`` (as a driver's Location) and ``gib``; sizes are in bytes.

    ``container`` is ``ova``, ``image`` for a stored image, or empty for a single disk; ``format`` that of the disks.
    ``store`` is the URL, key and secret of the S3-compatible store, ``targets`` are the places where objects may be.
    """

    name: str
    disks: Sequence[dict[str, Any]]
    container: str
    format: str
    about: Mapping[str, Any]
    bucket: str
    key: str
    tags: Mapping[str, str]
    account: str
    targets: Sequence[str]
    store: Sequence[str]
    largest: int
    reserved: int

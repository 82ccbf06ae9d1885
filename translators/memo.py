"""A part of a reply that need not be made again while its key is the same."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memo:
    """A member of a list in a result: `make` is called only if no rendering of `key` is kept.

    The key must change whenever what `make` would return does, so it names the resource and its version. It is
    shared by all callers: whatever makes the reply differ from caller to caller belongs in it.
    """

    key: Hashable
    make: Callable[[], Mapping[str, Any]]

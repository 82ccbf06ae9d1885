"""What one look at this machine found."""

from collections.abc import Callable
from dataclasses import dataclass

from settings import Settings

UP = "run: sudo make up"


@dataclass(frozen=True)
class Check:
    """One finding. ``ok`` is None for a warning: it works, but not as it should. ``remedy`` names the command."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


# Looks at one thing and changes nothing. It may raise what commands and files raise: that is a finding too.
Examine = Callable[[Settings], Check]

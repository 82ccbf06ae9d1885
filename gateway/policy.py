"""The one point at which every action is allowed or denied."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed the request. ``kind`` is ``root``: the owner of an account."""

    account: str
    access_key_id: str
    kind: str = "root"

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:root"


class Denied(Exception):
    """The principal may not do this; rendered as UnauthorizedOperation."""


def authorize(principal: Principal, action: str, params: Mapping[str, Any]) -> None:
    """Raise Denied unless the principal may do the action to every resource that the request names.

    An account's root may do everything in its account; that a resource is the account's own is found out where it
    is looked up, because another account's resource must be "not found" rather than "denied".
    """
    if principal.kind != "root":
        named = ", ".join(resources(params)) or "*"
        raise Denied(f"You are not authorized to perform {action} on {named}.")


def resources(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids that a request names, at whatever depth: the values of members called ...Id or ...Ids."""
    for name, value in params.items():
        if name.endswith("Id") and isinstance(value, str):
            yield value
        elif name.endswith("Ids") and isinstance(value, list):
            yield from (v for v in value if isinstance(v, str))
        else:
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Mapping):
                    yield from resources(part)

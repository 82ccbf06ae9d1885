"""Look resources up for the account that asks: another account's is "not found"."""

import re
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import select

from engine.state import Resource
from translators.errors import malformed, not_found
from translators.registry import Call

Kind = TypeVar("Kind", bound=Resource)

_ID = re.compile(r"[a-z]+(-[a-z]+)*-([0-9a-f]{17}|[0-9a-f]{8})")


def find(call: Call, kind: type[Kind], id: str) -> Kind:
    """Return the caller's own row, locked until the call ends if the call writes."""
    return find_all(call, kind, [id])[0]


def find_all(call: Call, kind: type[Kind], ids: Sequence[str]) -> list[Kind]:
    """Return the caller's own rows in the order of ``ids``, locked until the call ends."""
    check_ids(kind, ids)
    own = (kind.account == call.account, kind.region == call.region)
    rows = select(kind).where(kind.id.in_(ids), *own).order_by(kind.id)
    found = {row.id: row for row in call.db.scalars(rows.with_for_update() if call.writes else rows)}
    lost = [id for id in ids if id not in found]
    if lost:
        raise not_found(kind, *lost)
    return [found[id] for id in ids]


def check_ids(kind: type[Resource], ids: Sequence[str]) -> None:
    for id in ids:
        if not (_ID.fullmatch(id) and id.startswith(f"{kind.prefix}-")):
            raise malformed(kind, id)

"""How much of volumes an account may have in a region: their number, their GiB, and the IOPS that they promise."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, func, select

from engine.state import Volume
from engine.state.prepared import Prepared
from translators.quotas import check_quota
from translators.registry import Call

_PROVISIONED = ("io1", "io2")
_HELD = Prepared(
    select(
        func.count().label("number"),
        func.coalesce(func.sum(Volume.size), 0).label("gib"),
        func.coalesce(
            func.sum(case(*((Volume.volume_type == kind, Volume.iops) for kind in _PROVISIONED), else_=0)), 0
        ).label("iops"),
    ).where(Volume.account == bindparam("account"), Volume.region == bindparam("region"))
)


def check_new(call: Call, volumes: Sequence[tuple[str, int, int | None]]) -> None:
    """Refuse volumes, each a type, a size in GiB and IOPS, that would be more than the account may have."""
    iops = sum(provisioned(kind, iops) for kind, _, iops in volumes)
    check_more(call, len(volumes), sum(size for _, size, _ in volumes), iops)


def check_more(call: Call, number: int, gib: int, iops: int) -> None:
    """Refuse so many more volumes, GiB and provisioned IOPS than the account has."""
    held = _HELD.first(call.db, **call.owner)
    for name, more, before in (
        ("volumes", number, held.number),
        ("GiB of volumes", gib, int(held.gib)),
        ("provisioned IOPS of volumes", iops, int(held.iops)),
    ):
        if more > 0:
            check_quota(call, name, before + more)


def provisioned(kind: str, iops: int | None) -> int:
    """Return how many of the IOPS of a volume of a type count as provisioned."""
    return (iops or 0) if kind in _PROVISIONED else 0

"""Which host: the database's rows of promises are the allocator."""

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from engine.state import Host, Instance
from engine.state.prepared import Prepared


class NoCapacity(Exception):
    """No host of the region can give that much."""


_ROOM = (
    Host.vcpus_used + bindparam("cpu") <= Host.vcpus,
    Host.memory_used_mib + bindparam("memory") <= Host.memory_mib,
)
_EMPTIEST = Prepared(
    select(Host.name).where(Host.region == bindparam("region"), *_ROOM).order_by(Host.memory_used_mib).limit(1)
)
_CLAIM = Prepared(
    update(Host)
    .where(Host.name == bindparam("host"), *_ROOM)
    .values(vcpus_used=Host.vcpus_used + bindparam("cpu"), memory_used_mib=Host.memory_used_mib + bindparam("memory"))
)


def claim(db: Session, region: str, vcpus: int, memory_mib: int) -> str:
    """Promise a host's capacity to a machine; return its name. Raise NoCapacity.

    The emptiest host is asked first; the condition is in the UPDATE, so two claims cannot both be given the last of it.
    """
    wanted = {"cpu": vcpus, "memory": memory_mib}
    while name := _EMPTIEST.scalar(db, region=region, **wanted):
        if _CLAIM.execute(db, host=name, **wanted).rowcount == 1:
            return str(name)
        # Another was given the last of it meanwhile: what is the emptiest now is seen by asking again.
    raise NoCapacity


def release(db: Session, instance: Instance) -> None:
    """Give back what an instance was promised, once."""
    if not instance.host:
        return
    db.execute(
        update(Host)
        .where(Host.name == instance.host)
        .values(vcpus_used=Host.vcpus_used - instance.vcpus, memory_used_mib=Host.memory_used_mib - instance.memory_mib)
    )
    instance.host = ""

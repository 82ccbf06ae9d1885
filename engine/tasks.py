"""Run workflows one step at a time, surviving a crash between any two lines.

A workflow is a module of ``engine.workflows`` with ``STEPS``. A step is short and repeatable. Most steps call a
driver and only read the database, so that no lock is held while an engine works; a step marked ``@in_database``
writes, in the same transaction that moves the task on, and calls no driver.
"""

import importlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import CursorResult, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import Session

from engine.drivers.base import Drivers, Refused
from engine.state import Task
from engine.state.database import Database
from engine.state.prepared import Prepared, put
from settings import Settings

log = structlog.get_logger("groundfog.worker")
Value = TypeVar("Value")

LEASE = 120.0
"""Seconds after which a worker that has not settled its step is taken for dead."""
_QUICK = 0.02
"""Seconds within which a step is too short to look whether it is still wanted."""
MAX_ATTEMPTS = 8
"""Tries of one step before the workflow's GIVE_UP."""


@dataclass(frozen=True)
class Wait:
    """Returned by a step that is not finished: ask again later."""

    seconds: float


@dataclass(frozen=True)
class Engine:
    """What tasks run on: the database, the drivers of each region, and the settings."""

    database: Database
    drivers: Mapping[str, Drivers]
    settings: Settings


@dataclass(frozen=True)
class Job:
    """What a step is given. ``db`` is the settling transaction of a step that writes; other steps ``look``."""

    engine: Engine
    resource_id: str
    region: str
    waited: float
    """Seconds since this step was first due."""
    db: Session | None = None

    @property
    def drivers(self) -> Drivers:
        return self.engine.drivers[self.region]

    @property
    def writing(self) -> Session:
        if self.db is None:
            raise AssertionError("only a step marked @in_database may write")
        return self.db

    def look(self, read: Callable[[Session], Value]) -> Value:
        """Read the database as it is now, in a transaction that ends before this returns."""
        with self.engine.database.read() as db:
            return read(db)

    def converge(self, wanted: Callable[[Session], Value | None], ensure: Callable[[Value], None]) -> None:
        """Make true what the database wants, again while it changes meanwhile.

        Two steps may ensure the same thing at once, and the one with the older reading may come last: whoever
        applied last reads once more afterwards, so the last word is the database's.
        """
        value = self.look(wanted)
        while value is not None:
            ensure(value)
            latest = self.look(wanted)
            if latest == value:
                return
            value = latest


Step = Callable[[Job], Wait | None]


def in_database(step: Step) -> Step:
    """Mark a step that writes: it runs inside the transaction that settles it, and must not call a driver."""
    step.in_database = True  # type: ignore[attr-defined]
    return step


def start(db: Session, resource_id: str, workflow: str, region: str, new: bool = False) -> None:
    """Begin a workflow for a resource, replacing the one under way; a ``new`` resource can have none.

    Where the one under way is among the workflow's PART_OF, it does this too, and begins anew.
    """
    task = None if new else db.get(Task, resource_id, with_for_update=True)
    if task is not None and task.workflow in getattr(_module(workflow), "PART_OF", ()):
        workflow = task.workflow
    first = steps(workflow)[0].__name__
    if task is None:
        due = time.time()
        put(db, Task, resource_id=resource_id, region=region, workflow=workflow, step=first, run_at=due, since=due)
    else:
        task.workflow, task.step, task.attempts = workflow, first, 0
        task.run_at = task.since = time.time()
        task.generation += 1
    db.info["task_started"] = True


def steps(workflow: str) -> list[Step]:
    return cast(list[Step], _module(workflow).STEPS)


def _module(workflow: str) -> ModuleType:
    return importlib.import_module(f"engine.workflows.{workflow}")


class _Superseded(Exception):
    """Another workflow took this resource while the step ran."""


def run_one(engine: Engine, now: float, leased: Callable[[float], None] = lambda _: None) -> bool:
    """Run one due task until it waits, ends or fails. Return False when none is due.

    ``leased`` is told before each step when its lease ends, in seconds since 1970: by then the step must be done.
    """
    task = _lease(engine.database, now)
    if task is None:
        return False
    try:
        leased(_lease_end(task))
        while _run_step(engine, task, now):
            now = max(now, time.time())
            leased(_lease_end(task))
    except _Superseded:
        _release(engine.database, task)
    except Exception as error:
        log.warning("step failed", resource=task.resource_id, step=task.step, error=repr(error))
        _postpone(engine.database, task, error, max(now, time.time()))
    return True


def _lease_end(task: Task) -> float:
    return cast(float, task.leased_until)


_NEXT = Prepared(select(func.min(Task.run_at).label("run_at")).where(Task.leased_until.is_(None)))


def next_due(database: Database) -> float:
    """Return when the next free task is due, in seconds since 1970; a moment far away where there is none."""
    with database.read() as db:
        return float(_NEXT.scalar(db) or time.time() + 3600)


def take_over(database: Database) -> None:
    """Free the tasks that a worker held when it died. Call it only while no other worker can be at one."""
    with database.write() as db:
        db.execute(update(Task).where(Task.leased_until.is_not(None)).values(leased_until=None))


_FREE = or_(Task.leased_until.is_(None), Task.leased_until < bindparam("now"))
_DUE = Prepared(select(Task.resource_id).where(Task.run_at <= bindparam("now"), _FREE).order_by(Task.run_at).limit(1))
_NEXT_DUE = Prepared(
    select(Task)
    .where(Task.run_at <= bindparam("now"), _FREE)
    .order_by(Task.run_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_TAKE = Prepared(update(Task).where(Task.resource_id == bindparam("id"), _FREE).values(leased_until=bindparam("lease")))


def _lease(database: Database, now: float) -> Task | None:
    with database.read() as db:
        # Most wake-ups of an idle worker end here, without ever asking for the write lock.
        if _DUE.scalar(db, now=now) is None:
            return None
    with database.write() as db:
        row = _NEXT_DUE.first(db, now=now)
        if row is None or _TAKE.execute(db, id=row.resource_id, lease=now + LEASE, now=now).rowcount != 1:
            return None
        return Task(**{**row._asdict(), "leased_until": now + LEASE})


def _run_step(engine: Engine, task: Task, now: float) -> bool:
    """Run the step that the task stands at. Return True when the next one can follow at once."""
    step = {s.__name__: s for s in steps(task.workflow)}[task.step]
    if getattr(step, "in_database", False):
        with engine.database.write() as db:
            return _settle(db, task, step(_job(engine, task, now, db)), now)
    begun = time.time()
    outcome = step(_job(engine, task, now))
    took, now = time.time() - begun, max(now, time.time())
    following = _following(task)
    if outcome is None and following and now < _lease_end(task) - LEASE / 2:
        # Not written down: after a crash the steps since the last one that was are done again, and they are repeatable.
        task.step, task.attempts, task.since = following, 0, now
        # Nor is a quick step worth a look whether somebody took the resource: what settles will find out.
        return took < _QUICK or _still_ours(engine.database, task)
    with engine.database.write() as db:
        return _settle(db, task, outcome, now)


_OURS = Prepared(
    select(Task.generation).where(
        Task.resource_id == bindparam("resource_id"),
        Task.leased_until == bindparam("leased_until"),
        Task.generation == bindparam("generation"),
    )
)


def _still_ours(database: Database, task: Task) -> bool:
    with database.read() as db:
        held = {"leased_until": task.leased_until, "generation": task.generation}
        if _OURS.scalar(db, resource_id=task.resource_id, **held) is None:
            raise _Superseded
    return True


def _following(task: Task) -> str:
    """Return the name of the step after the one that the task stands at, or nothing at the end."""
    names = [s.__name__ for s in steps(task.workflow)]
    return next(iter(names[names.index(task.step) + 1 :]), "")


def _job(engine: Engine, task: Task, now: float, db: Session | None = None) -> Job:
    return Job(engine, task.resource_id, task.region, now - task.since, db)


def _settle(db: Session, task: Task, outcome: Wait | None, now: float) -> bool:
    following = _following(task)
    if isinstance(outcome, Wait):
        later = now + outcome.seconds
        _change(db, task, leased_until=None, run_at=later, attempts=0, step=task.step, since=task.since)
        return False
    if not following:
        done = cast(CursorResult[Any], db.execute(delete(Task).where(*_mine(task))))
        if done.rowcount != 1:
            raise _Superseded
        return False
    lease = now + LEASE
    _change(db, task, step=following, attempts=0, leased_until=lease, run_at=now, since=now)
    task.step, task.attempts, task.leased_until, task.since = following, 0, lease, now
    return True


def _mine(task: Task) -> tuple[Any, ...]:
    return (
        Task.resource_id == task.resource_id,
        Task.leased_until == task.leased_until,
        Task.generation == task.generation,
    )


def _change(db: Session, task: Task, **values: Any) -> None:
    done = cast(CursorResult[Any], db.execute(update(Task).where(*_mine(task)).values(**values)))
    if done.rowcount != 1:
        raise _Superseded


def _release(database: Database, task: Task) -> None:
    with database.write() as db:
        mine = (Task.resource_id == task.resource_id, Task.leased_until == task.leased_until)
        db.execute(update(Task).where(*mine).values(leased_until=None))
        db.info["task_started"] = True


def _postpone(database: Database, task: Task, error: Exception, now: float) -> None:
    """Try again later, a little later each time; or give up, by the workflow that says how."""
    fallback = getattr(_module(task.workflow), "GIVE_UP", None)
    delay = min(0.5 * 2**task.attempts, 300) * random.uniform(0.8, 1.2)
    try:
        with database.write() as db:
            _change(
                db, task, leased_until=None, attempts=task.attempts + 1, run_at=now + delay, error=repr(error)[:2000],
                step=task.step, since=task.since,
            )  # fmt: skip
            if fallback and (isinstance(error, Refused) or task.attempts + 1 >= MAX_ATTEMPTS):
                start(db, task.resource_id, fallback, task.region)
    except _Superseded:
        _release(database, task)

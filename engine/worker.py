"""The worker: threads that run tasks, one that reconciles, one that compacts disks, and one that fetches consoles."""

import base64
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from sqlalchemy import select

from engine import tasks
from engine.compaction import compact
from engine.deployment import Deployment, open_deployment, register_hosts
from engine.drivers.base import Drivers
from engine.fleet import drivers_of
from engine.reconciler import check_machine, reconcile
from engine.state import ConsoleOutput, Instance, now
from engine.tasks import Engine
from engine.wakeup import Datagram, InProcess, Listen, Wakeup, announce
from settings import Settings

log = structlog.get_logger("groundfog.worker")

_POLL = 1.0
"""Seconds after which the worker looks for due tasks though nobody woke it."""
_ROUND = 30.0
"""Seconds between two rounds of the reconciler."""
_CONSOLE_EVERY = 1.0
_COMPACT_EVERY = 600.0


class Worker:
    """``start`` returns at once; ``stop`` ends every thread after the step it is in."""

    def __init__(self, engine: Engine, wakeup: Wakeup, threads: int) -> None:
        self._engine, self._wakeup, self._count = engine, wakeup, threads
        self._ending = threading.Event()
        self._is_guest = isinstance(wakeup, InProcess)
        self._changed: set[str] = set()
        self._look = threading.Event()
        self._leases: dict[int, float] = {}
        """When the lease of the step that a thread is in ends, in seconds since 1970."""
        self._threads: list[threading.Thread] = []
        self._consoles: dict[str, int] = {}
        self._due = threading.Condition()

    @property
    def drivers(self) -> Mapping[str, Drivers]:
        """What the worker works with, by region."""
        return self._engine.drivers

    def start(self) -> None:
        for drivers in {id(d): d for d in self._engine.drivers.values()}.values():
            for compute in drivers.computes.values():
                compute.watch(self._machine_changed)
        loops: list[Callable[[], None]] = [self._listen, self._reconcile, self._watch_consoles, self._watch_overruns]
        for loop in [*loops, *[self._run_tasks] * self._count]:
            thread = threading.Thread(target=loop, daemon=True, name=loop.__name__)
            thread.start()
            self._threads.append(thread)
        threading.Thread(target=self._compact, daemon=True, name="_compact").start()

    def stop(self) -> None:
        self._ending.set()
        self._look.set()
        self._wakeup.notify()
        with self._due:
            self._due.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def _listen(self) -> None:
        """Pass on what wakes the process to the threads that wait for work."""
        while not self._ending.is_set():
            self._wakeup.wait(_POLL)
            with self._due:
                self._due.notify_all()

    def _run_tasks(self) -> None:
        me = threading.get_ident()
        while not self._ending.is_set():
            begun = time.monotonic()
            try:
                found = tasks.run_one(self._engine, time.time(), partial(self._leases.__setitem__, me))
            except Exception as error:  # the database itself may be away for a while
                log.error("cannot run tasks", error=repr(error))
                found = False
                self._ending.wait(1)
            self._leases.pop(me, None)
            if found and self._is_guest:
                # The API is in this process, and a simulated boot can wait: half of the time is the API's.
                self._ending.wait(time.monotonic() - begun)
            if not found:
                with self._due:
                    self._due.wait(self._until_next())

    def _until_next(self) -> float:
        """Return how long there is nothing to do, at most the poll: a task that waits says when it is due."""
        try:
            return min(_POLL, max(0.01, tasks.next_due(self._engine.database) - time.time()))
        except Exception:
            return _POLL

    def _watch_overruns(self) -> None:
        """End the process when a step overran its lease: another worker may have the task by now."""
        while not self._ending.wait(1):
            if time.time() > min(list(self._leases.values()), default=math.inf):
                log.error("a step overran its lease: ending the worker")
                os._exit(70)

    def _machine_changed(self, id: str) -> None:
        self._changed.add(id)
        self._look.set()

    def _reconcile(self) -> None:
        due = 0.0
        while not self._ending.is_set():
            try:
                if time.monotonic() >= due:
                    reconcile(self._engine)
                    due = time.monotonic() + _ROUND
                while self._changed:
                    check_machine(self._engine, self._changed.pop())
            except Exception as error:
                log.warning("cannot reconcile now", error=repr(error))
                due = time.monotonic() + 2
            self._look.wait(max(0.1, due - time.monotonic()))
            self._look.clear()

    def _compact(self) -> None:
        """It may be at a disk for as long as copying that takes, so nobody waits for its end."""
        while not self._ending.wait(_COMPACT_EVERY):
            try:
                compact(self._engine, self._ending.is_set)
            except Exception as error:
                log.warning("cannot compact disks now", error=repr(error))

    def _watch_consoles(self) -> None:
        while not self._ending.wait(_CONSOLE_EVERY):
            try:
                fetch_consoles(self._engine, self._consoles)
            except Exception as error:
                log.warning("cannot fetch consoles", error=repr(error))


def fetch_consoles(engine: Engine, seen: dict[str, int]) -> None:
    """Keep in the database what machines printed since ``seen``: marks by machine, updated here."""
    with engine.database.read() as db:
        active = Instance.state.in_(("pending", "running", "stopping", "shutting-down"))
        rows = db.execute(select(Instance.id, Instance.region, Instance.host).where(active, Instance.host != "")).all()
    for id in seen.keys() - {id for id, _, _ in rows}:
        seen.pop(id)
    for id, region, host in rows:
        compute = engine.drivers[region].computes.get(host)
        output = compute.console_output(id, seen.get(id, -1)) if compute else None
        if output is None:
            continue
        mark, text = output
        with engine.database.write() as db:
            row = db.get(ConsoleOutput, id) or ConsoleOutput(instance_id=id)
            row.mark, row.text, row.updated = mark, base64.b64encode(text).decode(), now()
            db.add(row)
        seen[id] = mark


def make_wakeup(settings: Settings, deployment: Deployment, listen: bool) -> Wakeup:
    """Return how processes of this deployment wake the worker; ``listen`` is true in the worker itself."""
    if settings.engine == "simulated":
        return InProcess()
    if not deployment.database.is_sqlite:
        return Listen(settings.database_url)
    (settings.data / "run").mkdir(exist_ok=True)
    return Datagram(settings.data / "run" / "worker.sock", listen)


def start_worker(deployment: Deployment, wakeup: Wakeup) -> Worker:
    settings, database = deployment.settings, deployment.database
    drivers = drivers_of(settings, database)
    register_hosts(deployment, drivers)
    if database.is_sqlite:
        # The supervisor lets a data directory have one worker: the one that held these leases is dead. Where several
        # hosts share a PostgreSQL, theirs may live, and those of the dead run out.
        tasks.take_over(database)
    announce(database.writers, wakeup, postgresql=not database.is_sqlite)
    worker = Worker(Engine(database, drivers, settings), wakeup, settings.workers)
    worker.start()
    return worker


def run(settings: Settings) -> None:
    """Be the worker process until SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # Not durable: what a power cut undoes of a step, the step does again.
    deployment = open_deployment(settings, durable=False)
    worker = start_worker(deployment, make_wakeup(settings, deployment, listen=True))
    log.info("worker ready", threads=settings.workers)
    ended.wait()
    worker.stop()


if __name__ == "__main__":
    run(Settings())

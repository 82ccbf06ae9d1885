"""The task runner: leases, waiting, superseding, failing, and steps that are done twice."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from engine import tasks
from engine.drivers.base import DriverError
from engine.state import Host, Task
from engine.tasks import LEASE, Engine, Job, Wait
from engine.wakeup import Datagram, InProcess
from engine.worker import Worker
from tests.cloud import Cloud
from tests.translators.test_instances import launch, leftovers, state

WORKFLOWS = sorted(p.stem for p in (Path(tasks.__file__).parent / "workflows").glob("[a-z]*.py"))


def the_task(cloud: Cloud, id: str) -> Task | None:
    with cloud.database.read() as db:
        return db.get(Task, id)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_steps_have_names_of_their_own_and_a_way_out(workflow: str) -> None:
    names = [step.__name__ for step in tasks.steps(workflow)]
    assert names and len(set(names)) == len(names)


def test_two_workers_never_hold_the_same_task(cloud: Cloud) -> None:
    launch(cloud)
    now = time.time() + 1
    assert tasks._lease(cloud.database, now) is not None
    assert tasks._lease(cloud.database, now) is None


def test_a_lease_that_ran_out_is_taken_over_and_the_late_worker_settles_nothing(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    now = time.time() + 1
    late = tasks._lease(cloud.database, now)
    assert late is not None and tasks._lease(cloud.database, now + LEASE + 1) is not None
    with pytest.raises(tasks._Superseded), cloud.database.write() as db:
        tasks._settle(db, late, None, now)
    assert the_task(cloud, id) is not None


def test_a_worker_that_starts_takes_over_what_a_dead_one_held(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    tasks._lease(cloud.database, time.time() + 1)
    tasks.take_over(cloud.database)
    cloud.settle()
    assert state(cloud, id) == "running"


def test_a_newer_workflow_replaces_the_one_under_way(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    before = the_task(cloud, id)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    after = the_task(cloud, id)
    assert before is not None and after is not None
    assert (after.workflow, after.generation) == ("terminate_instance", before.generation + 1)


def test_failures_are_tried_again_later_and_later(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    cloud.backend.fail_next("ensure_disk", DriverError("not now"), 3)
    now, delays = time.time() + 1, []
    for _ in range(3):
        tasks.run_one(cloud.engine, now)
        task = the_task(cloud, id)
        assert task is not None and "not now" in str(task.error)
        delays.append(task.run_at - now)
        now = task.run_at
    assert delays == sorted(delays) and delays[0] < delays[2]
    cloud.settle()
    assert state(cloud, id) == "running"


@pytest.mark.parametrize("verb", ["ensure_disk", "ensure_network", "ensure_group", "ensure_port", "ensure_machine"])
def test_too_many_failures_end_the_launch_and_leave_nothing(cloud: Cloud, verb: str) -> None:
    (id,) = launch(cloud)
    cloud.backend.fail_next(verb, DriverError("never"), tasks.MAX_ATTEMPTS)
    cloud.settle()
    assert state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]


@pytest.mark.parametrize("verb", ["stop_machine", "remove_machine", "remove_port", "remove_disk"])
def test_a_termination_is_tried_until_it_is_done(cloud: Cloud, verb: str) -> None:
    (id,) = launch(cloud)
    cloud.settle()
    cloud.backend.fail_next(verb, DriverError("not now"), 12)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]


@pytest.mark.parametrize("action", ["start_instances", "stop_instances", "terminate_instances"])
def test_every_step_can_be_done_twice(cloud: Cloud, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (id,) = launch(cloud)
    twice = _each_step_twice(monkeypatch)
    cloud.settle()
    if action == "start_instances":
        cloud.ec2.stop_instances(InstanceIds=[id])
        cloud.settle()
    getattr(cloud.ec2, action)(InstanceIds=[id])
    cloud.settle()
    assert twice
    assert state(cloud, id) == {"start_instances": "running", "stop_instances": "stopped"}.get(action, "terminated")


def _each_step_twice(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the runner do every driver step a second time, as after a crash before it was written down."""
    done: list[str] = []
    original = tasks.steps

    def doubled(workflow: str) -> list[Any]:
        return [step if getattr(step, "in_database", False) else _twice(step, done) for step in original(workflow)]

    monkeypatch.setattr(tasks, "steps", doubled)
    return done


def _twice(step: Any, done: list[str]) -> Any:
    def run(job: Job) -> Wait | None:
        step(job)
        done.append(step.__name__)
        return step(job)  # type: ignore[no-any-return]

    run.__name__ = step.__name__
    return run


def test_an_older_reading_that_comes_last_does_not_win(cloud: Cloud) -> None:
    database = ["old"]
    applied: list[str] = []

    def ensure(value: str) -> None:
        if not applied:
            database[0] = "new"  # somebody changes it, and applies it, while the old one is under way
        applied.append(value)

    job = Job(cloud.engine, "vpc-1", "us-east-1", 0)
    job.converge(lambda _db: database[0], ensure)
    assert applied == ["old", "new"]


def test_a_commit_that_starts_a_task_wakes_a_worker_in_this_process(cloud: Cloud) -> None:
    from engine.wakeup import announce

    wakeup = InProcess()
    announce(cloud.database.writers, wakeup, postgresql=not cloud.database.is_sqlite)
    worker = Worker(Engine(cloud.database, cloud.drivers, cloud.settings), wakeup, 1)
    worker.start()
    try:
        deadline = time.monotonic() + 20
        # Whatever is off when the host is seen for the first time was on before, and is started again.
        while not all(cloud.look(lambda db: db.scalars(select(Host.boot_id)).all())):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (id,) = launch(cloud)
        while state(cloud, id) != "running":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        cloud.backend.power_off(id)
        while state(cloud, id) != "stopped":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        worker.stop()
    with cloud.database.read() as db:
        assert db.scalars(select(Task)).all() == []


def test_a_datagram_wakes_another_process(tmp_path: Path) -> None:
    listener = Datagram(tmp_path / "socket", listen=True)
    Datagram(tmp_path / "socket").notify()
    before = time.monotonic()
    listener.wait(10)
    assert time.monotonic() - before < 9
    Datagram(tmp_path / "nobody").notify()

"""Imports whose worker, process or task is lost."""

import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import delete

from engine.drivers.base import Refused
from engine.imports import rows, work
from engine.reconciler import reconcile
from engine.state import Task
from tests.cloud import Cloud
from tests.engine import imports


def process_of(folder: Path) -> int:
    """Return the id of the process that holds an import's directory."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        text = work._read(folder / "lock")
        if text and work._is_held(folder):
            return int(text)
        time.sleep(0.005)
    raise AssertionError("nobody holds it")


def begun(cloud: Cloud) -> tuple[str, Path]:
    """Ask for an import; return it and its directory."""
    id = imports.importing(cloud)
    return id, rows.folder_of(cloud.settings, id)


def test_a_process_that_was_killed_is_started_again(cloud: Cloud) -> None:
    id, folder = begun(cloud)
    cloud.run_steps(1)
    process = work._processes.get(folder)
    if process is not None:
        process.send_signal(signal.SIGKILL)
        process.wait()
    cloud.settle()
    assert imports.is_imported(cloud, id)


def test_a_process_that_is_killed_again_and_again_is_given_up(cloud: Cloud) -> None:
    id, folder = begun(cloud)
    asked = cloud.look(lambda db: rows.work_of(db, cloud.settings, id))
    assert asked is not None
    for _ in range(work._TRIES):
        work.go_on(folder, asked)
        work._reap(folder)
    with pytest.raises(Refused):
        work.go_on(folder, asked)
    cloud.settle()
    task = imports.image_task(cloud, id)
    assert (task["Status"], imports.nothing_is_left(cloud)) == ("deleted", True)
    assert task["StatusMessage"].startswith("ServerError: ")


def test_another_workers_process_is_ended_with_its_import(cloud: Cloud) -> None:
    id, folder = begun(cloud)
    folder.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        with work.hold(folder):
            time.sleep(60)
        os._exit(0)
    assert process_of(folder) == child
    cloud.ec2.cancel_import_task(ImportTaskId=id)
    cloud.settle()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert imports.is_cancelled(cloud, id)


def test_imports_whose_task_was_lost_are_gone_on_with(cloud: Cloud) -> None:
    ids = [imports.importing(cloud), imports.importing(cloud)]
    cloud.ec2.cancel_import_task(ImportTaskId=ids[1])
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()
    assert imports.is_imported(cloud, ids[0]) and imports.is_cancelled(cloud, ids[1])


def test_the_directory_of_an_import_without_a_task_is_swept_away(cloud: Cloud) -> None:
    folder = cloud.settings.data / "imports" / "import-ami-0"
    folder.mkdir(parents=True)
    reconcile(cloud.engine)
    assert not folder.exists()

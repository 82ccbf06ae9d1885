"""The work of an import or export as the worker sees it: started, looked at, ended and swept away.

Each has a directory ``DATA/imports/TASK`` or ``DATA/exports/TASK`` and a process of its own, which dies with the
worker that started it. The next one finds that nobody holds the directory's lock, and starts it anew.
"""

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from engine.drivers.base import DriverError, Refused
from engine.lifelines import die_with

AT_ONCE = 2
"""Processes of one worker that import or export at once; what is more waits."""
_TRIES = 6
_MEMORY = 4 << 30
_LONGEST = 24 * 3600
_processes: dict[Path, "subprocess.Popen[bytes]"] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Work:
    """What the process is told. ``files`` have ``url``, ``bucket``, ``key`` and ``format``; sizes are in bytes.

    ``store`` is the URL, key and secret of the S3-compatible store, ``key`` what the disks are to be encrypted with.
    """

    files: Sequence[dict[str, str]]
    account: str
    sources: Sequence[str]
    uploads: str
    store: Sequence[str]
    largest: int
    reserved: int
    key: str | None = field(default=None, repr=False)


def is_over(state: Mapping[str, Any]) -> bool:
    """Say whether the process has done what it could: it tells of ``disks``, of an ``object``, or why it ``failed``."""
    return any(word in state for word in ("disks", "object", "failed"))


def go_on(folder: Path, work: Any, program: str = "engine.imports") -> dict[str, Any]:
    """Return how far the work is, after starting it if nobody is at it.

    ``work`` is the dataclass that ``program``, a Python package, is told.

    Raise Refused for one whose process was ended too often: it may be what ended it.
    """
    with _lock:
        state = read_state(folder)
        if is_over(state):
            _reap(folder)
            return state
        if _is_held(folder) or _is_alive(folder):
            return state
        if sum(process.poll() is None for process in _processes.values()) >= AT_ONCE:
            return {"message": "pending", "progress": 0}
        _begin(folder, work, program)
        return {"message": "pending", "progress": 0}


def _begin(folder: Path, work: Any, program: str) -> None:
    tries = int(_read(folder / "tries") or 0) + 1
    if tries > _TRIES:
        raise Refused("ServerError: The process that reads the disk image was ended too often.")
    sweep(folder)
    folder.mkdir(parents=True, mode=0o700)
    (folder / "tries").write_text(str(tries))
    command = (sys.executable, "-m", program, str(folder))
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2], preexec_fn=partial(die_with, os.getpid())
        )
        with contextlib.suppress(BrokenPipeError), cast(Any, process.stdin) as told:
            told.write(json.dumps(asdict(work)).encode())  # not a file: it has secrets
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverError(f"cannot start {program}: {error}") from error
    _processes[folder] = process


def wait(folder: Path, seconds: float) -> None:
    """Give the process a moment to end."""
    process = _processes.get(folder)
    if process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def end(folder: Path) -> None:
    """End the process, be it another worker's, and remove all that it made."""
    with _lock:
        _reap(folder)
        if _is_held(folder):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(_read(folder / "lock")), signal.SIGKILL)
        sweep(folder)


def _reap(folder: Path) -> None:
    process = _processes.pop(folder, None)
    if process is not None:
        process.kill()
        process.wait()


def _is_alive(folder: Path) -> bool:
    process = _processes.get(folder)
    if process is not None and process.poll() is None:
        return True
    _processes.pop(folder, None)
    return False


def sweep(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise DriverError(f"cannot remove {folder}")


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Have the directory to oneself; the lock goes with the process. End the process where another has it."""
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit("somebody else is at it")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _is_held(folder: Path) -> bool:
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def bound() -> None:
    """Bound this process: a hostile file must not make it large, nor a slow server eternal."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.alarm(_LONGEST)


def read_state(folder: Path) -> dict[str, Any]:
    text = _read(folder / "state.json")
    return dict(json.loads(text)) if text else {"message": "pending", "progress": 0}


def write_state(folder: Path, state: dict[str, Any]) -> None:
    draft = folder / "state.json.new"
    draft.write_text(json.dumps(state))
    draft.replace(folder / "state.json")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""

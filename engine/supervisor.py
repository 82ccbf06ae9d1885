"""The processes of a deployment: one supervising process starts them, and starts again what dies.

They are forks of the command that starts them, not new interpreters: what it imported already need not be imported
again, and ``groundfog up --engine simulated`` is ready in half the time. The kernel kills every child when its parent
ends (prctl(2), PR_SET_PDEATHSIG), so that a killed supervisor leaves nothing behind. It holds a lock on its pid file
for as long as it lives: a pid file that is not locked is stale, whatever process has that number by now.
"""

import ctypes
import fcntl
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

from engine.lifelines import die_with
from engine.processes import ALL, API
from settings import Settings

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # prctl(2)
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0
# Seconds that a process must have lived for its next death to count as the first.
_STEADY = 10.0
# Seconds that processes are given to end by SIGTERM: a worker ends after the step it is in.
_PATIENCE = 15.0
_LOG_LIMIT = 16 << 20
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass
class Process:
    """One process of a deployment. ``pid`` 0 means that it is not running; ``restarts`` counts its deaths."""

    name: str
    pid: int = 0
    started: float = 0.0
    restarts: int = 0


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment from which Settings() reads exactly these settings again."""
    values = settings.model_dump(mode="json", exclude_none=True)
    # A configuration file that appears meanwhile must not make two processes of one deployment differ.
    found = {"GROUNDFOG_CONFIG": os.devnull}
    for name, value in values.items():
        found[f"GROUNDFOG_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def programs(settings: Settings) -> dict[str, Callable[[Settings], None]]:
    """Return what the processes of a deployment run, by name. A simulated one has its worker in the API's process."""
    return API if settings.engine == "simulated" else ALL


# -- the supervising process -------------------------------------------------


class Supervisor:
    """Keeps the processes running until SIGTERM. Use it in a process of its own: it reaps every child."""

    def __init__(self, settings: Settings, lock: IO[str]) -> None:
        self._settings, self._lock = settings, lock
        self._programs = programs(settings)
        self._processes = {name: Process(name) for name in self._programs}
        self._due = dict.fromkeys(self._programs, 0.0)
        self._delay = dict.fromkeys(self._programs, _FIRST_DELAY)

    def run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
        while True:
            self._start_due()
            self._publish()
            wait = min([due - time.monotonic() for due in self._due.values()], default=60.0)
            arrived = signal.sigtimedwait(_ENDINGS, max(wait, 0.0))
            if arrived and arrived.si_signo != signal.SIGCHLD:
                break
            self._bury(time.monotonic())
        self._end_all()

    def _start_due(self) -> None:
        for name in [name for name, due in self._due.items() if due <= time.monotonic()]:
            del self._due[name]
            self._start(self._processes[name])

    def _start(self, process: Process) -> None:
        log = _open_log(self._settings, process.name)
        parent = os.getpid()
        process.pid = os.fork()
        if process.pid == 0:
            self._lock.close()
            _become(process.name, parent, log, lambda: self._programs[process.name](self._settings))
        log.close()
        process.started = time.time()
        _say(f"{process.name} started as process {process.pid}")

    def _bury(self, now: float) -> None:
        """Reap every child that ended, and say when it is to start again: later each time it does not live long."""
        while (ended := _reap()) is not None:
            process = next((p for p in self._processes.values() if p.pid == ended[0]), None)
            if process is None:
                continue
            if time.time() - process.started > _STEADY:
                self._delay[process.name] = _FIRST_DELAY
            delay = self._delay[process.name]
            _say(f"{process.name} {_ending(ended[1])}; starting it again in {delay:g} s")
            process.pid, process.restarts = 0, process.restarts + 1
            self._due[process.name] = now + delay
            self._delay[process.name] = min(delay * 2, _LONGEST_DELAY)

    def _end_all(self) -> None:
        until = time.monotonic() + _PATIENCE
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._running():
                os.kill(process.pid, number)
            while self._running() and (number == signal.SIGKILL or time.monotonic() < until):
                if (ended := _reap()) is None:
                    signal.sigtimedwait([signal.SIGCHLD], 0.1)
                    continue
                for process in self._running():
                    process.pid = 0 if process.pid == ended[0] else process.pid
        _say("ended")

    def _running(self) -> list[Process]:
        return [process for process in self._processes.values() if process.pid]

    def _publish(self) -> None:
        """Tell other commands which processes there are."""
        file = _processes_file(self._settings)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps([asdict(process) for process in self._processes.values()]))
        draft.replace(file)


def _reap() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def _become(name: str, parent: int | None, log: IO[bytes], run: Callable[[], None]) -> NoReturn:
    """Turn a fork into the process ``name``: no terminal, default signals, output to its log; and run it to its end."""
    code = 1
    try:
        _leave_terminal(log)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"groundfog-{name}".encode()[:15], 0, 0, 0)
        if parent is not None:
            die_with(parent)
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
        gc.enable()
        run()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: what the command that forked us has registered for its own end is not ours to do.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _leave_terminal(log: IO[bytes]) -> None:
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    # The command that forked us may have had them wrapped, by a test's capture or a pager.
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(n, mode, closefd=False) for n, mode in ((0, "r"), (1, "w"), (2, "w"))
    )


def _open_log(settings: Settings, name: str) -> IO[bytes]:
    """Open a log to append to; a large one is put aside first, over the one put aside before."""
    file = settings.data / "logs" / f"{name}.log"
    if file.exists() and file.stat().st_size > _LOG_LIMIT:
        file.replace(file.with_suffix(".log.1"))
    return file.open("ab", buffering=0)


# -- what commands ask for ---------------------------------------------------


class AlreadyRunning(Exception):
    """The deployment has a supervisor already."""


def start(settings: Settings, detach: bool) -> int:
    """Fork the supervising process and return its pid. Unless ``detach``, it ends with the process that calls this.

    Raises AlreadyRunning when the deployment of this data directory has one. Call it before any thread is started.
    """
    # Keys and the database lie here: a new directory is closed to other users of this machine.
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("run", "logs"):
        (settings.data / name).mkdir(exist_ok=True, mode=0o700)
    lock = _lock(_pid_file(settings))
    _processes_file(settings).unlink(missing_ok=True)
    _write_privately(_settings_file(settings), settings.model_dump_json(exclude_none=True))
    log = _open_log(settings, "supervisor")
    caller = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.environ.update(environment(settings))
        _become("supervisor", None if detach else caller, log, Supervisor(settings, lock).run)
    log.close()
    lock.truncate(0)
    print(pid, file=lock, flush=True)
    # The lock is the open file's, which the fork shares: it lasts as long as either has it open.
    lock.close()
    return pid


def _lock(file: Path) -> IO[str]:
    lock = file.open("a+")
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            time.sleep(0.02)  # ``supervisor_pid``, in another command, takes the lock for an instant
    lock.close()
    raise AlreadyRunning


def stop(settings: Settings, limit: float = _PATIENCE + 5) -> bool:
    """End the supervising process and its children; return whether there was one. Takes ``limit`` s at most."""
    pid = supervisor_pid(settings)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + limit
    while supervisor_pid(settings) == pid:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            until = float("inf")
        _reap()  # it is our own child when it was started in the foreground
        time.sleep(0.02)
    return True


def status(settings: Settings) -> list[Process]:
    """Return the processes of the deployment, the supervising one first; none when it is not up."""
    pid = supervisor_pid(settings)
    if pid is None:
        return []
    file = _processes_file(settings)
    told = json.loads(file.read_text()) if file.exists() else []
    found = [Process(**one) for one in told] or [Process(name) for name in programs(settings)]
    return [Process("supervisor", pid, _pid_file(settings).stat().st_mtime), *found]


def supervisor_pid(settings: Settings) -> int | None:
    """Return the supervising process; None when there is none, whatever a stale pid file says."""
    try:
        with _pid_file(settings).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or 0) or None
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def running_settings(data: Path) -> Settings | None:
    """Return what the deployment in a directory was last started with, without what only other versions know."""
    file = data.absolute() / "run" / "settings.json"
    if not file.exists():
        return None
    known = {name: value for name, value in json.loads(file.read_text()).items() if name in Settings.model_fields}
    return Settings(**{**known, "data": data})


def log_tail(settings: Settings, name: str, lines: int = 8) -> str:
    """Return the last lines of a process's log."""
    file = settings.data / "logs" / f"{name}.log"
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""


def _write_privately(file: Path, text: str) -> None:
    with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _pid_file(settings: Settings) -> Path:
    return settings.data / "run" / "groundfog.pid"


def _settings_file(settings: Settings) -> Path:
    return settings.data / "run" / "settings.json"


def _processes_file(settings: Settings) -> Path:
    return settings.data / "run" / "processes.json"

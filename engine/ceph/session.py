"""A cluster as one user sees one of its pools: what is asked goes through a process of its own (see ``program``)."""

import errno
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as TooLong
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid5

from engine.drivers.base import PORT_NAMESPACE

PYTHON = "/usr/bin/python3"
"""The distribution's: Ceph's bindings are made for no other one."""
PROGRAM = Path(__file__).with_name("program.py")


def secret_uuid(fsid: str, user: str) -> str:
    """Return the UUID under which hypervisors keep the key of a user of a cluster."""
    return str(uuid5(PORT_NAMESPACE, f"ceph {fsid} {user}"))


class CephError(OSError):
    """Ceph refused, did not answer in time, or its client is not installed; ``errno`` says which."""


class Ceph:
    """A pool of the cluster that ``conf`` (a ceph.conf) names, as ``client.USER``.

    The process is started at the first call, and again whenever it has ended. Any thread may call.
    """

    def __init__(self, conf: Path, user: str, pool: str) -> None:
        self.conf, self.user, self.pool = conf, user, pool
        self._starting = threading.Lock()
        self._process: _Process | None = None

    def calls(self, seconds: float) -> "Calls":
        """Return what asks the cluster, in that many seconds from now on for all that is asked."""
        return Calls(self, time.monotonic() + seconds)

    def call(self, name: str, seconds: float, /, **arguments: Any) -> Any:
        """Return the answer; raise CephError when there is none within that time, and with it for all others' calls."""
        process = self._running()
        try:
            return process.ask(name, arguments).result(max(seconds, 0))
        except TooLong:
            process.end()
            raise CephError(errno.ETIMEDOUT, f"Ceph did not answer to {name}") from None

    def close(self) -> None:
        """End the process."""
        with self._starting:
            if self._process is not None:
                self._process.end()

    def _running(self) -> "_Process":
        with self._starting:
            if self._process is None or self._process.has_ended:
                self._process = _Process([PYTHON, "-I", str(PROGRAM), str(self.conf), self.user, self.pool])
            return self._process


class Calls:
    """What is asked of a cluster until a moment (of time.monotonic)."""

    def __init__(self, ceph: Ceph, until: float) -> None:
        self._ceph = ceph
        self._until = until

    def __call__(self, name: str, /, **arguments: Any) -> Any:
        return self._ceph.call(name, self._until - time.monotonic(), **arguments)


class _Process:
    """One running program and the questions that it has not answered yet."""

    def __init__(self, command: Iterable[str]) -> None:
        try:
            self._popen = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            raise CephError(error.errno, f"cannot run {PYTHON}: {error.strerror}") from error
        self._ids = itertools.count()
        self._asking = threading.Lock()
        self._open: dict[int, Future[Any]] = {}
        self.has_ended = False
        threading.Thread(target=self._listen, name="ceph", daemon=True).start()

    def ask(self, name: str, arguments: dict[str, Any]) -> "Future[Any]":
        answer: Future[Any] = Future()
        with self._asking:
            if self.has_ended:
                raise CephError(errno.EPIPE, "the process that asks Ceph has ended")
            id = next(self._ids)
            self._open[id] = answer
            try:
                self._input.write(json.dumps({"id": id, "call": name, "arguments": arguments}) + "\n")
                self._input.flush()
            except OSError as error:
                self.has_ended = True
                raise CephError(errno.EPIPE, "the process that asks Ceph has ended") from error
        return answer

    def end(self) -> None:
        with self._asking:
            self.has_ended = True
        self._popen.kill()

    @property
    def _input(self) -> Any:
        return self._popen.stdin

    def _listen(self) -> None:
        for line in self._popen.stdout or ():
            answer = json.loads(line)
            with self._asking:
                asked = self._open.pop(answer["id"])
            if "error" in answer:
                asked.set_exception(CephError(answer["errno"], answer["error"]))
            else:
                asked.set_result(answer["value"])
        with self._asking:
            self.has_ended = True
            unanswered = list(self._open.values())
        self._popen.wait()
        for each in unanswered:
            with suppress(InvalidStateError):
                each.set_exception(CephError(errno.EPIPE, "the process that asks Ceph has ended"))

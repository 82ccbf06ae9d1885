"""Processes that are killed, as by ``kill -9``, between any two things that they do to the file system."""

import os
import sys
from collections.abc import Callable, Iterator

TOUCHES = ("open", "os.", "fcntl.flock", "subprocess.Popen")
"""The audit events (see Python's audit event table) of what changes files, programs that are run included."""


def killed_at_every_step(prepare: Callable[[], object], act: Callable[[], object]) -> Iterator[int]:
    """Prepare, and act in a process that dies before its n-th step: yield n = 1, 2 ... until it lives to the end."""
    step = 0
    while True:
        step += 1
        prepare()
        child = os.fork()
        if child == 0:
            _act_until(step, act)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 9), "it failed by itself"
        yield step
        if code == 0:
            assert step > 5, "the steps were not seen"
            return


def _act_until(step: int, act: Callable[[], object]) -> None:
    left = step

    def count(event: str, arguments: object) -> None:
        nonlocal left
        if event.startswith(TOUCHES):
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(count)
    try:
        act()
    except BaseException:
        os._exit(1)
    os._exit(0)

"""Runs the host's own commands, and says what to do when one fails."""

import os
import subprocess
from collections.abc import Callable, Sequence

Report = Callable[[str], None]

# A user's PATH may lack the sbin directories, in which nearly all of these commands live.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class HostError(Exception):
    """This machine cannot be made ready; the text begins with "cannot" and ends with what to do."""


def run(command: Sequence[str], *, stdin: str = "", timeout: float = 60) -> str:
    """The standard output of a command that must succeed.

    Raises HostError, whose text holds the command and what it said, when it is missing, fails or takes longer than
    ``timeout`` seconds.
    """
    try:
        done = attempt(command, stdin=stdin, timeout=timeout)
    except subprocess.TimeoutExpired as slow:
        raise HostError(
            f"cannot finish `{' '.join(command)}` within {timeout:g} s; run it by hand to see what it waits for"
        ) from slow
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise HostError(f"cannot run `{' '.join(command)}`: {said}; run: groundfog doctor")
    return done.stdout


def attempt(command: Sequence[str], *, stdin: str = "", timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run a command whose failure is an answer; a program that is not installed fails with 127, as in a shell.

    Raises ``subprocess.TimeoutExpired`` after ``timeout`` seconds.
    """
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not installed")
